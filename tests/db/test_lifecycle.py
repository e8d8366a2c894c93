"""Tests of app.db.lifecycle: a job is made whole, steered while it lives, and brought back with its dead units."""

import asyncio

import pytest

import errors
from app.db import Database, datasets, jobs, lifecycle, tables, units
from app.db.exceptions import StateConflict
from app.db.rows import NewUnit
from app.job_states import DesiredState, JobKind, JobState, UnitKind, UnitState
from tests.db.builders import add_job, change, claimed, claimed_all, count, due, job_row, unit_ids, unit_row


async def test_a_job_is_made_with_its_first_units(any_database: Database) -> None:
    """The row is pending and wanted to run: all that any worker ever needs to know of it."""
    async with any_database.write() as connection:
        dataset_id = await datasets.create_dataset(connection, user_id="ann", name="cats")
        job_id = await lifecycle.create(
            connection, user_id="ann", dataset_id=dataset_id, kind=JobKind.BUILD, spec={"keywords": ["cat"]},
            first=[NewUnit(UnitKind.PLAN)], target=50, min_images=5, priority=7, request_id="req_1",
        )  # fmt: skip
    job = await jobs.get(any_database, job_id)
    assert (job.state, job.desired_state, job.stage, job.open_units, job.rounds) == (JobState.PENDING, JobState.RUNNING, None, 1, 0)
    assert (job.user_id, job.dataset_id, job.kind, job.spec) == ("ann", dataset_id, JobKind.BUILD, {"keywords": ["cat"]})
    assert (job.target, job.min_images, job.priority, job.request_id) == (50, 5, 7, "req_1")
    assert (job.started_at, job.finished_at) == (None, None)
    (unit_id,) = await unit_ids(any_database, job_id)
    assert (await unit_row(any_database, unit_id)).kind == "plan"


async def test_a_pause_calls_back_what_was_sent(any_database: Database) -> None:
    """Sent units wait in the database again, the running one goes on, and going on is where it was."""
    job_id = await add_job(any_database, 3)
    running, *_ = [delivery.unit_id for delivery in await due(any_database, "builder", window=2)]
    await claimed(any_database, running)
    job = await lifecycle.set_desired_state(any_database, job_id, DesiredState.PAUSED)
    assert (job.state, job.desired_state, job.open_units) == (JobState.PAUSED, JobState.PAUSED, 3)
    states = [(await unit_row(any_database, unit_id)).state for unit_id in await unit_ids(any_database, job_id)]
    assert states == ["running", "pending", "pending"]
    assert await due(any_database, "builder", window=10) == []
    assert (await lifecycle.set_desired_state(any_database, job_id, DesiredState.PAUSED)).state is JobState.PAUSED
    job = await lifecycle.set_desired_state(any_database, job_id, DesiredState.RUNNING)
    assert (job.state, job.desired_state) == (JobState.RUNNING, JobState.RUNNING)
    assert len(await due(any_database, "builder", window=10)) == 2


async def test_a_job_that_was_paused_while_finalizing_goes_on_finalizing(any_database: Database) -> None:
    """The stage tells where it stood."""
    job_id = await add_job(any_database)
    async with any_database.write() as connection:
        await jobs.set_stage(connection, job_id, state=JobState.FINALIZING, stage="labels")
    await lifecycle.set_desired_state(any_database, job_id, DesiredState.PAUSED)
    assert (await lifecycle.set_desired_state(any_database, job_id, DesiredState.RUNNING)).state is JobState.FINALIZING


async def test_a_job_that_runs_may_be_told_to_run(any_database: Database) -> None:
    """Nothing changes but what it says it waits for."""
    job_id = await add_job(any_database)
    await jobs.wait_for(any_database, job_id, "the disk")
    job = await lifecycle.set_desired_state(any_database, job_id, DesiredState.RUNNING)
    assert (job.state, job.waiting_for) == (JobState.RUNNING, None)


@pytest.mark.parametrize("first", [JobState.RUNNING, JobState.PAUSED])
async def test_a_cancelled_job_without_work_in_hand_ends_at_once(any_database: Database, first: JobState) -> None:
    """All its units are cancelled, and a second cancellation is no error."""
    job_id = await add_job(any_database, 3)
    await due(any_database, "builder", window=1)
    await lifecycle.set_desired_state(any_database, job_id, first)
    for _ in range(2):
        job = await lifecycle.set_desired_state(any_database, job_id, DesiredState.CANCELLED)
        assert (job.state, job.desired_state, job.open_units) == (JobState.CANCELLED, JobState.CANCELLED, 0)
    assert await count(any_database, tables.units, tables.units.c.state == "cancelled") == 3


@pytest.mark.parametrize("desired", [JobState.RUNNING, JobState.PAUSED])
async def test_a_cancellation_is_not_taken_back(any_database: Database, desired: JobState) -> None:
    """The units that waited are gone already: going on would end as if all were well."""
    job_id = await add_job(any_database, 2)
    await claimed(any_database, (await unit_ids(any_database, job_id))[0])
    assert (await lifecycle.set_desired_state(any_database, job_id, DesiredState.CANCELLED)).state is JobState.RUNNING
    assert (await lifecycle.set_desired_state(any_database, job_id, DesiredState.CANCELLED)).state is JobState.RUNNING
    with pytest.raises(StateConflict, match=r"is being cancelled; it cannot be (resumed|paused)"):
        await lifecycle.set_desired_state(any_database, job_id, desired)
    assert (await job_row(any_database, job_id)).desired_state == "cancelled"


@pytest.mark.parametrize(
    ("desired", "words"), [(JobState.RUNNING, "resumed"), (JobState.PAUSED, "paused"), (JobState.CANCELLED, "cancelled")]
)
async def test_a_job_that_has_ended_is_not_steered(any_database: Database, desired: JobState, words: str) -> None:
    """The message says how it ended and what cannot be done."""
    job_id = await add_job(any_database)
    async with any_database.write() as connection:
        await jobs.end(connection, job_id, JobState.SUCCEEDED)
    with pytest.raises(StateConflict, match=f"job {job_id} has ended as succeeded and cannot be {words}"):
        await lifecycle.set_desired_state(any_database, job_id, desired)


async def test_a_foreign_job_is_not_found(any_database: Database) -> None:
    """Nobody steers what is not theirs."""
    job_id = await add_job(any_database, user_id="ann")
    with pytest.raises(errors.NotFoundError):
        await lifecycle.set_desired_state(any_database, job_id, DesiredState.CANCELLED, user_id="bob")
    assert (await job_row(any_database, job_id)).desired_state == "running"


async def test_steering_waits_for_an_end_that_is_under_way(postgres_database: Database) -> None:
    """A job that ends at the same moment stays ended; a pause does not overwrite its last state."""
    job_id = await add_job(postgres_database)
    async with postgres_database.write() as connection:
        await jobs.end(connection, job_id, JobState.SUCCEEDED)
        steering = asyncio.create_task(lifecycle.set_desired_state(postgres_database, job_id, DesiredState.PAUSED))
        for _ in range(10):
            await postgres_database.ping()
    with pytest.raises(StateConflict, match="has ended as succeeded"):
        await steering
    assert (await job_row(postgres_database, job_id)).state == "succeeded"


# revive


async def failed_with_a_dead_unit(db: Database, number: int = 2) -> str:
    job_id = await add_job(db, number)
    for unit in await claimed_all(db, job_id):
        async with db.write() as connection:
            await units.finish(connection, unit, state=UnitState.DEAD, error="ValueError: a bug")
    (finalize,) = [unit_id for unit_id in await unit_ids(db, job_id) if (await unit_row(db, unit_id)).kind == "finalize"]
    unit = await claimed(db, finalize)
    async with db.write() as connection:
        await jobs.end(connection, job_id, JobState.FAILED, error="2 units died", shortfall={"missing": 1})
        await units.finish(connection, unit)
    return job_id


async def test_a_failed_job_comes_back_with_its_dead_units(any_database: Database) -> None:
    """They are pending and clean, counted as open, and the job runs as if it had never ended."""
    job_id = await failed_with_a_dead_unit(any_database)
    dead = {unit.id for unit in await units.dead_of(any_database, job_id)}
    assert await lifecycle.revive(any_database, job_id) == 2
    job = await jobs.get(any_database, job_id)
    assert (job.state, job.desired_state, job.stage, job.error, job.finished_at, job.open_units) == (
        JobState.RUNNING, JobState.RUNNING, None, None, None, 2,
    )  # fmt: skip
    assert not job.shortfall
    for unit_id in dead:
        row = await unit_row(any_database, unit_id)
        assert (row.state, row.crashes, row.error, row.finished_at) == ("pending", 0, None, None)
    assert {delivery.unit_id for delivery in await due(any_database, "builder", window=10)} == dead


async def test_a_failed_job_without_dead_units_is_finalized_again(any_database: Database) -> None:
    """There is nothing to do again but the end."""
    job_id = await failed_with_a_dead_unit(any_database)
    for unit in await units.dead_of(any_database, job_id):
        await change(any_database, tables.units, unit.id, state=UnitState.DONE)
    assert await lifecycle.revive(any_database, job_id) == 0
    job = await job_row(any_database, job_id)
    assert (job.state, job.open_units) == ("finalizing", 1)


async def test_dead_units_of_a_job_that_runs_are_revived_in_place(any_database: Database) -> None:
    """The job's own state is not touched."""
    job_id = await add_job(any_database, 2)
    unit = (await claimed_all(any_database, job_id))[0]
    async with any_database.write() as connection:
        await units.finish(connection, unit, state=UnitState.DEAD, error="a bug")
    assert await lifecycle.revive(any_database, job_id) == 1
    job = await job_row(any_database, job_id)
    assert (job.state, job.open_units) == ("running", 2)
    assert await lifecycle.revive(any_database, job_id) == 0


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.PARTIAL, JobState.CANCELLED])
async def test_a_job_that_ended_otherwise_is_not_revived(any_database: Database, state: JobState) -> None:
    """Its dead units stay dead: nothing would end their job a second time."""
    job_id = await add_job(any_database, 2)
    unit = (await claimed_all(any_database, job_id))[0]
    async with any_database.write() as connection:
        await units.finish(connection, unit, state=UnitState.DEAD, error="a bug")
        await jobs.end(connection, job_id, state)
    assert await lifecycle.revive(any_database, job_id) == 0
    assert (await unit_row(any_database, unit.id)).state == "dead"
    assert (await job_row(any_database, job_id)).state == state
