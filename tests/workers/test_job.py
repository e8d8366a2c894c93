"""The job decorator's corners that need no arq."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from arq import Retry
from opentelemetry import trace

import errors
from app.db import jobs, outbox, units
from app.job_states import DesiredState, JobState, UnitKind, UnitState
from tests.db.builders import expire
from tests.figures import Growth
from tests.receiver import recording
from tests.workers.bench import Bench, open_bench
from tests.workers.proof import change_unit, failing_bench, one_unit, state_of
from workers.job import JOBS, RunRecorder
from workers.unit import RanIsolated, Stopped, StopReason


async def call(bench: Bench, delivery: outbox.Delivery, *, job_try: int = 1) -> None:
    """Run a delivery's job function as arq would."""
    await bench.run(delivery, job_try=job_try)


async def test_a_duplicate_delivery_does_nothing(bench: Bench) -> None:
    """A unit that is done is not run again."""
    delivery = await one_unit(bench, UnitKind.INTEGRITY)
    await call(bench, delivery)
    before = await state_of(bench, delivery.unit_id)
    await call(bench, delivery)
    assert await state_of(bench, delivery.unit_id) == before
    assert before.state is UnitState.DONE


async def test_the_failure_count_starts_anew_after_a_success(tmp_path: Path) -> None:
    """Failures that lie before a success do not eat the next one's retries."""
    async with failing_bench(tmp_path, errors.DatabaseConnectionError("away")) as (bench, leases):
        delivery = await one_unit(bench, UnitKind.INTEGRITY)
        with pytest.raises(Retry):
            await call(bench, delivery)
        leases.error = None
        await change_unit(bench, delivery.unit_id, not_before=0.0)
        await call(bench, delivery, job_try=2)
        assert (await state_of(bench, delivery.unit_id)).state is UnitState.DONE
        assert await bench.context.queue.count_failure(delivery.unit_id) == 1


async def test_retries_go_on_while_redis_is_away(tmp_path: Path) -> None:
    """Without Redis the count is lost, which only adds retries: the error is never swallowed."""
    async with failing_bench(tmp_path, MemoryError("no room")) as (bench, _):
        delivery = await one_unit(bench, UnitKind.INTEGRITY)

        async def away(_: str) -> int:
            raise errors.QueueUnavailableError("away")

        bench.context.queue.count_failure = away  # type: ignore[method-assign]
        for _ in range(5):
            with pytest.raises(Retry):
                await call(bench, delivery, job_try=2)
            await change_unit(bench, delivery.unit_id, not_before=0.0)


async def test_the_failure_count_starts_anew_after_the_last_retry_whoever_delivered_it(tmp_path: Path) -> None:
    """A fourth failure on a message's first run, before any claim, leaves no count: the next delivery has its retries."""
    async with open_bench(tmp_path, url="postgresql+asyncpg://pictrawl@127.0.0.1:1/pictrawl") as bench:
        delivery = outbox.Delivery("unit_1", UnitKind.INTEGRITY, "job_1", 4)
        for _ in range(3):
            await bench.context.queue.count_failure(delivery.unit_id)
        with pytest.raises(errors.DatabaseConnectionError):
            await call(bench, delivery)
        assert await bench.context.queue.count_failure(delivery.unit_id) == 1


async def test_a_cancelled_job_stops_its_running_unit(bench: Bench) -> None:
    """Cancel reaches a running unit through its lease keeper; the unit ends as cancelled and the job with it."""
    delivery = await one_unit(bench, UnitKind.INTEGRITY)
    claimed = asyncio.Event()

    async def hang(*_: object) -> str | None:
        claimed.set()
        await asyncio.Event().wait()
        return None

    import workers.stages.integrity

    original = workers.stages.integrity.check_objects
    workers.stages.integrity.check_objects = hang  # type: ignore[assignment]
    try:
        run = asyncio.create_task(call(bench, delivery))
        await claimed.wait()
        from app.db import lifecycle

        await lifecycle.set_desired_state(bench.db, delivery.job_id, DesiredState.CANCELLED)
        await bench.leases.renew_and_check()
        await run
    finally:
        workers.stages.integrity.check_objects = original
    assert (await state_of(bench, delivery.unit_id)).state is UnitState.CANCELLED
    assert (await jobs.get(bench.db, delivery.job_id)).state is JobState.CANCELLED


async def test_a_lost_lease_stops_the_unit_and_writes_nothing(bench: Bench) -> None:
    """A worker that was overtaken ends its work; the successor's row is untouched."""

    delivery = await one_unit(bench, UnitKind.INTEGRITY)
    claimed = asyncio.Event()

    async def hang(*_: object) -> None:
        claimed.set()
        await asyncio.Event().wait()

    import workers.stages.integrity

    original = workers.stages.integrity.check_objects
    workers.stages.integrity.check_objects = hang  # type: ignore[assignment]
    try:
        run = asyncio.create_task(call(bench, delivery))
        await claimed.wait()
        await expire(bench.db, delivery.unit_id)
        successor = await units.claim(bench.db, delivery.unit_id, owner="wrk_other", lease_s=30)
        assert successor is not None
        for work in list(bench.leases._held.values()):
            work.request_stop(StopReason.LOST)
        await run
    finally:
        workers.stages.integrity.check_objects = original
    unit = await state_of(bench, delivery.unit_id)
    assert (unit.state, unit.epoch) == (UnitState.RUNNING, successor.epoch)


def test_a_job_keeps_its_name_and_docstring() -> None:
    """What arq registers and what the documentation shows is the function itself."""
    assert JOBS["process_chunk"].__name__ == "process_chunk"
    assert "Safe to run twice" in (JOBS["process_chunk"].__doc__ or "")


ENDS: list[tuple[BaseException | None, int, str]] = [
    (None, 0, "done"),
    (MemoryError("no room"), 0, "retried"),
    (MemoryError("no room"), 3, "dead"),
    (errors.DatabaseConnectionError("away"), 0, "retried"),
    (errors.DatabaseConnectionError("away"), 3, "exhausted"),
    (errors.StorageError("full"), 0, "rested"),
    (errors.QueueUnavailableError("away"), 0, "rested"),
    (units.LeaseLost("unit"), 0, "lease_lost"),
    (Stopped(StopReason.CANCELLED), 0, "stopped"),
    (RanIsolated("unit"), 0, "alone"),
    (asyncio.CancelledError(), 0, "interrupted"),
    (ValueError("a bug"), 0, "dead"),
]


@pytest.mark.parametrize(("error", "failures", "outcome"), ENDS, ids=lambda value: type(value).__name__)
async def test_each_end_of_a_run_is_counted_once(tmp_path: Path, error: BaseException | None, failures: int, outcome: str) -> None:
    """By its own name; a message that comes again finds nothing to claim."""
    async with failing_bench(tmp_path, error) as (bench, _):
        delivery = await one_unit(bench, UnitKind.INTEGRITY)
        for _ in range(failures):
            await bench.context.queue.count_failure(delivery.unit_id)
        grown = Growth()
        with suppress(Retry, MemoryError, errors.DatabaseConnectionError, asyncio.CancelledError):
            await call(bench, delivery)
        assert grown.of("pictrawl_job_runs_total") == {("check_integrity", outcome): 1}
        grown = Growth()
        await change_unit(bench, delivery.unit_id, state=UnitState.DONE)
        await call(bench, delivery)
        assert grown.of("pictrawl_job_runs_total") == {("check_integrity", "not_claimed"): 1}


def test_a_run_is_counted_by_how_it_ended() -> None:
    """Once, with its time."""
    grown = Growth()
    with RunRecorder("process_chunk") as run:
        run.set_outcome("stopped")
    with RunRecorder("process_chunk"):
        pass
    assert grown.of("pictrawl_job_runs_total") == {("process_chunk", "stopped"): 1, ("process_chunk", "done"): 1}
    assert grown.of("pictrawl_job_run_duration_seconds_count") == {("process_chunk",): 2}


def _end_by(error: Exception, outcome: str) -> None:
    with RunRecorder("sweep") as run:
        run.set_outcome(outcome, error)
        raise error


async def test_a_run_that_ends_by_an_error_is_counted_and_lets_it_pass() -> None:
    """The exception propagates; the span around it has the outcome and the error."""
    grown = Growth()
    async with recording() as recorded:
        with trace.get_tracer(__name__).start_as_current_span("sweep", record_exception=False), pytest.raises(MemoryError):
            _end_by(MemoryError("no room"), "retried")
    assert grown.of("pictrawl_job_runs_total") == {("sweep", "retried"): 1}
    (span,) = recorded()
    assert (span.attributes or {}) == {"outcome": "retried", "error.type": "MemoryError"}
    assert span.status.description == "no room"


def test_a_message_that_found_nothing_has_no_duration() -> None:
    """Thousands of quick nothings would hide how long work takes."""
    grown = Growth()
    with RunRecorder("verify_export") as run:
        run.set_outcome("not_claimed")
    assert grown.of("pictrawl_job_runs_total") == {("verify_export", "not_claimed"): 1}
    assert grown.of("pictrawl_job_run_duration_seconds_count") == {}
