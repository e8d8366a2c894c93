"""."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.util import await_only

from app.db import Database, jobs, lifecycle, outbox, tables, units
from app.db.rows import NewUnit
from app.job_states import DesiredState, JobState, UnitKind, UnitState
from app.jobs.dispatch import mark_due
from tests.db.builders import (
    add_job,
    all_rows,
    beat,
    change,
    claimed,
    claimed_all,
    count,
    due,
    expire,
    finalizers,
    finish,
    job_row,
    take_back_expired,
    unit_ids,
    unit_row,
)


async def test_end_leases_takes_everything_back_at_once(any_database: Database) -> None:
    """For a caller who knows that no worker is left: no waiting for leases to run out, one crash each, and quarantine where it is due."""
    job_id = await add_job(any_database, 4)
    first, second, sent, _ = await unit_ids(any_database, job_id)
    await due(any_database, "builder", window=3)
    for unit_id in (first, second):
        await claimed(any_database, unit_id)
    await change(any_database, tables.units, second, crashes=2)
    await beat(any_database, "worker-builder", age_s=0)
    assert await outbox.end_leases(any_database, max_crashes=3) == 2
    rows = [await unit_row(any_database, unit_id) for unit_id in (first, second, sent)]
    assert [(row.state, row.crashes) for row in rows] == [("pending", 1), ("quarantined", 3), ("pending", 0)]
    assert await count(any_database, tables.workers) == 0
    assert await outbox.end_leases(any_database, max_crashes=3) == 0


async def test_units_of_silent_workers_come_back_until_they_have_crashed_too_often(any_database: Database) -> None:
    """Twice back to pending, each time one crash more; the third time in quarantine, still open, out of its worker's reach."""
    job_id = await add_job(any_database, 2)
    victim, other = await unit_ids(any_database, job_id)
    await claimed(any_database, other)
    for crashes in (1, 2):
        await claimed(any_database, victim)
        await expire(any_database, victim)
        assert await take_back_expired(any_database) == (1, [])
        row = await unit_row(any_database, victim)
        assert (row.state, row.owner, row.lease_until, row.crashes) == ("pending", None, None, crashes)
    unit = await claimed(any_database, victim)
    await expire(any_database, victim)
    assert await take_back_expired(any_database) == (0, [victim])
    assert (await unit_row(any_database, victim)).state == "quarantined"
    assert (await job_row(any_database, job_id)).open_units == 2
    with pytest.raises(units.LeaseLost):
        await finish(any_database, unit)
    assert (await unit_row(any_database, other)).state == "running"


async def test_a_lease_that_runs_out_during_a_sweep_is_no_death(any_database: Database) -> None:
    """A sweep looks at the clock twice; what expires in between has crashed once."""
    job_id = await add_job(any_database, 2)
    early, late = await claimed_all(any_database, job_id)
    await expire(any_database, early.id)

    done: list[str] = []

    def expire_late(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE units") and not done:
            done.append(statement)
            connection.execute(update(tables.units).where(tables.units.c.id == late.id).values(lease_until=1.0))

    event.listen(any_database.engine.sync_engine, "after_cursor_execute", expire_late)
    assert await take_back_expired(any_database) == (2, [])
    assert len(done) == 1
    assert [(await unit_row(any_database, unit.id)).crashes for unit in (early, late)] == [1, 1]


async def test_what_the_queue_lost_is_found_and_sent_again(any_database: Database) -> None:
    """Units sent some time ago and claimed by nobody are listed, oldest first; those that come back are pending."""
    job_id = await add_job(any_database, [NewUnit(UnitKind.FETCH, {"chunk_id": f"c{number}"}) for number in range(4)])
    ids = await unit_ids(any_database, job_id)
    assert [delivery.unit_id for delivery in await due(any_database, "builder", window=10)] == ids
    await claimed(any_database, ids[3])
    now = await any_database.now()
    for age, unit_id in ((30, ids[1]), (60, ids[0]), (1, ids[2])):
        await change(any_database, tables.units, unit_id, queued_at=now - age)
    waiting = await outbox.queued(any_database, older_than_s=10)
    assert [(item.unit_id, item.kind, item.job_id, item.epoch, item.chunk_id) for item in waiting] == [
        (ids[0], UnitKind.FETCH, job_id, 0, "c0"),
        (ids[1], UnitKind.FETCH, job_id, 0, "c1"),
    ]
    assert len(await outbox.queued(any_database, older_than_s=10, limit=1)) == 1
    assert await outbox.return_unsent(any_database, [ids[0], ids[3], "unit_unknown"], max_crashes=3) == 1
    assert [(await unit_row(any_database, unit_id)).state for unit_id in ids] == ["pending", "queued", "queued", "running"]
    assert await outbox.return_unsent(any_database, [], max_crashes=3) == 0


async def test_a_job_without_an_open_unit_gets_its_finalize_back(any_database: Database) -> None:
    """The repair finds jobs that would never end, once, and leaves alone what is paused, ended, or at work."""
    lost, paused, ended, working = [await add_job(any_database) for _ in range(4)]
    await lifecycle.set_desired_state(any_database, paused, DesiredState.PAUSED)
    for job_id in (lost, paused, ended):
        (unit_id,) = await unit_ids(any_database, job_id)
        await change(any_database, tables.units, unit_id, state=UnitState.DONE)
        await change(any_database, tables.jobs, job_id, open_units=-1)
    async with any_database.write() as connection:
        await jobs.end(connection, ended, JobState.SUCCEEDED)
    assert await outbox.lost_finalizes(any_database) == 1
    assert await outbox.lost_finalizes(any_database) == 0
    job = await job_row(any_database, lost)
    assert (job.state, job.open_units, await finalizers(any_database, lost)) == ("finalizing", 1, 1)
    assert [await finalizers(any_database, job_id) for job_id in (paused, ended, working)] == [0, 0, 0]


async def test_due_marks_what_it_returns_and_keeps_to_the_window(any_database: Database) -> None:
    """Queued and running units fill the window; what is beyond it waits, oldest first."""
    job_id = await add_job(any_database, 6)
    ids = await unit_ids(any_database, job_id)
    first = await due(any_database, "builder", window=3)
    assert [delivery.unit_id for delivery in first] == ids[:3]
    assert await due(any_database, "builder", window=3) == []
    unit = await claimed(any_database, ids[0])
    assert await due(any_database, "builder", window=3) == []
    await finish(any_database, unit)
    assert [delivery.unit_id for delivery in await due(any_database, "builder", window=3)] == [ids[3]]
    row = await unit_row(any_database, ids[3])
    assert row.state == "queued"
    assert row.queued_at is not None


async def test_due_leaves_what_is_not_due(any_database: Database) -> None:
    """Another queue, a later moment, and jobs that are paused or cancelled."""
    later = await any_database.now() + 3600
    job_id = await add_job(any_database, [NewUnit(UnitKind.VALIDATE), NewUnit(UnitKind.FETCH, not_before=later), NewUnit(UnitKind.FETCH)])
    for desired in (JobState.PAUSED, JobState.CANCELLED):
        await lifecycle.set_desired_state(any_database, await add_job(any_database, 3), desired)
    sent = await due(any_database, "builder", window=100)
    assert [delivery.unit_id for delivery in sent] == [(await unit_ids(any_database, job_id))[2]]
    assert [delivery.kind for delivery in await due(any_database, "validator", window=100)] == [UnitKind.VALIDATE]


async def test_a_thousand_units_do_not_starve_ten(any_database: Database) -> None:
    """A user's jobs take turns: of twenty sent, the small job that came later has ten."""
    big = await add_job(any_database, 1000)
    small = await add_job(any_database, 10)
    sent = await due(any_database, "builder", window=20)
    assert Counter(delivery.job_id for delivery in sent) == {big: 10, small: 10}
    assert [delivery.job_id for delivery in sent[:4]] == [big, small, big, small]
    assert [delivery.rank for delivery in sent] == list(range(20))


async def test_users_share_equally_whatever_they_ask_for(any_database: Database) -> None:
    """Ten jobs of high priority get one user no more than one plain job gets another; what the other does not need falls to the first."""
    for _ in range(10):
        await add_job(any_database, 50, user_id="eager", priority=100)
    plain = await add_job(any_database, 4, user_id="plain")
    sent = await due(any_database, "builder", window=6)
    assert sum(delivery.job_id == plain for delivery in sent) == 3
    assert sorted(delivery.rank for delivery in sent) == [0, 0, 1, 1, 2, 2]
    sent = await due(any_database, "builder", window=26)
    assert sum(delivery.job_id == plain for delivery in sent) == 1
    assert len(sent) == 20


async def test_a_user_with_nothing_under_way_is_let_in_where_the_window_is_full(any_database: Database) -> None:
    """One unit goes out beyond the window, and a second only once there is room."""
    await add_job(any_database, 50, user_id="first")
    assert len(await due(any_database, "builder", window=8)) == 8
    late = await add_job(any_database, 50, user_id="late")
    sent = await due(any_database, "builder", window=8)
    assert [(delivery.job_id, delivery.rank) for delivery in sent] == [(late, 0)]
    assert await due(any_database, "builder", window=8) == []


async def test_one_unit_in_quarantine_goes_out_at_a_time(any_database: Database) -> None:
    """And returns to quarantine where the queue loses it."""
    job_id = await add_job(any_database, 3)
    ids = await unit_ids(any_database, job_id)
    for unit_id in ids[:2]:
        await change(any_database, tables.units, unit_id, state=UnitState.QUARANTINED, crashes=3)
    assert [delivery.unit_id for delivery in await due(any_database, "builder", window=8)] == [ids[0], ids[2]]
    assert await due(any_database, "builder", window=8) == []
    assert await outbox.return_unsent(any_database, ids, max_crashes=3) == 2
    assert [(await unit_row(any_database, unit_id)).state for unit_id in ids] == ["quarantined", "quarantined", "pending"]


async def test_in_passing_a_window_that_is_nearly_full_is_left_alone(any_database: Database) -> None:
    """A quarter has to be free, or the user whose unit ended must have none there."""
    job_id = await add_job(any_database, 20)
    await due(any_database, "builder", window=7)
    assert await mark_due(any_database, {"builder": 8}, max_crashes=3, finished_users=["local"]) == []
    late = await add_job(any_database, 1, user_id="late")
    sent = await mark_due(any_database, {"builder": 8}, max_crashes=3, finished_users=["late"])
    assert [delivery.job_id for delivery in sent] == [late]
    for unit_id in (await unit_ids(any_database, job_id))[:2]:
        await finish(any_database, await claimed(any_database, unit_id))
    assert len(await mark_due(any_database, {"builder": 8}, max_crashes=3, finished_users=["local"])) == 2


async def test_who_has_how_much_of_a_queue(any_database: Database) -> None:
    """Running units of each user, and how long the oldest waits that was sent."""
    first, second = await add_job(any_database, 3, user_id="first"), await add_job(any_database, 1, user_id="second")
    await due(any_database, "builder", window=10)
    await claimed(any_database, (await unit_ids(any_database, first))[0])
    (waiting,) = await unit_ids(any_database, second)
    await change(any_database, tables.units, waiting, queued_at=await any_database.now() - 7)
    shares = {share.user_id: share for share in (await outbox.shares(any_database))["builder"]}
    assert (shares["first"].running, shares["second"].running) == (1, 0)
    assert shares["first"].waited_s < 5 < shares["second"].waited_s < 60


async def test_priority_goes_before_turns_among_a_users_jobs(any_database: Database) -> None:
    """A job of higher priority is served first, and only then the others in turn."""
    plain, low = await add_job(any_database, 5), await add_job(any_database, 5, priority=-5)
    urgent = await add_job(any_database, 5, priority=10)
    sent = await due(any_database, "builder", window=11)
    assert [delivery.job_id for delivery in sent] == [urgent] * 5 + [plain] * 5 + [low]


async def test_no_unit_is_sent_by_two_dispatchers(any_database: Database) -> None:
    """Ten dispatchers at once: together they send every unit once, and touch none that a worker runs by now."""
    job_id = await add_job(any_database, 40)

    async def dispatch_and_run() -> list[str]:
        sent = [delivery.unit_id for delivery in await due(any_database, "builder", window=1000)]
        for unit_id in sent[:5]:
            await claimed(any_database, unit_id)
        return sent

    sent = await asyncio.gather(*(dispatch_and_run() for _ in range(10)))
    assert sorted(unit_id for ids in sent for unit_id in ids) == await unit_ids(any_database, job_id)
    running = await all_rows(any_database, select(tables.units.c.id).where(tables.units.c.state == "running"))
    assert {row.id for row in running} == {unit_id for ids in sent for unit_id in ids[:5]}


async def test_a_unit_that_was_claimed_between_look_and_mark_stays_running(postgres_database: Database) -> None:
    """Another dispatcher sent the unit and a worker runs it before this one has marked what it saw: the mark passes it by."""
    db = postgres_database
    job_id = await add_job(db, 2)
    taken, free = await unit_ids(db, job_id)
    seen: list[str] = []

    def claim_one(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM jobs" in statement and not seen:
            seen.append(statement)
            await_only(claimed(db, taken))

    event.listen(db.engine.sync_engine, "after_cursor_execute", claim_one)
    sent = await due(db, "builder", window=10)
    assert len(seen) == 1
    assert [delivery.unit_id for delivery in sent] == [free]
    assert (await unit_row(db, taken)).state == "running"
