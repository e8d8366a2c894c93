"""Tests of app.db.units: who may work on what, fenced by epochs, and what the sweeper brings back."""

import asyncio
import random
from collections import Counter
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from app.db import Database, jobs, lifecycle, tables, units
from app.db.rows import NewUnit, Unit
from app.domain import ImageState, Reason
from app.job_states import OPEN_UNIT_STATES, DesiredState, JobState, UnitKind, UnitState
from tests.db.builders import (
    LEASE_S,
    add_images,
    add_job,
    all_rows,
    beat,
    change,
    claimed,
    claimed_all,
    count,
    expire,
    finalizers,
    finish,
    job_row,
    statements,
    take_back_expired,
    unit_ids,
    unit_row,
)

# add


async def test_units_are_counted_as_open_when_they_are_added(any_database: Database) -> None:
    """Each kind goes to its queue, pending, and the job counts them all; none is added by an empty list."""
    now = await any_database.now()
    job_id = await add_job(any_database, [NewUnit(UnitKind.FETCH, {"chunk_id": "c1"}), NewUnit(UnitKind.VALIDATE, not_before=7.0)])
    async with any_database.write() as connection:
        assert await lifecycle.add_units(connection, job_id, []) == []
        (added,) = await lifecycle.add_units(connection, job_id, [NewUnit(UnitKind.SEARCH)])
    assert (await job_row(any_database, job_id)).open_units == 3
    rows = await all_rows(any_database, select(tables.units).order_by(tables.units.c.id))
    assert [(row.kind, row.queue, row.state, row.payload) for row in rows] == [
        ("fetch", "builder", "pending", {"chunk_id": "c1"}),
        ("validate", "validator", "pending", {}),
        ("search", "builder", "pending", {}),
    ]
    assert [row.not_before - now for row in rows] == [pytest.approx(0, abs=60), 7.0 - now, pytest.approx(0, abs=60)]
    assert added == rows[2].id


# claim


async def test_a_claim_gives_the_unit_its_epoch_and_its_job(any_database: Database) -> None:
    """The claim's one statement raises the epoch and sets the lease by the database's clock; the job comes along."""
    job_id = await add_job(any_database, [NewUnit(UnitKind.FETCH, {"chunk_id": "c1"})])
    (unit_id,) = await unit_ids(any_database, job_id)
    unit = await units.claim(any_database, unit_id, owner="wrk_a", lease_s=LEASE_S)
    assert unit is not None
    assert unit.job is not None
    assert (unit.id, unit.kind, unit.state, unit.payload, unit.epoch, unit.crashes) == (
        unit_id, UnitKind.FETCH, UnitState.RUNNING, {"chunk_id": "c1"}, 1, 0,
    )  # fmt: skip
    assert (unit.job.id, unit.job.state) == (job_id, JobState.RUNNING)
    row = await unit_row(any_database, unit_id)
    assert row.owner == "wrk_a"
    assert 0 < row.lease_until - await any_database.now() <= LEASE_S


async def test_one_of_twenty_claims_wins(any_database: Database) -> None:
    """Duplicate deliveries at the same moment: one owner, one epoch."""
    job_id = await add_job(any_database)
    (unit_id,) = await unit_ids(any_database, job_id)
    claims = await asyncio.gather(*(units.claim(any_database, unit_id, owner=f"wrk_{number}", lease_s=LEASE_S) for number in range(20)))
    won = [number for number, unit in enumerate(claims) if unit is not None]
    row = await unit_row(any_database, unit_id)
    assert [f"wrk_{number}" for number in won] == [row.owner]
    assert row.epoch == 1


async def test_a_claim_of_what_is_not_there_or_over_finds_nothing(any_database: Database) -> None:
    """Unknown, finished, dead and cancelled units are nobody's."""
    job_id = await add_job(any_database, 3)
    for unit, state in zip(await claimed_all(any_database, job_id), (UnitState.DONE, UnitState.DEAD, UnitState.CANCELLED), strict=True):
        await finish(any_database, unit, state=state)
        assert await units.claim(any_database, unit.id, owner="other", lease_s=LEASE_S) is None
    assert await units.claim(any_database, "unit_unknown", owner="other", lease_s=LEASE_S) is None


async def test_a_unit_is_not_claimed_before_its_time(any_database: Database) -> None:
    """Not before its moment, whichever delivery asks for it."""
    job_id = await add_job(any_database)
    (early,) = await unit_ids(any_database, job_id)
    soon = await any_database.now() + 3600
    await change(any_database, tables.units, early, not_before=soon)
    assert await units.claim(any_database, early, owner="a", lease_s=LEASE_S) is None
    await change(any_database, tables.units, early, not_before=soon - 3601)
    assert await units.claim(any_database, early, owner="a", lease_s=LEASE_S) is not None


@pytest.mark.parametrize("desired", [JobState.PAUSED, JobState.CANCELLED])
async def test_a_unit_of_a_job_that_is_not_to_run_is_not_claimed(any_database: Database, desired: JobState) -> None:
    """Pause and cancel act on deliveries that are in the queue already, on redelivered ones too."""
    job_id = await add_job(any_database, 2)
    waiting, running = await unit_ids(any_database, job_id)
    await claimed(any_database, running)
    await lifecycle.set_desired_state(any_database, job_id, desired)
    await expire(any_database, running)
    for unit_id in (waiting, running):
        assert await units.claim(any_database, unit_id, owner="a", lease_s=LEASE_S) is None


async def test_a_lease_that_ran_out_is_taken_over_and_counts_a_crash(any_database: Database) -> None:
    """A living lease is respected; a dead one gives way, the epoch grows, and the unit remembers."""
    job_id = await add_job(any_database)
    (unit_id,) = await unit_ids(any_database, job_id)
    first = await claimed(any_database, unit_id, owner="first")
    assert await units.claim(any_database, unit_id, owner="second", lease_s=LEASE_S) is None
    await expire(any_database, unit_id)
    second = await claimed(any_database, unit_id, owner="second")
    assert (second.epoch, second.crashes) == (first.epoch + 1, 1)
    assert (await unit_row(any_database, unit_id)).owner == "second"


@pytest.mark.parametrize(
    ("silent_s", "expired_s", "answers_s", "verdict"),
    [
        pytest.param(LEASE_S + 1, 5, 1000, "crash", id="silent for a lease"),
        pytest.param(5, 10, 1000, "no crash", id="a sign of life after the lease ran out"),
        pytest.param(LEASE_S - 5, 5, 1000, "wait", id="not silent for long enough"),
        pytest.param(1000, 900, LEASE_S - 5, "wait", id="the database answers again only since a moment ago"),
        pytest.param(1000, 900, LEASE_S + 1, "crash", id="and for a lease by now"),
        pytest.param(5, 900, 2, "no crash", id="a worker that lives after an outage"),
    ],
)
async def test_only_a_worker_that_is_silent_while_the_database_answers_has_crashed(
    any_database: Database, silent_s: float, expired_s: float, answers_s: float, verdict: str
) -> None:
    """By the sweep or by a claim: an outage charges nobody, a slow worker only loses its unit, and where nothing is known, it waits."""
    job_id = await add_job(any_database, 2)
    swept, taken = await unit_ids(any_database, job_id)
    now = await any_database.now()
    await beat(any_database, "wrk_a-builder", age_s=silent_s)
    for unit_id in (swept, taken):
        await claimed(any_database, unit_id, owner="wrk_a")
        await expire(any_database, unit_id)
        await change(any_database, tables.units, unit_id, lease_until=now - expired_s)
    async with any_database.write() as connection:
        await connection.execute(update(tables.locks).values(since=now - answers_s))
    second = await units.claim(any_database, taken, owner="wrk_b", lease_s=LEASE_S)
    back, _ = await take_back_expired(any_database)
    row = await unit_row(any_database, swept)
    assert (row.state, row.crashes, back) == {"crash": ("pending", 1, 1), "no crash": ("pending", 0, 1), "wait": ("running", 0, 0)}[verdict]
    assert (None if second is None else second.crashes) == {"crash": 1, "no crash": 0, "wait": None}[verdict]


async def test_before_the_first_sweep_nobody_is_known_to_be_dead(any_database: Database) -> None:
    """Without a sweep there is no knowing since when the database has answered."""
    (unit,) = await claimed_all(any_database, await add_job(any_database))
    await change(any_database, tables.units, unit.id, lease_until=1.0)
    assert await take_back_expired(any_database) == (0, [])


# the fence


async def test_a_stale_epoch_changes_nothing(any_database: Database) -> None:
    """Every write of a worker that lost its unit is refused or ignored, and its successor's row stays as it is."""
    job_id = await add_job(any_database)
    (unit_id,) = await unit_ids(any_database, job_id)
    stale = await claimed(any_database, unit_id, owner="first")
    await expire(any_database, unit_id)
    current = await claimed(any_database, unit_id, owner="second")
    before, job_before = await unit_row(any_database, unit_id), await job_row(any_database, job_id)
    async with any_database.write() as connection:
        with pytest.raises(units.LeaseLost):
            await units.fence(connection, stale)
        with pytest.raises(units.LeaseLost):
            await units.finish(connection, stale, children=[NewUnit(UnitKind.VALIDATE)])
        assert not await units.release_in(connection, stale, delay_s=60, error="late")
        await units.set_payload(connection, stale, {"late": True})
    assert not await units.release(any_database, stale)
    assert await units.renew(any_database, "first", [(unit_id, stale.epoch)], 1000.0) == set()
    assert await unit_row(any_database, unit_id) == before
    assert await job_row(any_database, job_id) == job_before
    async with any_database.write() as connection:
        await units.fence(connection, current)
        await units.set_payload(connection, current, {"mine": True})
    assert (await unit_row(any_database, unit_id)).payload == {"mine": True}


async def test_the_fence_holds_a_takeover_off_until_the_transaction_ends(any_database: Database) -> None:
    """What is written behind the fence is written before any successor claims."""
    job_id = await add_job(any_database)
    (unit_id,) = await unit_ids(any_database, job_id)
    unit = await claimed(any_database, unit_id)
    await expire(any_database, unit_id)
    order = []

    async def take_over() -> None:
        assert await units.claim(any_database, unit_id, owner="second", lease_s=LEASE_S) is not None
        order.append("taken over")

    async with any_database.write() as connection:
        await units.fence(connection, unit)
        successor = asyncio.create_task(take_over())
        for _ in range(20):
            await any_database.ping()
        order.append("written")
    await successor
    assert order == ["written", "taken over"]


# finish


async def test_a_units_end_brings_its_children_into_the_world(any_database: Database) -> None:
    """Parent done and children pending in one transaction; the job's open units never touch 0 in between."""
    job_id = await add_job(any_database)
    (unit,) = await claimed_all(any_database, job_id)
    children = await finish(any_database, unit, children=[NewUnit(UnitKind.VALIDATE, {"chunk_id": "c"}), NewUnit(UnitKind.COMPRESS)])
    assert len(children) == 2
    row = await unit_row(any_database, unit.id)
    assert (row.state, row.owner, row.lease_until) == ("done", None, None)
    assert row.finished_at >= row.created_at
    assert (await job_row(any_database, job_id)).open_units == 2
    assert await finalizers(any_database, job_id) == 0


async def test_a_transaction_that_fails_takes_the_end_and_its_children_back(any_database: Database) -> None:
    """Nothing of a finish survives an error after it: the unit is still its owner's."""
    job_id = await add_job(any_database)
    (unit,) = await claimed_all(any_database, job_id)

    async def finish_and_fail() -> None:
        async with any_database.write() as connection:
            await units.finish(connection, unit, children=[NewUnit(UnitKind.VALIDATE)])
            raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        await finish_and_fail()
    assert (await unit_row(any_database, unit.id)).state == "running"
    assert (await job_row(any_database, job_id)).open_units == 1
    await finish(any_database, unit)


async def test_twenty_units_that_end_at_once_make_one_finalize(any_database: Database) -> None:
    """Whoever is last moves the job on, exactly once."""
    job_id = await add_job(any_database, 20)
    held = await claimed_all(any_database, job_id)
    made = await asyncio.gather(*(finish(any_database, unit) for unit in held))
    job = await job_row(any_database, job_id)
    assert (job.state, job.open_units) == ("finalizing", 1)
    assert await finalizers(any_database, job_id) == 1
    assert sorted(len(ids) for ids in made) == [0] * 19 + [1]


async def test_a_unit_ends_once(any_database: Database) -> None:
    """Twenty ends of one unit: one counts."""
    job_id = await add_job(any_database, 3)
    unit = (await claimed_all(any_database, job_id))[0]
    results = await asyncio.gather(*(finish(any_database, unit) for _ in range(20)), return_exceptions=True)
    assert Counter(type(result) for result in results) == {list: 1, units.LeaseLost: 19}
    assert (await job_row(any_database, job_id)).open_units == 2


async def test_any_order_of_claims_children_and_ends_comes_to_one_finalize(any_database: Database) -> None:
    """Open units are always the number of units that are open, whatever the order; then comes one finalize."""
    chance = random.Random(815)
    job_id = await add_job(any_database, 6)
    budget = 20

    async def work(unit_id: str) -> None:
        nonlocal budget
        unit = await claimed(any_database, unit_id)
        if chance.random() < 0.3:
            assert await units.release(any_database, unit)
            unit = await claimed(any_database, unit_id)
        number = min(budget, chance.randrange(3))
        budget -= number
        children = await finish(any_database, unit, children=[NewUnit(UnitKind.FETCH) for _ in range(number)])
        fetches = [child for child in children if (await unit_row(any_database, child)).kind == UnitKind.FETCH]
        await asyncio.gather(*(work(child) for child in fetches))

    await asyncio.gather(*(work(unit_id) for unit_id in await unit_ids(any_database, job_id)))
    assert await finalizers(any_database, job_id) == 1
    columns = tables.units.c
    assert (await job_row(any_database, job_id)).open_units == 1 == await count(any_database, tables.units, columns.state == "pending")


async def test_a_dead_unit_counts_as_ended(any_database: Database) -> None:
    """A unit that failed for good holds its job up no longer, and keeps its error."""
    job_id = await add_job(any_database)
    (unit,) = await claimed_all(any_database, job_id)
    await finish(any_database, unit, state=UnitState.DEAD, error="ValueError: a bug")
    assert (await job_row(any_database, job_id)).state == "finalizing"
    (dead,) = await units.dead_of(any_database, job_id)
    assert (dead.id, dead.error) == (unit.id, "ValueError: a bug")


async def test_the_last_unit_of_a_paused_job_leaves_its_finalize_for_later(any_database: Database) -> None:
    """A pause holds: the finalize unit waits, the job stays paused, and goes on when it is told to."""
    job_id = await add_job(any_database)
    (unit,) = await claimed_all(any_database, job_id)
    await lifecycle.set_desired_state(any_database, job_id, DesiredState.PAUSED)
    (finalize,) = await finish(any_database, unit)
    assert (await job_row(any_database, job_id)).state == "paused"
    assert await units.claim(any_database, finalize, owner="a", lease_s=LEASE_S) is None
    await lifecycle.set_desired_state(any_database, job_id, DesiredState.RUNNING)
    assert await units.claim(any_database, finalize, owner="a", lease_s=LEASE_S) is not None


async def test_a_unit_of_a_job_that_has_ended_moves_it_no_more(any_database: Database) -> None:
    """What ends late counts down, and the last state stays."""
    job_id = await add_job(any_database)
    (unit,) = await claimed_all(any_database, job_id)
    async with any_database.write() as connection:
        await jobs.end(connection, job_id, JobState.FAILED, error="gave up")
        assert await lifecycle.count_down(connection, "job_unknown", 1) == []
    assert await finish(any_database, unit) == []
    job = await job_row(any_database, job_id)
    assert (job.state, job.open_units, job.error) == ("failed", 0, "gave up")


# cancelled jobs


async def cancelled_with_one_at_work(db: Database) -> tuple[str, Unit]:
    """A job that was cancelled while one of its three units runs."""
    job_id = await add_job(db, 3)
    unit = await claimed(db, (await unit_ids(db, job_id))[0])
    await add_images(db, job_id, 2)
    await lifecycle.set_desired_state(db, job_id, DesiredState.CANCELLED)
    assert not (await jobs.get(db, job_id)).is_final
    return job_id, unit


async def assert_cancelled(db: Database, job_id: str) -> None:
    job = await job_row(db, job_id)
    assert (job.state, job.open_units) == ("cancelled", 0)
    assert job.finished_at is not None
    assert await finalizers(db, job_id) == 0
    assert await count(db, tables.units, tables.units.c.state.in_(OPEN_UNIT_STATES)) == 0
    reasons = await all_rows(db, select(tables.images.c.state, tables.images.c.reason).where(tables.images.c.job_id == job_id))
    assert set(reasons) == {(ImageState.FAILED, Reason.CANCELLED)}


async def test_a_cancelled_job_ends_with_its_last_running_unit(any_database: Database) -> None:
    """The units that wait are cancelled at once; the one at work ends in order, and the job with it."""
    job_id, unit = await cancelled_with_one_at_work(any_database)
    states = await all_rows(any_database, select(tables.units.c.state).order_by(tables.units.c.id))
    assert [row.state for row in states] == ["running", "cancelled", "cancelled"]
    assert (await job_row(any_database, job_id)).open_units == 1
    await finish(any_database, unit, state=UnitState.CANCELLED)
    await assert_cancelled(any_database, job_id)


async def test_children_born_into_a_cancelled_job_are_cancelled(any_database: Database) -> None:
    """A unit that ends, or adds units, before it hears of the cancellation leaves nothing that would keep the job open."""
    job_id, unit = await cancelled_with_one_at_work(any_database)
    async with any_database.write() as connection:
        await lifecycle.add_units(connection, job_id, [NewUnit(UnitKind.FETCH)])
        await units.finish(connection, unit, children=[NewUnit(UnitKind.VALIDATE)])
    await assert_cancelled(any_database, job_id)


async def test_a_unit_given_back_to_a_cancelled_job_is_cancelled(any_database: Database) -> None:
    """Released by a shutdown or a fault of ours after the cancellation: nobody would ever claim it."""
    job_id, unit = await cancelled_with_one_at_work(any_database)
    assert await units.release(any_database, unit, delay_s=60)
    await assert_cancelled(any_database, job_id)


async def test_a_cancelled_job_ends_though_its_last_worker_died(any_database: Database) -> None:
    """The lease runs out, and the sweep ends the job."""
    job_id, unit = await cancelled_with_one_at_work(any_database)
    await expire(any_database, unit.id)
    await take_back_expired(any_database)
    await assert_cancelled(any_database, job_id)


async def test_a_unit_given_back_to_a_running_job_waits_there(any_database: Database) -> None:
    """Only cancelled jobs lose their units: released ones wait, with the error and without crashes, until their time."""
    job_id = await add_job(any_database, 2)
    later, at_once = await unit_ids(any_database, job_id)
    unit = await claimed(any_database, later)
    await change(any_database, tables.units, later, crashes=2)
    now = await any_database.now()
    assert await units.release(any_database, unit, delay_s=60.0, error="StorageError: full")
    row = await unit_row(any_database, later)
    assert (row.state, row.owner, row.lease_until, row.error, row.crashes) == ("pending", None, None, "StorageError: full", 0)
    assert 60.0 <= row.not_before - now < 90.0
    assert await units.release(any_database, await claimed(any_database, at_once), until=5.0)
    assert (await unit_row(any_database, at_once)).not_before == 5.0
    assert (await job_row(any_database, job_id)).open_units == 2


# leases


async def test_renew_prolongs_what_is_still_ours_and_tells(any_database: Database) -> None:
    """One statement for all units of a worker; finished, taken over and foreign ones are missing from the answer."""
    job_id = await add_job(any_database, 5)
    mine = [await claimed(any_database, unit_id, owner="me") for unit_id in (await unit_ids(any_database, job_id))[:4]]
    kept, finished, lost, reclaimed = mine
    foreign = await claimed(any_database, (await unit_ids(any_database, job_id))[4], owner="other")
    await finish(any_database, finished)
    for unit, owner in ((lost, "other"), (reclaimed, "me")):
        await expire(any_database, unit.id)
        await claimed(any_database, unit.id, owner=owner)
    held = [(unit.id, unit.epoch) for unit in [*mine, foreign]]
    until = (await unit_row(any_database, foreign.id)).lease_until
    with statements(any_database) as seen:
        assert await units.renew(any_database, "me", held, 600.0) == {kept.id}
    assert len([statement for statement in seen if statement.startswith("UPDATE")]) == 1
    assert (await unit_row(any_database, kept.id)).lease_until > await any_database.now() + 500
    assert (await unit_row(any_database, foreign.id)).lease_until == until
    assert await units.renew(any_database, "me", [], 600.0) == set()


async def test_held_tells_what_is_wanted_of_each_job(any_database: Database) -> None:
    """Running, paused and cancelled; a job that is gone is not in the answer."""
    running, paused, ended = [await add_job(any_database) for _ in range(3)]
    await lifecycle.set_desired_state(any_database, paused, DesiredState.PAUSED)
    await lifecycle.set_desired_state(any_database, ended, DesiredState.CANCELLED)
    assert await units.job_states(any_database, [running, running, paused, ended, "job_gone"]) == {
        running: (DesiredState.RUNNING, JobState.RUNNING),
        paused: (DesiredState.PAUSED, JobState.PAUSED),
        ended: (DesiredState.CANCELLED, JobState.CANCELLED),
    }


# the sweeper's moves


async def test_a_decision_that_dies_fails_the_job_once(any_database: Database) -> None:
    """A finalize unit that cannot run is not made again and again; revived, it may try once more."""
    job_id = await add_job(any_database, [NewUnit(UnitKind.FINALIZE)])
    (unit,) = await claimed_all(any_database, job_id)
    await finish(any_database, unit, state=UnitState.DEAD, error="KeyError: 'x'")
    job = await job_row(any_database, job_id)
    assert (job.state, job.open_units, job.error) == ("failed", 0, "the job could not be finalized: KeyError: 'x'")
    assert await finalizers(any_database, job_id) == 1
    assert await lifecycle.revive(any_database, job_id) == 1
    assert await finalizers(any_database, job_id) == 1


async def test_progress_forgets_the_crashes(any_database: Database) -> None:
    """What came further since is not what kills its workers; a stale worker's word counts for nothing."""
    (unit,) = await claimed_all(any_database, await add_job(any_database))
    await change(any_database, tables.units, unit.id, crashes=2)
    async with any_database.write() as connection:
        await units.reset_crashes(connection, replace(unit, epoch=unit.epoch - 1))
    assert (await unit_row(any_database, unit.id)).crashes == 2
    async with any_database.write() as connection:
        await units.reset_crashes(connection, unit)
    assert (await unit_row(any_database, unit.id)).crashes == 0


async def test_a_claimed_unit_is_adopted_with_its_epoch(any_database: Database) -> None:
    """Another process of its owner may work at it, with its job; with an older epoch it may not."""
    (unit,) = await claimed_all(any_database, await add_job(any_database))
    adopted = await units.adopt(any_database, unit.id, unit.epoch)
    assert (adopted.id, adopted.epoch, adopted.job) == (unit.id, unit.epoch, unit.job)
    with pytest.raises(units.LeaseLost):
        await units.adopt(any_database, unit.id, unit.epoch - 1)


# what is told


async def test_counts_of_units_by_kind_and_state(any_database: Database) -> None:
    """Of one job, or of all."""
    job_id = await add_job(any_database, [NewUnit(UnitKind.FETCH), NewUnit(UnitKind.FETCH), NewUnit(UnitKind.VALIDATE)])
    await add_job(any_database)
    await claimed(any_database, (await unit_ids(any_database, job_id))[0])
    assert await units.counts(any_database, job_id) == {("fetch", "pending"): 1, ("fetch", "running"): 1, ("validate", "pending"): 1}
    assert (await units.counts(any_database))["fetch", "pending"] == 2
