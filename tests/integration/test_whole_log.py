"""Every log line of a job with failures on a real fleet: ours and those of arq, uvicorn and SQLAlchemy."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.queue import JOB_NAMES
from tests.images.samples import encode, photo
from tests.integration.test_job_processing import deployment, environment, follow
from tests.log_events import PROCESS_EVENTS
from tests.origin import Origin, hang_up, image, redirect, reply, stall
from tests.services import PostgresServer
from tests.workers.proof import eventually

Line = dict[str, Any]

REQUEST_ID = "req-of-the-test"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
INSIDE = {"job", "job_id", "run", "worker", "unit_id", "request_id", "traceparent"}

CRONS = {"sweep", "clean_up"}

QUICK = {
    "PICTRAWL_LOG__LEVEL": "DEBUG",
    "PICTRAWL_RETRY__BACKOFF_BASE_S": "0.05",
    "PICTRAWL_JOBS__CHUNK_SIZE": "3",
    "PICTRAWL_JOBS__BUILDER_SLOTS": "1",
    "PICTRAWL_JOBS__RETRIES": "1",
    "PICTRAWL_JOBS__RETRY_DELAY_S": "0.2",
    "PICTRAWL_JOBS__LEASE_S": "12",  # a busy machine renews late
    "PICTRAWL_JOBS__SWEEP_INTERVAL_S": "1",
}


@pytest.fixture
def postgres() -> Any:
    """A server of this test, which it stops."""
    with PostgresServer() as server:
        yield server


pytestmark = pytest.mark.services("postgresql")


@pytest.fixture
async def lines(tmp_path: Path, redis_url: str, postgres: PostgresServer) -> list[Line]:
    """The lines of three processes for a job whose URLs fail in many ways and whose database is down for some seconds."""
    async with Origin() as origin:
        urls = [origin.script(f"/{number}.jpg", image(encode(photo(seed=number + 1)))) for number in range(12)]
        urls += [
            origin.script("/flaky.jpg", reply(503), image(encode(photo(seed=50)))),
            origin.script("/busy.jpg", reply(429, headers=[("Retry-After", "1")]), image(encode(photo(seed=51)))),
            origin.script("/gone.jpg", reply(404)),
            origin.script("/dropped.jpg", hang_up()),
            origin.script("/moved.jpg", redirect("/0.jpg")),
            origin.script("/broken.jpg", image(encode(photo(seed=52))[:900])),
            origin.script("/{braces}.jpg", reply(403)),
            origin.script("/slow.jpg", stall(seconds=3), image(encode(photo(seed=53)))),
        ]
        env = environment(tmp_path, redis_url, postgres.create_database("log"), **QUICK)
        async with deployment(tmp_path, env, workers=2) as client:
            body = {"urls": urls, "export_format": "webdataset", "compression": {"format": "webp", "level": 80}}
            headers = {"X-Request-ID": REQUEST_ID, "traceparent": TRACEPARENT}
            made = (await client.post("/v1/jobs", json=body, headers=headers)).json()
            await eventually(lambda: _asked(origin, "/0.jpg"))
            await asyncio.to_thread(postgres.stop)
            await eventually(lambda: _told(tmp_path / "worker.log", "job.retries_exhausted"))
            await asyncio.to_thread(postgres.start)
            ended = await follow(client, made["links"]["self"])
    assert ended["status"] == "succeeded"
    assert ended["progress"]["kept"] == 12 + 3
    files = [tmp_path / name for name in ("api.log", "worker.log")]
    return [json.loads(row) for file in files for row in file.read_text().splitlines() if not row.startswith("serving on ")]


async def _asked(origin: Origin, path: str) -> bool:
    return bool(origin.hits(path))


async def _told(log: Path, event: str) -> bool:
    return f'"event":"{event}"' in log.read_text()


async def test_every_line_has_its_context(lines: list[Line]) -> None:
    """Lines of a job have job, job_id, run, worker, unit, the API call and the caller's trace. Other lines are events of a process."""
    inside = [line for line in lines if line.get("job") in JOB_NAMES.values()]
    for line in inside:
        assert set(line) >= INSIDE, (INSIDE - set(line), line)
        assert (line["request_id"], line["traceparent"]) == (REQUEST_ID, TRACEPARENT)
    assert len({line["worker"] for line in inside}) == 2
    assert len({line["job_id"] for line in lines if "job_id" in line}) == 1

    for line in lines:
        if line.get("job") in CRONS:
            assert {"job", "run", "worker"} <= set(line), line
        elif line not in inside:
            assert line["event"] in PROCESS_EVENTS.keys() | {"job.accepted"} or line["logger"].startswith("uvicorn"), line
        if "job_id" in line:
            assert {"request_id", "traceparent"} <= set(line), line

    events = Counter(line["event"] for line in inside)
    expected = {"job.planning", "download.retry", "download.fetched", "chunk.fetched", "image.judged", "chunk.compressed", "export.written"}
    assert expected | {"job.retry", "job.retries_exhausted", "job.ended"} <= set(events), events
    assert any(line["logger"].startswith("arq") for line in inside), "arq tells of the delivery that failed for good"
