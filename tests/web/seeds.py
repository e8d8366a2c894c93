"""Rows and bytes as workers would have left them, and keys for tenants."""

import asyncio
import hashlib
import json
from dataclasses import replace
from typing import Any

import errors
from app.db import Database, api_keys, datasets, image_search, images, jobs, new_id, reviews, tombstones
from app.db.reviews import NewReview
from app.db.rows import Job
from app.db.tombstones import NewTombstone
from app.domain import Candidate, ImageState
from app.job_states import CheckKind, JobState
from app.jobs import submit
from app.resources import Resources
from app.review_actions import ReviewAction, Reviewed
from app.spec import JobSpec, ListSpec
from app.storage import paths

LIST = ListSpec(key="lists/list_1.txt", suffix=".txt", name="birds.txt")


async def key_of(resources: Resources, user_id: str) -> str:
    """A key of this user, as the header that carries it."""
    made = api_keys.make_key()
    await api_keys.add_key(resources.db, key_id=made.key_id, user_id=user_id, name="test", digest=made.digest)
    return f"Bearer {made.token}"


async def build(resources: Resources, user_id: str = "local", *, ended: JobState | None = None, **spec: Any) -> Job:
    """A build job, pending or ended."""
    wanted = JobSpec(url_list=LIST, **spec)
    made = await submit.submit_build(resources, wanted, name="birds", caller=submit.Caller(user_id, "req_seed"))
    if ended is not None:
        await end(resources, made.job_id, ended)
    return await jobs.get(resources.db, made.job_id)


async def end(resources: Resources, job_id: str, state: JobState, **values: Any) -> None:
    """Give a job its last state."""
    async with resources.db.write() as connection:
        await jobs.end(connection, job_id, state, **values)


async def image(resources: Resources, job: Job, name: str = "a.jpg", body: bytes | None = None, **values: Any) -> int:
    """An image of a job; with a body it is kept and its bytes are in the store. Returns its id."""
    url = f"http://origin.example/{name}"
    candidate = Candidate(url, "list", label=values.pop("label", None))
    async with resources.db.write() as connection:
        await images.add_candidates(
            connection, dataset_id=job.dataset_id, job_id=job.id, search_id="srch_1", chunks=[("chunk_1", [(url, candidate)])]
        )
    image_id = (await image_search.by_url_keys(resources.db, [images.url_digest(url)]))[0].id
    if body is not None:
        sha256 = api_keys.secret_digest(body.decode("latin-1"))
        await resources.store.put(paths.blob(sha256), body)
        values = {"state": ImageState.KEPT, "sha256": sha256, "size_bytes": len(body), "media_type": "image/jpeg", **values}
    if values:
        async with resources.db.write() as connection:
            await images.update_many(connection, [{"id": image_id, **values}])
    return image_id


async def export(resources: Resources, job: Job, files: dict[str, bytes], *, state: str = "ready") -> str:
    """An export of a job's dataset with these files in the store, its sums and its manifest among them. Returns its id."""
    files = files if state == "pending" else with_sums(files)
    report = {"splits": {"train": 2}, "labels": {"bird": 2}, "files": {path: len(body) for path, body in files.items() if "/" not in path}}
    async with resources.db.write() as connection:
        export_id = await datasets.add_export(
            connection, user_id=job.user_id, dataset_id=job.dataset_id, job_id=job.id, export_format="files", storage_tier="standard"
        )
        values: dict[str, Any] = {"prefix": paths.export(export_id), "report": report, "samples": 2, "size_bytes": 9}
        await datasets.set_export(connection, export_id, state=state, **(values if state in ("ready", "failed") else {}))
    for path, body in files.items():
        await resources.store.put(f"{paths.export(export_id)}/{path}", body)
    return export_id


def with_sums(files: dict[str, bytes]) -> dict[str, bytes]:
    """These files with ``SHA256SUMS`` and ``manifest.json``, in the order in which an export is listed."""
    files = {path: body for path, body in files.items() if path != "manifest.json"}
    sums = "".join(f"{hashlib.sha256(body).hexdigest()}  {path}\n" for path, body in files.items()).encode()
    facts = {"SHA256SUMS": {"size_bytes": len(sums), "sha256": hashlib.sha256(sums).hexdigest()}}
    return {**files, "SHA256SUMS": sums, "manifest.json": json.dumps({"files": facts}).encode()}


async def tombstone(resources: Resources, user_id: str) -> str:
    """A tombstone of a user for a URL of no image. Returns its id."""
    async with resources.db.write() as connection:
        (made,) = await tombstones.add(connection, user_id, [NewTombstone(url="http://origin.example/gone.jpg", url_key="f" * 64)])
    return made.id


async def check(resources: Resources, job: Job) -> str:
    """An integrity check of a job's dataset. Returns its id."""
    made = await submit.submit_check(resources, CheckKind.INTEGRITY, dataset_id=job.dataset_id, caller=submit.Caller(job.user_id))
    return made.resource


class AwayQueue:
    """A queue that nobody answers for."""

    async def send(self, messages: Any) -> None:
        raise errors.QueueUnavailableError("Redis cannot be used: nobody there")

    async def depths(self) -> dict[str, int]:
        raise errors.QueueUnavailableError("Redis cannot be used: nobody there")

    async def ping(self) -> None:
        raise errors.QueueUnavailableError("Redis cannot be used: nobody there")


class SilentQueue(AwayQueue):
    """A queue that takes the call and never answers."""

    async def send(self, messages: Any) -> None:
        await asyncio.Event().wait()

    async def depths(self) -> dict[str, int]:
        await asyncio.Event().wait()
        raise AssertionError

    async def ping(self) -> None:
        await asyncio.Event().wait()


def without_queue(resources: Resources, queue: AwayQueue | None = None) -> Resources:
    """The same resources with a queue that is away."""
    return replace(resources, queue=queue or AwayQueue())  # type: ignore[arg-type]


def without_database(resources: Resources) -> Resources:
    """The same resources with a database that is away: port 1 answers nobody."""
    return replace(resources, db=Database("postgresql+asyncpg://pictrawl:secret-word@127.0.0.1:1/pictrawl"))


async def review(resources: Resources, job: Job, image_id: int) -> str:
    """A review that says of an image of a job that it is kept. Returns its id."""
    batch_id = new_id("rev")
    async with resources.db.write() as connection:
        found = await reviews.lock_images(connection, job.dataset_id, [image_id])
        new = [NewReview(one, {"reviewed": Reviewed.KEEP}) for one in found]
        await reviews.add(connection, new, user_id=job.user_id, batch_id=batch_id, action=ReviewAction.KEEP)
    return batch_id
