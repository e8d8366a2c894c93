"""What shows how a job fails: one unit of any kind, a worker that polls, and an error of choice right after the claim."""

import asyncio
import functools
import inspect
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

import errors
from app.db import datasets, jobs, lifecycle, outbox, tables
from app.db.rows import NewUnit, Unit, as_unit
from app.job_states import JobKind, UnitKind, UnitState
from app.jobs.dispatch import dispatch, envelope
from app.jobs.settle import store_urls
from app.queue import QUEUES, ArqQueue, redis_queue
from app.spec import JobSpec
from tests.object_store import BucketServer, s3_environment, serve_buckets
from tests.services import PostgresServer
from tests.templates import postgres_like_new
from tests.workers.bench import Bench, open_bench
from workers import sweeper
from workers.leases import Leases
from workers.unit import ClaimedUnit
from workers.worker import LeasedWorker, make_worker

CHUNKED = (UnitKind.FETCH, UnitKind.VALIDATE, UnitKind.COMPRESS)
KIND_OF_JOB = {UnitKind.PLAN: JobKind.INTEGRITY, UnitKind.INTEGRITY: JobKind.INTEGRITY, UnitKind.DUPLICATES: JobKind.DUPLICATES}
"""The job that a unit belongs to where a build would need more than the unit."""


class Failing(Leases):
    """Leases through which a test makes the body of any job fail, right after its claim."""

    error: BaseException | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.runs: Counter[str] = Counter()

    def add(self, work: ClaimedUnit) -> None:
        self.runs[work.row.id] += 1
        if self.error is not None:
            raise self.error
        super().add(work)


@asynccontextmanager
async def failing_bench(
    folder: Path, error: BaseException | None = None, *, url: str | None = None, queue: ArqQueue | None = None
) -> AsyncIterator[tuple[Bench, Failing]]:
    """A bench whose units fail with ``error`` for as long as it is set, and whose workers stop without a drain."""
    async with bucket_environment(), open_bench(folder, {"jobs.drain_s": 0.0, "jobs.poll_s": 0.3}, url=url, queue=queue) as bench:
        leases = Failing(bench.db, owner="wrk_test", lease_s=30.0)
        leases.error = error
        bench.context.leases = leases
        yield bench, leases


@asynccontextmanager
async def bucket_environment() -> AsyncIterator[BucketServer]:
    """An object store on loopback, with the bucket ``bucket``, that clients of S3 find in their environment."""
    with serve_buckets() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in s3_environment(server).items():
            patch.setenv(name, value)
        yield server


House = Callable[..., AbstractAsyncContextManager[tuple[Bench, Failing]]]
HOUSES = ["laptop", pytest.param("fleet", marks=pytest.mark.services("redis", "postgresql"))]
"""What a job runs on: the embedded queue and SQLite, or a redis-server and PostgreSQL."""


async def open_house(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[House]:
    """The body of a fixture with ``params=HOUSES``: how to open a bench there whose units fail with a given error."""
    if request.param == "laptop":
        yield functools.partial(failing_bench, folder)
        return
    queue = await redis_queue(request.getfixturevalue("redis_url"))
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"house_{time.time_ns():x}"
    yield functools.partial(failing_bench, folder, url=postgres_like_new(server, name), queue=queue)
    server.drop_database(name)


async def one_unit(bench: Bench, kind: UnitKind) -> outbox.Delivery:
    """A job with one unit of the wanted kind, sent to the queue; its body has what it needs to end well."""
    if kind in (UnitKind.VERIFY, UnitKind.PUBLISH):
        return await _unit_of_a_written_export(bench, kind)
    await _add_job(bench, KIND_OF_JOB.get(kind, JobKind.BUILD), kind)
    await dispatch(bench.resources)
    (delivery,) = await outbox.queued(bench.db, older_than_s=-10.0)
    return delivery


async def _add_job(bench: Bench, job_kind: JobKind, kind: UnitKind) -> None:
    url_list = await store_urls(bench.resources, ["https://example.org/1.jpg"]) if kind is UnitKind.SEARCH else None
    spec = JobSpec(url_list=url_list, sources=["list"]).model_dump(mode="json") if job_kind is JobKind.BUILD else {}
    async with bench.db.write() as connection:
        dataset_id = await datasets.create_dataset(connection, user_id="local", name="test")
        known = {"user_id": "local", "dataset_id": dataset_id}
        job_id = await lifecycle.create(connection, **known, kind=job_kind, spec=spec, first=[NewUnit(kind)])
        payload: dict[str, str] = {"chunk_id": "chunk_1"} if kind in CHUNKED else {}
        if kind is UnitKind.KEYWORDS:
            payload = {"keyword": "cat"}
        if kind is UnitKind.SEARCH:
            [search_id] = await jobs.add_searches(connection, job_id, [("list", "list", None)])
            payload = {"search_id": search_id}
        if kind is UnitKind.EXPORT:
            export_id = await datasets.add_export(connection, **known, job_id=job_id, export_format="files", storage_tier="standard")
            payload = {"export_id": export_id}
        await connection.execute(update(tables.units).where(tables.units.c.job_id == job_id).values(payload=payload))


async def _unit_of_a_written_export(bench: Bench, kind: UnitKind) -> outbox.Delivery:
    await _add_job(bench, JobKind.EXPORT, UnitKind.EXPORT)
    async with bench.db.write() as connection:
        await connection.execute(update(tables.exports).values(destination="s3://bucket/set"))
    await Bench(replace(bench.context, leases=bench.leases), bench.leases).drive(until=kind)
    (delivery,) = await bench.due()
    await bench.context.queue.send([envelope(delivery)])
    return delivery


@asynccontextmanager
async def arq_worker(bench: Bench, kind: UnitKind) -> AsyncIterator[LeasedWorker]:
    """A polling arq worker for the kind's queue."""
    worker = make_worker(kind.queue, bench.context, slots=4)
    worker.cron_jobs = []
    worker.poll_delay_s = 0.01
    polling = asyncio.create_task(worker.main())
    try:
        yield worker
    finally:
        await worker.stop_picking()
        worker.request_exit()
        await asyncio.wait([polling], timeout=5)
        await asyncio.gather(*worker.tasks.values(), return_exceptions=True)


async def eventually(question: Any, timeout_s: float = 180.0) -> Any:
    """Ask until the answer is true."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        answer = question()
        answer = await answer if inspect.isawaitable(answer) else answer
        if answer:
            return answer
        await asyncio.sleep(0.01)
    raise AssertionError(f"never true: {inspect.getsource(question)}")


@dataclass(frozen=True, slots=True)
class Wait:
    """A retry's wait as the queue has it: the job failed at some moment between two readings of the clock."""

    least_s: float
    most_s: float

    def is_about(self, seconds: float, tolerance_s: float = 1.0) -> bool:
        """Whether the wait may have been that long, within the tolerance."""
        return self.least_s - tolerance_s <= seconds <= self.most_s + tolerance_s


class Waits:
    """Reads the waits of a unit's message from the queue, and ends each at once, as if its time had come, there and in its row."""

    def __init__(self, bench: Bench, delivery: outbox.Delivery) -> None:
        self.bench = bench
        self.pool, self.queue, self.unit_id = bench.context.queue.pool, QUEUES[delivery.kind.queue], delivery.unit_id
        self.due_at = time.time()

    async def next(self) -> Wait:
        """The next wait, from the score of the message."""
        token, score_s = await eventually(self._deferred)
        wait = Wait(score_s - time.time(), score_s - self.due_at)
        with suppress(errors.DatabaseConnectionError):  # where that is what fails, no row says to wait
            await change_unit(self.bench, self.unit_id, not_before=0.0)
        self.due_at = time.time()
        await self.pool.zadd(self.queue, {token: self.due_at * 1000})
        return wait

    async def _deferred(self) -> tuple[str, float] | None:
        later = await self.pool.zrangebyscore(self.queue, (time.time() + 1) * 1000, "+inf", withscores=True)
        found = [(token.decode(), score / 1000) for token, score in later if token.decode().startswith(self.unit_id)]
        assert len(found) < 2, "two messages of one unit wait for their retry"
        return found[0] if found and not await self.pool.exists(f"arq:in-progress:{found[0][0]}") else None


async def state_of(bench: Bench, unit_id: str) -> Unit:
    """A unit's row."""
    async with bench.db.read() as connection:
        return as_unit((await connection.execute(select(tables.units).where(tables.units.c.id == unit_id))).one())


async def in_state(bench: Bench, unit_id: str, state: UnitState) -> Unit | None:
    """A unit's row once it is in a state."""
    unit = await state_of(bench, unit_id)
    return unit if unit.state is state else None


async def change_unit(bench: Bench, unit_id: str, **values: object) -> None:
    """Change a unit behind everyone's back: let its time come, its lease run out."""
    async with bench.db.write() as connection:
        await connection.execute(update(tables.units).where(tables.units.c.id == unit_id).values(**values))


async def sweep(bench: Bench) -> outbox.Swept:
    """Sweep although the last sweep's lock may still hold."""
    now = await bench.db.now()
    async with bench.db.write() as connection:
        await connection.execute(update(tables.locks).values(until=now))
    return await sweeper.sweep_once(bench.context)


async def failures_of(bench: Bench, unit_id: str) -> int:
    """The failures that the queue counts against a unit's budget."""
    return int(await bench.context.queue.pool.get(f"pictrawl:failures:{unit_id}") or 0)
