"""Locks for tests: of a dataset that a bench has built, and rebuilds of them on other benches."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from app.datasets import lock, rebuild
from app.datasets.lock_reading import CheckedLock, check_lock
from app.db import datasets
from app.domain import ImageState
from app.exports.provenance import Asked, Crawler, Provenance
from app.inputs import FolderSpec
from app.jobs.settle import resolve_spec, store_urls
from app.jobs.submit import submit_build
from app.rules import CompressionRules
from app.spec import JobRequest
from tests.images.samples import encode, photo
from tests.origin import Origin, image
from tests.workers.bench import Bench

IMAGE: Mapping[str, Any] = {
    "index": 0,
    "url": "https://example.org/0",
    "sha256": "a" * 64,
    "size_bytes": 9,
    "media_type": "image/jpeg",
    "width": 3,
    "height": 2,
    "source": "list",
    "split": "train",
}
"""A line of a lock with the least that it must have."""

FACTS = Provenance(
    dataset_id="ds_1",
    lineage_id="ds_1",
    name="cats",
    created_at=1.5,
    version="1.0.0",
    asked=Asked(),
    crawler=Crawler("pictrawl", True, True, 3, 2, 0.0, 10.0, 3600.0),
    pictrawl="1.0",
)

HEADER: Mapping[str, Any] = {
    "pictrawl_lock": 1,
    "generator": "pictrawl 1.0",
    "dataset": {"name": "cats", "id": "ds_1", "lineage_id": "ds_1", "version": "1.0.0", "created_at": 1.5, "digest": None},
    "images": 1,
    "size_bytes": 9,
    "export": {"format": "files", "options": {"shard_samples": 10}},
    "provenance": FACTS.to_json(),
}
"""The first line of a lock of one image."""

JPEG_96 = CompressionRules(format="jpeg", level=80, resize="center_crop", size=96)


def serve(origin: Origin, count: int, *, side: int = 128) -> list[dict[str, Any]]:
    """Serve different pictures for ever; return the rows of a list with all that is known of them."""
    licences = ("CC0-1.0", "CC-BY-4.0", None)
    return [
        {
            "url": origin.script(f"/{number}.jpg", image(encode(photo(side, side, seed=number)))),
            "label": ("cat", "Hündin", "a/b")[number % 3],
            "captions": [f"picture {number}", "\u202eodd\n\ttext"] if number % 2 else None,
            "caption": None if number % 2 else f"one {number}",
            "group_id": f"group {number // 4}",
            "license": licences[number % 3],
            "creator": "Ann" if number % 3 else None,
            "title": f"No. {number}",
            "page_url": f"https://example.org/{number}",
        }
        for number in range(count)
    ]


async def build(bench: Bench, rows: Sequence[Mapping[str, Any]], **request: Any) -> str:
    """Build a dataset of these rows; return the id of the job."""
    asked = JobRequest(urls=[{name: value for name, value in row.items() if value is not None} for row in rows], **request)
    assert asked.urls is not None
    spec = resolve_spec(bench.resources, asked, url_list=await store_urls(bench.resources, asked.urls))
    job_id = (await submit_build(bench.resources, spec, name="Cats & dogs")).job_id
    await bench.drive()
    return job_id


async def lock_of(bench: Bench, job_id: str, path: Path) -> CheckedLock:
    """Write the lock of a job's dataset, and read it."""
    dataset_id = (await bench.job(job_id)).dataset_id
    await lock.write_lock((await lock.open_lock(bench.resources, dataset_id)).lines(), path)
    return check_lock(path, "1.0")


async def start_rebuild(bench: Bench, checked: CheckedLock, *, folder: FolderSpec | None = None, **options: Any) -> str:
    """Submit the rebuild of a lock; return the id of the job."""
    stored = await rebuild.store_lock(bench.resources, checked)
    options = {"export": rebuild.export_of(checked), "folder": folder} | options
    spec = rebuild.spec_of(bench.resources.settings, checked, stored, **options)
    return (await submit_build(bench.resources, spec, name=checked.header.dataset.name)).job_id


async def rebuilt(bench: Bench, checked: CheckedLock, **options: Any) -> str:
    """Rebuild a lock to its end; return the id of the job."""
    job_id = await start_rebuild(bench, checked, **options)
    await bench.drive()
    return job_id


async def export_files(bench: Bench, job_id: str) -> dict[str, str]:
    """The digest of every file of a job's export, by path."""
    (made,) = await datasets.exports_of_job(bench.db, job_id)
    assert made.state == "ready", made.problems
    root = bench.context.store.local_path(str(made.prefix))
    assert root is not None
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*") if path.is_file()}


async def kept(bench: Bench, job_id: str) -> int:
    """How many images of a job's dataset are kept."""
    return sum(count.count for count in (await bench.funnel(job_id)).counts if count.state is ImageState.KEPT)


def reseal(lines: Sequence[bytes]) -> bytes:
    """A lock of a header and lines of images, with the last line that belongs to them."""
    body = b"\n".join(lines) + b"\n"
    end = {"images": len(lines) - 1, "lines_sha256": hashlib.sha256(body).hexdigest()}
    return body + orjson.dumps(end) + b"\n"
