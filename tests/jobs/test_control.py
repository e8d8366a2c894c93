"""Tests of app.jobs.control: what is done to a job is said in that job's log, with whose job it is."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.db import Database, dead_units, jobs
from app.db.exceptions import StateConflict
from app.db.rows import NewUnit
from app.job_states import DesiredState, JobState, UnitKind
from app.jobs import control
from logging_setup.config import add_sink, remove_sink
from tests.db.builders import add_job
from tests.db.dying import failed_job


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """Every line that is logged meanwhile."""
    seen: list[dict[str, Any]] = []
    sink = add_sink(lambda record: seen.append(dict(record)), level="INFO")
    yield seen
    remove_sink(sink)


async def test_a_steered_job_says_so(database: Database, lines: list[dict[str, Any]]) -> None:
    """With what is wanted; a refusal leaves no line."""
    job_id = await add_job(database, user_id="ann")
    assert (await control.set_desired_state(database, job_id, DesiredState.CANCELLED, user_id="ann")).state is JobState.CANCELLED
    with pytest.raises(StateConflict):
        await control.set_desired_state(database, job_id, DesiredState.PAUSED)
    (line,) = lines
    assert (line["event"], line["job_id"], line["user_id"], line["desired_state"]) == ("job.steered", job_id, "ann", "cancelled")


async def test_a_revived_job_says_with_how_many_units(database: Database, lines: list[dict[str, Any]]) -> None:
    """It runs again."""
    job_id, _ = await failed_job(database, NewUnit(UnitKind.FETCH), NewUnit(UnitKind.FETCH), user_id="ann")
    assert await control.revive(database, job_id) == 2
    assert (await jobs.get(database, job_id)).state is JobState.RUNNING
    assert [(line["event"], line["job_id"], line["user_id"], line["units"]) for line in lines] == [("job.revived", job_id, "ann", 2)]


async def test_each_unit_that_was_retried_or_discarded_has_a_line(database: Database, lines: list[dict[str, Any]]) -> None:
    """With its ids, what it had died of and, for one that was given up, how many images went with it; the chunk only where there is one."""
    chunked = NewUnit(UnitKind.FETCH, {"chunk_id": "chunk_a"})
    job_id, (one, other) = await failed_job(database, chunked, NewUnit(UnitKind.SEARCH), user_id="ann")
    await control.discard_dead(database, dead_units.Which((one,)))
    await control.retry_dead(database, dead_units.Which((other,)), user_id="ann")
    with pytest.raises(StateConflict):
        await control.retry_dead(database, dead_units.Which((other,)))
    discarded, retried = lines
    common = {"job_id": job_id, "user_id": "ann", "error": "MemoryError: too much"}
    wanted = common | {"event": "unit.discarded", "level": "WARNING", "unit_id": one, "chunk_id": "chunk_a", "kind": "fetch", "images": 0}
    assert wanted.items() <= discarded.items()
    assert (common | {"event": "unit.retried", "level": "INFO", "unit_id": other, "kind": "search"}).items() <= retried.items()
    assert "chunk_id" not in retried
