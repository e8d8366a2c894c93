"""Tests of app.db.backlog: what waits in each queue, and for how long, without looking at what is done."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from app.db import Database, backlog, fleet, lifecycle, tables, units
from app.db.rows import NewUnit, WorkerRow
from app.domain import JobState, UnitKind, UnitState
from tests.db.builders import add_job, all_rows, change, claimed, due, unit_ids

NAMES = ("builder", "validator")
NOTHING = dict.fromkeys(backlog.STATES, 0)


async def look(db: Database) -> dict[str, backlog.Backlog]:
    return {found.name: found for found in await backlog.backlogs(db, NAMES, fresh_s=30.0)}


async def test_an_empty_queue_has_nothing_of_anything(any_database: Database) -> None:
    """Every state is named, so that a script need not know which may be missing."""
    assert await look(any_database) == {name: backlog.Backlog(name, NOTHING, None, 0) for name in NAMES}


async def test_units_are_counted_by_state(any_database: Database) -> None:
    """Pending is due, deferred is not; what is done or cancelled is nobody's backlog."""
    job_id = await add_job(any_database, 8)
    ids = await unit_ids(any_database, job_id)
    now = await any_database.now()
    await change(any_database, tables.units, ids[1], not_before=now + 1000)
    for unit_id, state in zip(ids[2:], ("queued", "running", "quarantined", "dead", "done", "cancelled"), strict=True):
        await change(any_database, tables.units, unit_id, state=UnitState(state))
    await add_job(any_database, 2, unit_kind=UnitKind.VALIDATE)
    found = await look(any_database)
    assert found["builder"].units == dict.fromkeys(backlog.STATES, 1)
    assert found["validator"].units == NOTHING | {"pending": 2}
    assert tuple(backlog.STATES) == ("pending", "deferred", "queued", "running", "quarantined", "dead")


async def test_the_age_is_that_of_the_oldest_unit_that_may_run(any_database: Database) -> None:
    """From its creation, or from its not-before time where that is later; what was sent and not taken waits, too."""
    now = await any_database.now()
    (first, second, deferred) = await unit_ids(any_database, await add_job(any_database, 3))
    await change(any_database, tables.units, first, created_at=now - 1000, not_before=now - 100)
    await change(any_database, tables.units, second, created_at=now - 5000, not_before=now - 50, state=UnitState.QUEUED)
    await change(any_database, tables.units, deferred, created_at=now - 5000, not_before=now + 500)
    age = (await look(any_database))["builder"].oldest_due_s
    assert age == pytest.approx(100, abs=30)
    await claimed(any_database, first)
    age = (await look(any_database))["builder"].oldest_due_s
    assert age == pytest.approx(50, abs=30)


async def test_a_paused_job_makes_no_queue_old(any_database: Database) -> None:
    """Its units wait because somebody wants them to."""
    job_id = await add_job(any_database, 1)
    await lifecycle.steer(any_database, job_id, JobState.PAUSED)
    found = (await look(any_database))["builder"]
    assert (found.units["pending"], found.oldest_due_s) == (1, None)


async def test_slots_are_those_of_living_workers(any_database: Database) -> None:
    """A worker that has been silent for too long offers none."""
    for name, kind, slots in (("a", "builder", 8), ("b", "builder", 4), ("c", "validator", 2)):
        await fleet.beat(any_database, WorkerRow(name, kind, "host", 7, "0.1.0", slots, 0, 0.0, 0.0, 0.0))
    await change(any_database, tables.workers, "b", beat_at=await any_database.now() - 31)
    assert [found.slots for found in (await look(any_database)).values()] == [8, 2]


@pytest.mark.parametrize("make", [backlog.count_unfinished, backlog.find_oldest])
async def test_what_is_done_is_not_read(any_database: Database, make: Callable[..., Any]) -> None:
    """The plan goes through an index on the state, not through the table."""
    job_id = await add_job(any_database, 1)
    async with any_database.write() as connection:
        await units.add(connection, job_id, [NewUnit(UnitKind.FETCH)] * 3000)
        await connection.execute(tables.units.update().values(state=UnitState.DONE))
    async with any_database.write() as connection:
        await connection.execute(text("ANALYZE"))
    words = make(NAMES).compile(dialect=any_database.engine.dialect, compile_kwargs={"literal_binds": True})
    explain = "EXPLAIN QUERY PLAN" if any_database.is_sqlite else "EXPLAIN"
    plan = " ".join(str(row) for row in await all_rows(any_database, text(f"{explain} {words}")))  # type: ignore[arg-type]
    assert "ix_units_" in plan
    assert not re.search(r"(Seq Scan on|SCAN) units", plan)


async def test_what_the_sweeper_sends_is_what_is_counted(any_database: Database) -> None:
    """Sent units move from pending to queued."""
    await add_job(any_database, 3)
    await due(any_database, "builder", window=2)
    found = (await look(any_database))["builder"].units
    assert (found["pending"], found["queued"]) == (1, 2)
