"""The job layer's retries, for every one of the 12 jobs, on a real arq worker."""

import ast
import asyncio
import inspect
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import errors
from app.db import lifecycle, sending
from app.db.rows import NewUnit, Unit
from app.dispatch import dispatch, envelope
from app.queue import JOB_NAMES, QUEUES
from app.records import JobKind, UnitKind, UnitState
from tests.workers.bench import Bench, open_bench
from workers import builder, validator
from workers.job import INFRASTRUCTURE, JOBS
from workers.leases import Leases
from workers.polling import make_worker
from workers.work import Work

TWELVE = [*builder.__all__, *validator.__all__]
DELAY_S = 60.0


class Failing(Leases):
    """Leases through which a test makes the body of any job fail, right after its claim."""

    error: BaseException | None = None
    runs = 0

    def add(self, work: Work) -> None:
        self.runs += 1
        if self.error is not None:
            raise self.error
        super().add(work)


@asynccontextmanager
async def failing_bench(folder: Path, error: BaseException) -> AsyncIterator[tuple[Bench, Failing]]:
    async with open_bench(folder) as bench:
        leases = Failing(bench.db, owner="wrk_test", lease_s=30.0)
        leases.error = error
        bench.context.leases = leases
        yield bench, leases


async def one_unit(bench: Bench, kind: UnitKind) -> sending.Delivery:
    """A job with one unit of the wanted kind, sent to the queue."""
    async with bench.db.write() as connection:
        from app.db import jobs

        dataset_id = await jobs.create_dataset(connection, user_id="local", name="test")
        await lifecycle.create(
            connection,
            user_id="local",
            dataset_id=dataset_id,
            kind=JobKind.BUILD,
            spec={},
            first=[NewUnit(kind, {"chunk_id": "chunk_1"} if kind in (UnitKind.FETCH, UnitKind.VALIDATE, UnitKind.COMPRESS) else {})],
        )
    await dispatch(bench.resources)
    (delivery,) = await sending.queued(bench.db, older_than_s=-10.0)
    return delivery


@asynccontextmanager
async def arq_worker(bench: Bench, kind: UnitKind) -> AsyncIterator[Any]:
    """A polling arq worker for the kind's queue."""
    worker = make_worker(kind.queue, bench.context, slots=4)
    worker.cron_jobs = []
    worker.poll_delay_s = 0.01
    polling = asyncio.create_task(worker.main())
    try:
        yield worker
    finally:
        polling.cancel()
        await asyncio.gather(polling, *worker.tasks.values(), return_exceptions=True)


async def eventually(question: Any, timeout_s: float = 20.0) -> Any:
    """Ask until the answer is true."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        answer = question()
        answer = await answer if inspect.isawaitable(answer) else answer
        if answer:
            return answer
        await asyncio.sleep(0.01)
    raise AssertionError(f"never true: {inspect.getsource(question)}")


async def waited(bench: Bench, delivery: sending.Delivery) -> float:
    """Seconds until the message is due; it is then made due at once."""
    queue, token = QUEUES[delivery.kind.queue], envelope(delivery).token
    score = await eventually(lambda: _deferred(bench, queue, token))
    seconds = float(score) / 1000 - time.time()
    await bench.context.queue.pool.zadd(queue, {token: time.time() * 1000})
    return seconds


async def _deferred(bench: Bench, queue: str, token: str) -> float | None:
    score = await bench.context.queue.pool.zscore(queue, token)
    running = await bench.context.queue.pool.exists(f"arq:in-progress:{token}")
    return score if score and not running and score / 1000 > time.time() + 1 else None


async def state_of(bench: Bench, unit_id: str) -> Unit:
    async with bench.db.read() as connection:
        from sqlalchemy import select

        from app.db import tables

        row = (await connection.execute(select(tables.units).where(tables.units.c.id == unit_id))).one()
    return Unit(
        row.id, row.job_id, UnitKind(row.kind), UnitState(row.state), row.payload, row.epoch, row.crashes, row.not_before, row.error
    )


@pytest.mark.parametrize("kind", list(UnitKind), ids=lambda kind: JOB_NAMES[kind])
async def test_memory_errors_are_retried_three_times_60_s_apart_and_then_bury_the_unit(kind: UnitKind, tmp_path: Path) -> None:
    """MemoryError: 4 runs in all, each retry 60 s after, then a dead unit with the real error on its row."""
    async with failing_bench(tmp_path, MemoryError("no room")) as (bench, leases):
        delivery = await one_unit(bench, kind)
        async with arq_worker(bench, kind):
            waits = [await waited(bench, delivery) for _ in range(3)]
            unit = await eventually(lambda: _in_state(bench, delivery.unit_id, UnitState.DEAD))
    assert waits == pytest.approx([DELAY_S] * 3, abs=2.0)
    assert leases.runs == 4
    assert unit.error == "MemoryError: no room"


async def _in_state(bench: Bench, unit_id: str, state: UnitState) -> Unit | None:
    unit = await state_of(bench, unit_id)
    return unit if unit.state is state else None


@pytest.mark.parametrize("kind", list(UnitKind), ids=lambda kind: JOB_NAMES[kind])
async def test_database_errors_are_retried_three_times_and_then_end_the_delivery_only(kind: UnitKind, tmp_path: Path) -> None:
    """DatabaseConnectionError: 4 runs in all; then the message is gone, the unit is pending, and the sweeper may send it again."""
    async with failing_bench(tmp_path, errors.DatabaseConnectionError("away")) as (bench, leases):
        delivery = await one_unit(bench, kind)
        async with arq_worker(bench, kind) as worker:
            waits = [await waited(bench, delivery) for _ in range(3)]
            await eventually(lambda: worker.jobs_failed == 1)
            await eventually(lambda: bench.context.queue.missing([envelope(delivery).token]))
        unit = await state_of(bench, delivery.unit_id)
    assert waits == pytest.approx([DELAY_S] * 3, abs=2.0)
    assert leases.runs == 4
    assert (unit.state, unit.error) == (UnitState.PENDING, "DatabaseConnectionError: away")


@pytest.mark.parametrize(
    "error",
    [
        errors.NetworkError("reset"),
        errors.RateLimitError("busy", status=429),
        errors.TimeoutException("late"),
        errors.NotFoundError("gone", status=404),
        errors.ValidationError("wrong"),
        errors.AuthenticationError("no", status=401),
        LookupError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_nothing_else_is_retried(error: BaseException, tmp_path: Path) -> None:
    """A network error that escapes, a permanent error, a bug: one run, a dead unit, no Retry."""
    async with failing_bench(tmp_path, error) as (bench, leases):
        delivery = await one_unit(bench, UnitKind.FETCH)
        async with arq_worker(bench, UnitKind.FETCH) as worker:
            unit = await eventually(lambda: _in_state(bench, delivery.unit_id, UnitState.DEAD))
            await eventually(lambda: worker.jobs_complete == 1)
            assert worker.jobs_retried == 0
    assert leases.runs == 1
    assert unit.error == f"{type(error).__name__}: {error}"


async def test_a_fault_of_ours_rests_the_unit_and_counts_nothing(tmp_path: Path) -> None:
    """A full disk releases the unit for 60 s without a retry of arq's, and the job says what it waits for."""
    from app.db import jobs

    async with failing_bench(tmp_path, errors.StorageError("no space left on device")) as (bench, leases):
        delivery = await one_unit(bench, UnitKind.FETCH)
        async with arq_worker(bench, UnitKind.FETCH) as worker:
            await eventually(lambda: worker.jobs_complete == 1)
        unit, job = await state_of(bench, delivery.unit_id), await jobs.get(bench.db, delivery.job_id)
        assert unit.not_before - await bench.db.now() == pytest.approx(DELAY_S, abs=5)
    assert (unit.state, unit.crashes, leases.runs) == (UnitState.PENDING, 0, 1)
    assert job.waiting_for == "no space left on device"


async def test_a_deploy_costs_no_retry(tmp_path: Path) -> None:
    """A job that is cancelled by a shutdown is released at once, and its retry budget is untouched."""
    async with open_bench(tmp_path) as bench:
        delivery = await one_unit(bench, UnitKind.DUPLICATES)
        begun = asyncio.Event()

        class Waiting(Leases):
            def add(self, work: Work) -> None:
                super().add(work)
                begun.set()

        bench.context.leases = Waiting(bench.db, owner="wrk_test", lease_s=30.0)
        run = asyncio.create_task(JOBS["check_duplicates"]({"context": bench.context}, **dict(envelope(delivery).ids)))
        await begun.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        unit = await state_of(bench, delivery.unit_id)
        assert (unit.state, unit.error) == (UnitState.PENDING, None)
        assert unit.not_before <= await bench.db.now()
        assert await bench.context.queue.count_failure(delivery.unit_id) == 1


def test_all_twelve_jobs_are_explicit() -> None:
    """12 of 12 functions are decorated with the one retry rule, and every kind of unit has its function."""
    assert len(TWELVE) == 12
    assert set(JOB_NAMES.values()) == set(TWELVE)
    for name in TWELVE:
        assert JOBS[name].retry_on == INFRASTRUCTURE == (MemoryError, errors.DatabaseConnectionError)  # type: ignore[attr-defined]
        assert "Retry:" in (JOBS[name].__doc__ or "")


def test_no_job_catches_or_retries_by_itself() -> None:
    """The modules of the jobs hold no try, no arq Retry and no Tenacity: the decorator is the only place."""
    for module in (builder, validator):
        nodes = list(ast.walk(ast.parse(inspect.getsource(module))))
        assert not any(isinstance(node, ast.Try) for node in nodes)
        assert not any(isinstance(node, ast.Name) and node.id in ("Retry", "tenacity") for node in nodes)
