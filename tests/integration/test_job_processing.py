"""Whole jobs on the real architecture: API process, worker processes, Redis and PostgreSQL, and an unreliable origin."""

import asyncio
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.db import Database, events, images
from app.db.funnel import Funnel
from app.job_states import JobState
from tests.images.samples import encode, photo
from tests.integration.test_retry_layers import fleet
from tests.origin import Origin, hang_up, image, reply
from tests.services import free_port
from tests.workers.proof import eventually
from tests.workers.test_worker_pool import ended, submit

ROOT = Path(__file__).parents[2]


async def test_a_job_with_transient_failures_completes_after_retries(tmp_path: Path) -> None:
    """Every URL that recovers within three attempts is kept, and the log shows each attempt."""
    async with Origin() as origin, fleet(tmp_path) as (resources, _):
        origin.script("/one.jpg", reply(503), image(encode(photo(seed=1))))
        origin.script("/two.jpg", reply(429), reply(504), image(encode(photo(seed=2))))
        origin.script("/three.jpg", hang_up(), image(encode(photo(seed=3))))
        job_id = await submit(resources, [origin.url(f"/{name}.jpg") for name in ("one", "two", "three")])
        job = await ended(resources, job_id)
        assert job.state is JobState.SUCCEEDED
        assert Funnel(await images.counts(resources.db, dataset_id=job.dataset_id)).kept == 3
        await eventually(lambda: _retries(resources.db, job_id, 4))
        assert [len(origin.hits(f"/{name}.jpg")) for name in ("one", "two", "three")] == [2, 3, 2]


async def _retries(db: Database, job_id: str, count: int) -> bool:
    warned = await events.after(db, job_id, events.EventFilter(level="WARNING"))
    return len([event for event in warned if event.event == "download.retry"]) == count


def environment(tmp_path: Path, redis_url: str, postgres_url: str, **more: str) -> dict[str, str]:
    """Environment of a fleet's processes."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PICTRAWL_")}
    return clean | {
        "PICTRAWL_QUEUE__BACKEND": "redis",
        "PICTRAWL_QUEUE__URL": redis_url,
        "PICTRAWL_DB__URL": postgres_url,
        "PICTRAWL_STORAGE__URL": (tmp_path / "store").as_uri(),
        "PICTRAWL_WORKSPACE__PATH": str(tmp_path / "workspace"),
        "PICTRAWL_FETCH__ALLOW_NETWORKS": '["127.0.0.0/8"]',
        "PICTRAWL_FETCH__PORTS": "[]",
        "PICTRAWL_FETCH__PER_HOST": "16",
        "PICTRAWL_VALIDATE__CHILDREN": "1",
        "PICTRAWL_LOG__FORMAT": "json",
        **more,
    }


def start(arguments: list[str], env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """One process of the fleet."""
    with log.open("ab") as stream:
        return subprocess.Popen([sys.executable, "-m", "app.cli", *arguments], cwd=log.parent, env=env, stdout=stream, stderr=stream)


@asynccontextmanager
async def deployment(tmp_path: Path, env: dict[str, str], *, workers: int) -> AsyncIterator[httpx.AsyncClient]:
    """Migrate, start one API process and some workers, and yield a client of the API."""
    done = await asyncio.create_subprocess_exec(sys.executable, "-m", "app.cli", "db", "upgrade", env=env, cwd=tmp_path)
    assert await done.wait() == 0
    port = free_port()
    processes = [start(["serve", "--no-worker", "--port", str(port)], env, tmp_path / "api.log")]
    processes += [start(["worker", "all"], env, tmp_path / "worker.log") for _ in range(workers)]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            await eventually(lambda: _ready(client), 300)  # the processes import everything first, on a machine that may be busy
            yield client
    finally:
        for process in processes:
            process.terminate()
        codes = [await asyncio.to_thread(process.wait, 120) for process in processes]
    assert codes == [0] * len(codes), (tmp_path / "api.log").read_text()[-2000:] + (tmp_path / "worker.log").read_text()[-2000:]


async def _ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


async def follow(client: httpx.AsyncClient, job_url: str, timeout_s: float = 300.0) -> dict[str, Any]:
    """Poll a job until it has ended."""

    async def final() -> dict[str, Any] | None:
        body: dict[str, Any] = (await client.get(job_url)).json()
        return body if body["status"] in ("succeeded", "partial", "failed", "cancelled") else None

    result: dict[str, Any] = await eventually(final, timeout_s)
    return result


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the webdataset package does not close its file
async def test_the_api_and_two_worker_processes_make_a_dataset(tmp_path: Path, redis_url: str, postgres_url: str) -> None:
    """POST /v1/jobs on a real fleet: 300 of 300 images kept, shards that the webdataset package reads, logs from API to export."""
    wds = pytest.importorskip("webdataset")
    count = 300
    async with Origin() as origin:
        for number in range(count):
            origin.script(f"/{number}.jpg", image(encode(photo(96, 96, seed=number + 1))))
        urls = [origin.url(f"/{number}.jpg") for number in range(count)]
        env = environment(tmp_path, redis_url, postgres_url)
        async with deployment(tmp_path, env, workers=2) as client:
            answer = await client.post("/v1/jobs", json={"urls": urls, "export_format": "webdataset", "label": "thing", "dedupe": "exact"})
            assert answer.status_code == 202, answer.text
            job = await follow(client, answer.headers["location"])
            assert (job["status"], job["progress"]["kept"]) == ("succeeded", count)
            export = job["exports"][0]
            listed = (await client.get(f"/v1/exports/{export['id']}/files")).json()["items"]
            shards = [item["path"] for item in listed if item["path"].endswith(".tar")]
            for shard in shards:
                body = (await client.get(f"/v1/exports/{export['id']}/files/{shard}")).content
                (tmp_path / Path(shard).name).write_bytes(body)
                with tarfile.open(fileobj=io.BytesIO(body)) as tar:
                    assert tar.getnames()
            paths = [str(tmp_path / Path(shard).name) for shard in shards]
            samples = list(wds.WebDataset(paths, shardshuffle=False, empty_check=False).decode("pil"))
            assert len({sample["__key__"] for sample in samples}) == count
            await eventually(lambda: _logged(client, job["id"]))
            workers = (await client.get("/v1/workers")).json()["items"]
            assert len(workers) == 4
        assert all(len(origin.hits(f"/{number}.jpg")) == 1 for number in range(count))


async def _logged(client: httpx.AsyncClient, job_id: str) -> bool:
    listed = (await client.get(f"/v1/jobs/{job_id}/events", headers={"Accept": "application/json"})).json()["items"]
    wanted = {"job.accepted", "job.planning", "chunk.fetched", "chunk.validated", "export.written", "export.verified", "job.ended"}
    return wanted <= {event["event"] for event in listed}


async def _degraded(client: httpx.AsyncClient) -> bool:
    ready = await client.get("/readyz")
    return ready.status_code == 200 and ready.json()["checks"] == {"database": "ok", "queue": "away", "storage": "ok"}


async def test_a_submission_without_redis_is_accepted_and_done_later(tmp_path: Path, postgres_url: str) -> None:
    """The row is the outbox: 202 while Redis is down, and the job runs once it is up again."""
    from tests.services import RedisServer

    with RedisServer() as server:
        env = environment(tmp_path, server.url, postgres_url, PICTRAWL_JOBS__SWEEP_INTERVAL_S="1")
        async with Origin() as origin, deployment(tmp_path, env, workers=1) as client:
            origin.script("/a.jpg", image(encode(photo())))
            server.kill()
            answer = await client.post("/v1/jobs", json={"urls": [origin.url("/a.jpg")]})
            assert answer.status_code == 202, answer.text
            await eventually(lambda: _degraded(client))
            server.restart()
            job = await follow(client, answer.headers["location"])
            assert (job["status"], job["progress"]["kept"]) == ("succeeded", 1)
