"""The job layer's retries, for every job function: a real arq worker that polls a real Redis, beside one on the embedded queue.

``laptop`` is the embedded queue and SQLite, ``fleet`` a redis-server and PostgreSQL. A wait is read from the message's score in the queue
and then cut short, so that nobody waits for it.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import errors
from app.db import events, jobs
from app.job_states import UnitKind, UnitState
from app.jobs import event_log
from app.jobs.dispatch import envelope
from app.queue import JOB_NAMES
from logging_setup.config import add_sink, remove_sink
from tests.workers.bench import Bench
from tests.workers.proof import (
    HOUSES,
    House,
    Waits,
    arq_worker,
    change_unit,
    eventually,
    failures_of,
    in_state,
    one_unit,
    open_house,
    state_of,
    sweep,
)

DELAY_S = 60.0
KINDS = pytest.mark.parametrize("kind", list(UnitKind), ids=lambda kind: JOB_NAMES[kind])
Record = Callable[[str, object], None]


@pytest.fixture(params=HOUSES)
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    """What a job runs on, each in turn."""
    async for opened in open_house(request, tmp_path):
        yield opened


@pytest.fixture
def lines() -> Any:
    """Every line that is logged, as its record."""
    kept: list[dict[str, Any]] = []
    sink = add_sink(lambda record: kept.append(dict(record)), level="DEBUG")
    yield kept
    remove_sink(sink)


@dataclass(frozen=True, slots=True)
class Story:
    """What is told of a failure: the line of the log and the event of the job."""

    line: dict[str, Any]
    event: dict[str, Any]


async def story_of(bench: Bench, lines: list[dict[str, Any]], job_id: str, name: str) -> Story:
    """The one line and the one event of that name."""
    (line,) = [line for line in lines if line["event"] == name and line.get("job_id") == job_id]
    (event,) = await events.after(bench.db, job_id, events.EventFilter(event=name))
    return Story(line, dict(event.data))


@KINDS
async def test_memory_errors_are_retried_three_times_60_s_apart_and_then_bury_the_unit(
    kind: UnitKind, house: House, lines: list[dict[str, Any]], record_property: Record
) -> None:
    """MemoryError: 4 runs in all, each retry 60 s after, then a dead unit with the real error on its row, its event and its line."""
    async with house(MemoryError("no room")) as (bench, leases):
        delivery = await one_unit(bench, kind)
        waits = Waits(bench, delivery)
        async with event_log.recording(bench.db), arq_worker(bench, kind) as worker:
            found = [await waits.next() for _ in range(3)]
            unit = await eventually(lambda: in_state(bench, delivery.unit_id, UnitState.DEAD))
            await eventually(lambda: worker.jobs_failed == 1)
        story = await story_of(bench, lines, delivery.job_id, "job.retries_exhausted")
        assert await failures_of(bench, delivery.unit_id) == 0
    record_property("runs", leases.runs[delivery.unit_id])
    record_property("waits", len(found))
    assert all(wait.is_about(DELAY_S) for wait in found), found
    assert (leases.runs[delivery.unit_id], worker.jobs_retried) == (4, 3)
    assert unit.error == "MemoryError: no room"
    for told in (story.line, story.event):
        assert (told["error_type"], told["error"], told["job"], told["retries"]) == ("MemoryError", "no room", JOB_NAMES[kind], 3)


@KINDS
async def test_database_errors_are_retried_three_times_and_then_healed_by_the_sweeper(
    kind: UnitKind, house: House, caplog: pytest.LogCaptureFixture, record_property: Record
) -> None:
    """DatabaseConnectionError: 4 runs, then the delivery ends with that error; the sweeper's has a fresh budget, and ends well."""
    async with house(errors.DatabaseConnectionError("away")) as (bench, leases):
        delivery = await one_unit(bench, kind)
        waits = Waits(bench, delivery)
        async with arq_worker(bench, kind) as worker:
            found = [await waits.next() for _ in range(3)]
            await eventually(lambda: worker.jobs_failed == 1)
            await eventually(lambda: bench.context.queue.missing([envelope(delivery).token]))
            unit = await state_of(bench, delivery.unit_id)
            assert (unit.state, unit.error, unit.crashes) == (UnitState.PENDING, "DatabaseConnectionError: away", 0)
            assert (await sweep(bench)).sent == 0  # it rests as long as a retry would
            await change_unit(bench, delivery.unit_id, not_before=0.0)
            assert (await sweep(bench)).sent == 1
            again = Waits(bench, delivery)
            await eventually(lambda: failures_of(bench, delivery.unit_id))
            leases.error = None
            found.append(await again.next())
            await eventually(lambda: in_state(bench, delivery.unit_id, UnitState.DONE))
    record_property("runs", leases.runs[delivery.unit_id])
    record_property("waits", len(found))
    assert all(wait.is_about(DELAY_S) for wait in found), found
    assert leases.runs[delivery.unit_id] == 6
    reasons = [record.getMessage() for record in caplog.records if record.name == "arq.worker" and record.levelname == "ERROR"]
    assert [reason.partition("failed, ")[2] for reason in reasons] == ["DatabaseConnectionError: away"]


@pytest.mark.parametrize(
    "error",
    [
        errors.TransientError("it may pass"),
        errors.NetworkError("reset"),
        errors.RateLimitError("busy", status=429),
        errors.PermanentError("for good"),
        errors.NotFoundError("gone", status=404),
        KeyError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_nothing_else_is_retried(error: BaseException, house: House, lines: list[dict[str, Any]]) -> None:
    """A transient error that escapes, a permanent error, a bug: one run, no message left, a dead unit that says why."""
    async with house(error) as (bench, leases):
        delivery = await one_unit(bench, UnitKind.FETCH)
        async with event_log.recording(bench.db), arq_worker(bench, UnitKind.FETCH) as worker:
            unit = await eventually(lambda: in_state(bench, delivery.unit_id, UnitState.DEAD))
            await eventually(lambda: worker.jobs_complete >= 1)
            assert (worker.jobs_retried, worker.jobs_failed) == (0, 0)
        assert await bench.context.queue.missing([envelope(delivery).token])
        assert await failures_of(bench, delivery.unit_id) == 0
        story = await story_of(bench, lines, delivery.job_id, "unit.dead")
    assert leases.runs[delivery.unit_id] == 1
    assert unit.error == f"{type(error).__name__}: {error}"
    for told in (story.line, story.event):
        assert (told["error_type"], told["error"]) == (type(error).__name__, str(error))


@pytest.mark.parametrize(
    ("error", "waiting_for"),
    [
        (errors.StorageError("no space left"), "storage failed (no space left)"),
        (errors.ProxyError("the proxy is away"), "the proxy is away, see `pictrawl doctor --only network`"),
        (errors.QueueUnavailableError("away"), "the queue failed (away)"),
    ],
    ids=["storage", "proxy", "queue"],
)
async def test_a_fault_of_ours_rests_the_unit_and_counts_nothing(error: errors.PictrawlError, waiting_for: str, house: House) -> None:
    """A full disk or a lost queue: released for 60 s, no retry of arq's, the job says what it waits for; the sweeper sends it again."""
    async with house(error) as (bench, leases):
        delivery = await one_unit(bench, UnitKind.FETCH)
        async with arq_worker(bench, UnitKind.FETCH) as worker:
            await eventually(lambda: worker.jobs_complete == 1)
            assert (worker.jobs_retried, worker.jobs_failed) == (0, 0)
            unit, job = await state_of(bench, delivery.unit_id), await jobs.get(bench.db, delivery.job_id)
            assert unit.not_before - await bench.db.now() == pytest.approx(DELAY_S, abs=5)
            assert (unit.state, unit.crashes, leases.runs[delivery.unit_id]) == (UnitState.PENDING, 0, 1)
            assert await failures_of(bench, delivery.unit_id) == 0
            assert job.waiting_for == f"{waiting_for}; retried in 60 s"
            leases.error = None
            await change_unit(bench, delivery.unit_id, not_before=0.0)
            await sweep(bench)
            await eventually(lambda: in_state(bench, delivery.unit_id, UnitState.DONE))
        assert (await jobs.get(bench.db, delivery.job_id)).waiting_for is None
