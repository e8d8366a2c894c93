"""Tests of app.db.fleet: signs of life, locks that run out, keys of the door, and requests that are made once."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text, update

from app.db import Database, fleet, lifecycle, tables
from app.db.rows import NewUnit, WorkerRow
from app.job_states import DesiredState, UnitKind, UnitState
from tests.db.builders import add_job, all_rows, change, claimed, due, unit_ids

WORKER = WorkerRow(
    id="wrk_1-builder", kind="builder", host="host", pid=42, version="0.1.0", slots=8, running=0, loop_lag_s=0.0,
    started_at=0.0, beat_at=0.0,
)  # fmt: skip


async def silent_for(db: Database, worker_id: str, seconds: float) -> None:
    """As if a worker's last sign of life were so old."""
    await change(db, tables.workers, worker_id, beat_at=await db.now() - seconds)


# workers


async def test_a_worker_is_there_from_its_first_beat(any_database: Database) -> None:
    """Later beats change what changes: what runs, the lag, the moment. Times are the database's."""
    await fleet.beat(any_database, WORKER)
    (first,) = await fleet.workers(any_database)
    assert replace(first, started_at=0.0, beat_at=0.0) == WORKER
    assert abs(first.started_at - await any_database.now()) < 60
    await silent_for(any_database, WORKER.id, 20)
    await fleet.beat(any_database, replace(WORKER, running=3, loop_lag_s=0.5))
    (second,) = await fleet.workers(any_database)
    assert (second.running, second.loop_lag_s, second.started_at) == (3, 0.5, first.started_at)
    assert second.beat_at >= first.beat_at
    await fleet.retire(any_database, WORKER.id)
    assert await fleet.workers(any_database) == []


async def test_only_living_workers_have_slots(any_database: Database) -> None:
    """Slots are added up by kind over the workers that beat lately; without any there are none."""
    for worker_id, kind, slots in (("a", "builder", 8), ("b", "builder", 4), ("c", "validator", 2), ("d", "builder", 100)):
        await fleet.beat(any_database, replace(WORKER, id=worker_id, kind=kind, slots=slots))
    await silent_for(any_database, "d", 31)
    await silent_for(any_database, "b", 29)
    async with any_database.read() as connection:
        assert await fleet.slots(connection, fresh_s=30) == {"builder": 12, "validator": 2}
    assert {worker.id for worker in await fleet.workers(any_database, fresh_s=30)} == {"a", "b", "c"}
    assert len(await fleet.workers(any_database)) == 4


async def test_workers_long_gone_are_forgotten(any_database: Database) -> None:
    """Only those that were silent for longer than the limit."""
    for worker_id in ("a", "b"):
        await fleet.beat(any_database, replace(WORKER, id=worker_id))
    await silent_for(any_database, "a", 3601)
    assert await fleet.forget_workers(any_database, older_than_s=3600) == 1
    assert [worker.id for worker in await fleet.workers(any_database)] == ["b"]


# locks


async def test_a_lock_has_one_owner_until_it_runs_out(any_database: Database) -> None:
    """Its owner may prolong it, another waits for its end, and names do not meet."""
    assert await fleet.take_lock(any_database, "sweep", owner="a", for_s=60)
    assert not await fleet.take_lock(any_database, "sweep", owner="b", for_s=60)
    assert await fleet.take_lock(any_database, "sweep", owner="a", for_s=60)
    assert await fleet.take_lock(any_database, "clean_up", owner="b", for_s=60)
    async with any_database.write() as connection:
        await connection.execute(update(tables.locks).where(tables.locks.c.name == "sweep").values(until=await any_database.now() - 1))
    assert await fleet.take_lock(any_database, "sweep", owner="b", for_s=60)
    assert not await fleet.take_lock(any_database, "sweep", owner="a", for_s=60)


async def test_one_of_many_takes_a_lock(any_database: Database) -> None:
    """Ten at once, before its row is there and after it ran out: one each time."""
    for _ in range(2):
        taken = await asyncio.gather(*(fleet.take_lock(any_database, "sweep", owner=f"w{n}", for_s=60) for n in range(10)))
        assert taken.count(True) == 1
        async with any_database.write() as connection:
            await connection.execute(update(tables.locks).values(until=0.0))


NAMES = ("builder", "validator")
NOTHING = dict.fromkeys(fleet.STATES, 0)


async def look(db: Database) -> dict[str, fleet.Backlog]:
    return {found.name: found for found in await fleet.backlogs(db, NAMES, fresh_s=30.0)}


async def test_an_empty_queue_has_nothing_of_anything(any_database: Database) -> None:
    """Every state is named, so that a script need not know which may be missing."""
    assert await look(any_database) == {name: fleet.Backlog(name, NOTHING, None, 0) for name in NAMES}


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
    assert found["builder"].units == dict.fromkeys(fleet.STATES, 1)
    assert found["validator"].units == NOTHING | {"pending": 2}
    assert tuple(fleet.STATES) == ("pending", "deferred", "queued", "running", "quarantined", "dead")


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
    await lifecycle.set_desired_state(any_database, job_id, DesiredState.PAUSED)
    found = (await look(any_database))["builder"]
    assert (found.units["pending"], found.oldest_due_s) == (1, None)


async def test_slots_are_those_of_living_workers(any_database: Database) -> None:
    """A worker that has been silent for too long offers none."""
    for name, kind, slots in (("a", "builder", 8), ("b", "builder", 4), ("c", "validator", 2)):
        await fleet.beat(any_database, WorkerRow(name, kind, "host", 7, "0.1.0", slots, 0, 0.0, 0.0, 0.0))
    await change(any_database, tables.workers, "b", beat_at=await any_database.now() - 31)
    assert [found.slots for found in (await look(any_database)).values()] == [8, 2]


@pytest.mark.parametrize("make", [fleet.count_unfinished, fleet.find_oldest])
async def test_what_is_done_is_not_read(any_database: Database, make: Callable[..., Any]) -> None:
    """The plan goes through an index on the state, not through the table."""
    job_id = await add_job(any_database, 1)
    async with any_database.write() as connection:
        await lifecycle.add_units(connection, job_id, [NewUnit(UnitKind.FETCH)] * 3000)
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
