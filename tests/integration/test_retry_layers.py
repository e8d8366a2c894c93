"""One retry layer for each kind of failure, measured in requests at the origin, runs of the job, and waits.

The decision table of DESIGN and docs/RETRY_ARCHITECTURE.md, row by row, against a real socket and a real arq worker.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import select

import errors
from app.db import Database, attempts, image_search, images, schema, tables
from app.db.image_search import ImageFilter
from app.domain import Reason, StoredImage
from app.job_states import JobState, UnitKind
from app.queue import embedded_queue
from app.resources import Resources, WorkerResources
from app.storage import open_store
from downloader import Outcome, RetryRules
from downloader.client import Downloader
from errors.decisions import DECISION_TABLE, Layer
from tests.images.samples import encode, photo
from tests.origin import Origin, Step, hang_up, image, reply, reset, stall
from tests.workers.bench import InlineDecoders, bench_settings
from tests.workers.test_worker_pool import FAST, ended, submit
from workers.worker_pool import run_workers

QUICK = {
    "fetch.read_timeout_s": 0.2,
    "fetch.attempt_timeout_s": 0.4,
    "fetch.robots": False,  # its connection would be reused, and a reset on a reused connection is repeated at once
    "jobs.retry_delay_s": 0.2,
}


class Waits:
    """A sleep that records its seconds and returns at once."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await asyncio.sleep(0)


class FailingDownloader(Downloader):
    """A downloader that raises each of its faults once, in the middle of a chunk."""

    faults: ClassVar[list[type[BaseException]]] = []
    after = 5

    async def fetch_many(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Outcome, None]:
        """Fetch, and raise the next fault after the fifth outcome."""
        seen = 0
        async with aclosing(super().fetch_many(*args, **kwargs)) as outcomes:
            async for outcome in outcomes:
                yield outcome
                seen += 1
                if seen == self.after and self.faults:
                    raise self.faults.pop(0)("raised by the test")


@asynccontextmanager
async def fleet(folder: Path, kind: type[Downloader] = Downloader) -> AsyncIterator[tuple[Resources, Waits]]:
    """A running worker with arq, whose downloader's waits are recorded and skipped."""
    settings = bench_settings(folder / "workspace", FAST | QUICK)
    db, store, queue, waits = Database(settings.database_url), open_store(settings.storage_url), embedded_queue(), Waits()
    await schema.upgrade(db)
    resources = Resources(settings, db, store, queue)
    limits, rules = settings.fetch.limits(), RetryRules(**settings.retry.model_dump())
    try:
        async with kind(limits, rules, sleep=waits) as downloader:
            worker_resources = WorkerResources(downloader, InlineDecoders())  # type: ignore[arg-type]
            async with run_workers(resources, worker_resources=worker_resources):
                yield resources, waits
    finally:
        await queue.close()
        await store.close()
        await db.close()


async def fetch_one(folder: Path, step: Step) -> tuple[StoredImage, int, list[float], int]:
    """Run a job with one URL; return its row, the origin's hits, the waits, and the runs of its chunk."""
    async with Origin() as origin, fleet(folder) as (resources, waits):
        origin.script("/x.jpg", step)
        job_id = await submit(resources, [origin.url("/x.jpg")])
        await ended(resources, job_id)
        (row,) = (await image_search.page(resources.db, ImageFilter(job_id=job_id))).items
        async with resources.db.read() as connection:
            query = select(tables.units.c.epoch).where(tables.units.c.job_id == job_id, tables.units.c.kind == UnitKind.FETCH)
            runs = (await connection.execute(query)).scalar_one()
        return row, len(origin.hits("/x.jpg")), [wait for wait in waits.asked if wait >= 0.5], runs


@pytest.mark.parametrize(
    ("name", "step", "reason"),
    [
        ("429", reply(429), Reason.RATE_LIMITED),
        ("503", reply(503), Reason.SERVICE_UNAVAILABLE),
        ("504", reply(504), Reason.SERVICE_UNAVAILABLE),
        ("reset", reset(), Reason.NETWORK),
        ("hang up", hang_up(), Reason.NETWORK),
        ("timeout", stall(), Reason.TIMEOUT),
        ("truncated", reply(200, encode(photo())[:500], length=5000), Reason.TRUNCATED_BODY),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_network_failures_are_retried_by_the_request_layer_alone(name: str, step: Step, reason: Reason, tmp_path: Path) -> None:
    """3 requests at the origin, not 9 and not 12; waits of 2 s and 4 s; one run of the job."""
    row, hits, waits, runs = await fetch_one(tmp_path, step)
    assert (row.reason, hits, waits, runs) == (reason, 3, [2.0, 4.0], 1), name


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, Reason.HTTP_400),
        (401, Reason.HTTP_401),
        (403, Reason.HTTP_403),
        (404, Reason.HTTP_404),
        (410, Reason.HTTP_410),
        (500, Reason.HTTP_5XX),
    ],
)
async def test_permanent_failures_are_not_retried(status: int, reason: Reason, tmp_path: Path) -> None:
    """One request, no wait, one run."""
    row, hits, waits, runs = await fetch_one(tmp_path, reply(status))
    assert (row.reason, hits, waits, runs) == (reason, 1, [], 1)


async def test_retry_after_replaces_the_backoff(tmp_path: Path) -> None:
    """The origin's wait is the only one."""
    row, hits, waits, _ = await fetch_one(tmp_path, reply(429, headers={"Retry-After": "7"}))
    assert (row.reason, hits, waits) == (Reason.RATE_LIMITED, 3, [7.0, 7.0])


async def test_job_retries_do_not_multiply_requests(tmp_path: Path) -> None:
    """A database that fails while a chunk's outcomes are written costs no URL a further request: 3 in all, whatever the job layer does."""
    async with Origin() as origin, fleet(tmp_path) as (resources, _):
        origin.script("/busy.jpg", reply(503))
        origin.script("/ok.jpg", image(encode(photo())))
        failing = Failing(resources.db, times=2)
        images_update = images.update_many
        images.update_many = failing(images_update)  # type: ignore[assignment]
        try:
            job_id = await submit(resources, [origin.url("/busy.jpg"), origin.url("/ok.jpg")])
            job = await ended(resources, job_id)
        finally:
            images.update_many = images_update
        assert job.state is JobState.SUCCEEDED
        assert (len(origin.hits("/busy.jpg")), len(origin.hits("/ok.jpg"))) == (3, 1)
        assert failing.failed == 2


async def test_faults_in_mid_chunk_do_not_multiply_requests(tmp_path: Path) -> None:
    """Memory and database faults in the middle of chunks: the job layer retries each time, and no URL gets a fourth request."""
    FailingDownloader.faults = [MemoryError, errors.DatabaseConnectionError, MemoryError]
    async with Origin() as origin, fleet(tmp_path, FailingDownloader) as (resources, _):
        for number in range(4):
            origin.script(f"/busy{number}.jpg", reply(503))
        for number in range(16):
            origin.script(f"/{number}.jpg", image(encode(photo(seed=number))))
        paths = [*(f"/busy{number}.jpg" for number in range(4)), *(f"/{number}.jpg" for number in range(16))]
        job_id = await submit(resources, [origin.url(path) for path in paths])
        job = await ended(resources, job_id)
        assert FailingDownloader.faults == []
        assert job.state is JobState.SUCCEEDED
        hits = [len(origin.hits(path)) for path in paths]
        assert (hits[:4], max(hits)) == ([3] * 4, 3)


async def test_the_retry_figures_of_a_job_are_the_origins(tmp_path: Path) -> None:
    """Requests, retried URLs and recovered URLs, as `build --json` and the API show them, against the origin's own count."""
    async with Origin() as origin, fleet(tmp_path) as (resources, _):
        body = [image(encode(photo(seed=number))) for number in range(4)]
        origin.script("/flaky.jpg", reply(503), body[0])
        origin.script("/gateway.jpg", reply(504), reply(503), body[1])
        origin.script("/limited.jpg", reply(429, headers={"Retry-After": "1"}), body[2])
        origin.script("/good.jpg", body[3])
        origin.script("/down.jpg", reply(503))
        origin.script("/gone.jpg", reply(404))
        paths = [f"/{name}.jpg" for name in ("flaky", "gateway", "limited", "good", "down", "gone")]
        job_id = await submit(resources, [origin.url(path) for path in paths])
        await ended(resources, job_id)
        hits = [len(origin.hits(path)) for path in paths]
        assert hits == [2, 3, 2, 1, 3, 1]
        assert await attempts.retry_figures(resources.db, job_id) == (sum(hits), 4, 3)


class Failing:
    """A function that fails at its first calls, as if the database were down."""

    def __init__(self, db: Database, *, times: int) -> None:
        self.left, self.failed = times, 0
        assert db

    def __call__(self, real: Callable[..., object]) -> Callable[..., object]:
        async def write(*args: object) -> None:
            if self.left:
                self.left -= 1
                self.failed += 1
                raise errors.DatabaseConnectionError("away")
            await real(*args)  # type: ignore[misc]

        return write


def test_every_class_has_exactly_one_layer() -> None:
    """No error is retried by two layers: the table names one for each class."""
    assert {error for error, decision in DECISION_TABLE.items() if decision.layer is Layer.JOB} >= set(errors.INFRASTRUCTURE)
    for error, decision in DECISION_TABLE.items():
        assert (decision.layer is Layer.REQUEST) == issubclass(error, errors.TransientError)
        assert (decision.layer is Layer.NOBODY) == issubclass(error, errors.PermanentError)
