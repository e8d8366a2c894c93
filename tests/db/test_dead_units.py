"""Tests of app.db.dead_units and app.db.dead_units: dead units are listed, go back to work, or are given up with all that hung on them."""

import asyncio
from typing import Any

import pytest

import errors
from app.db import Database, dead_units, jobs, lifecycle, tables, units
from app.db.dead_units import DeadFilter, Which
from app.db.exceptions import StateConflict
from app.db.rows import NewUnit
from app.domain import ImageState
from app.job_states import OPEN_UNIT_STATES, DesiredState, JobKind, JobState, UnitKind, UnitState
from tests.db.builders import add_images, add_job, all_rows, change, claimed, count, job_row, pages_of, unit_ids, unit_row
from tests.db.dying import end_if_over, failed_job, kill

FETCH_A = NewUnit(UnitKind.FETCH, {"chunk_id": "chunk_a"})
VALIDATE_A = NewUnit(UnitKind.VALIDATE, {"chunk_id": "chunk_a"})
COMPRESS_A = NewUnit(UnitKind.COMPRESS, {"chunk_id": "chunk_a"})


async def states(db: Database, job_id: str) -> list[tuple[str, str | None]]:
    """State and reason of a job's images, by id."""
    query = tables.images.select().where(tables.images.c.job_id == job_id).order_by(tables.images.c.id)
    return [(row.state, row.reason) for row in await all_rows(db, query)]


async def open_kinds(db: Database, job_id: str) -> list[str]:
    """Kinds of a job's open units."""
    rows = [await unit_row(db, unit_id) for unit_id in await unit_ids(db, job_id)]
    return sorted(row.kind for row in rows if row.state in OPEN_UNIT_STATES)


# page


async def test_dead_units_are_listed_newest_death_first(any_database: Database) -> None:
    """With what they died of, for which job, of whom; the living are not there."""
    job_id = await add_job(any_database, 3, user_id="ann")
    first, second, _ = await unit_ids(any_database, job_id)
    await kill(any_database, second, "OSError: no")
    await kill(any_database, first)
    await change(any_database, tables.units, second, finished_at=1000.0)
    found = (await dead_units.page(any_database, DeadFilter())).items
    assert [unit.id for unit in found] == [first, second]
    assert (found[1].job_id, found[1].user_id, found[1].kind, found[1].state) == (job_id, "ann", UnitKind.FETCH, UnitState.DEAD)
    assert (found[1].error, found[1].crashes, found[1].chunk_id, found[1].died_at) == ("OSError: no", 0, None, 1000.0)


async def test_pages_follow_each_other_without_gap_or_repeat(any_database: Database) -> None:
    """Even where all died at the same moment, or nobody noted when."""
    _, ids = await failed_job(any_database, *[FETCH_A] * 5)
    for unit_id in ids:
        await change(any_database, tables.units, unit_id, finished_at=None, created_at=7.0)
    pages = [page async for page in pages_of(dead_units.page, db=any_database, wanted=DeadFilter(), limit=2)]
    assert [len(page.items) for page in pages] == [2, 2, 1]
    assert [unit.id for page in pages for unit in page.items] == sorted(ids, reverse=True)


async def test_a_strange_cursor_is_refused(database: Database) -> None:
    """Nothing of it reaches the database."""
    with pytest.raises(errors.ValidationError, match="cursor"):
        await dead_units.page(database, DeadFilter(), cursor="nonsense")


async def test_dead_units_are_found_by_job_kind_and_error(any_database: Database) -> None:
    """An error is named by how it begins, letter for letter: no wildcard, no other case."""
    job_id, (fetch, validate) = await failed_job(any_database, FETCH_A, VALIDATE_A)
    _, (other,) = await failed_job(any_database, user_id="bob")
    await change(any_database, tables.units, fetch, error="ValueError: 100%")

    async def found(user_id: str | None = None, **wanted: Any) -> set[str]:
        return {unit.id for unit in (await dead_units.page(any_database, DeadFilter(**wanted), user_id=user_id)).items}

    assert await found(job_id=job_id) == {fetch, validate}
    assert await found(kind=UnitKind.FETCH) == {fetch, other}
    assert await found(error="MemoryError") == {validate, other}
    assert await found(error="MemoryError", job_id=job_id, kind=UnitKind.VALIDATE) == {validate}
    assert await found(error="memoryerror") == await found(error="%") == await found(error="_alueError") == set()
    assert await found(user_id="bob") == {other}
    assert await found(user_id="bob", job_id=job_id) == set()


# retry


async def test_a_retried_unit_is_due_and_its_failed_job_runs(any_database: Database) -> None:
    """Clean, counted as open, due from now; other dead units stay dead."""
    job_id, (one, other) = await failed_job(any_database, FETCH_A, VALIDATE_A)
    await change(any_database, tables.units, one, crashes=3, not_before=1.0)
    before = await any_database.now()
    (retried,) = await dead_units.retry(any_database, Which((one,)))
    assert (retried.id, retried.state, retried.error, retried.crashes) == (one, UnitState.PENDING, "MemoryError: too much", 0)
    row = await unit_row(any_database, one)
    assert (row.state, row.crashes, row.error, row.finished_at) == ("pending", 0, None, None)
    assert before - 1 <= row.not_before <= await any_database.now()
    assert (await unit_row(any_database, other)).state == "dead"
    job = await job_row(any_database, job_id)
    assert (job.state, job.desired_state, job.error, job.finished_at, job.open_units) == ("running", "running", None, None, 1)
    await claimed(any_database, one)


async def test_all_dead_units_of_a_job_are_retried(any_database: Database) -> None:
    """And only those of this job."""
    job_id, ids = await failed_job(any_database, FETCH_A, FETCH_A)
    _, (other,) = await failed_job(any_database)
    assert {unit.id for unit in await dead_units.retry(any_database, Which(job_id=job_id))} == set(ids)
    assert (await unit_row(any_database, other)).state == "dead"
    assert (await job_row(any_database, job_id)).open_units == 2


async def test_units_of_several_jobs_are_retried_at_once(any_database: Database) -> None:
    """Each job goes on."""
    one, (first,) = await failed_job(any_database)
    other, (second,) = await failed_job(any_database)
    assert {unit.job_id for unit in await dead_units.retry(any_database, Which((first, second)))} == {one, other}
    assert {(await job_row(any_database, job_id)).state for job_id in (one, other)} == {"running"}


async def test_a_unit_of_a_job_that_runs_is_retried_in_place(any_database: Database) -> None:
    """The job is not touched but for its count."""
    job_id = await add_job(any_database, 2)
    unit_id = await kill(any_database, (await unit_ids(any_database, job_id))[0])
    await dead_units.retry(any_database, Which((unit_id,)))
    job = await job_row(any_database, job_id)
    assert (job.state, job.open_units) == ("running", 2)


async def test_a_second_retry_is_a_conflict(any_database: Database) -> None:
    """It says what the unit is now; nothing is done twice."""
    job_id, (unit_id,) = await failed_job(any_database)
    await dead_units.retry(any_database, Which((unit_id,)))
    with pytest.raises(StateConflict, match=f"unit {unit_id} is pending, not dead"):
        await dead_units.retry(any_database, Which((unit_id,)))
    with pytest.raises(StateConflict, match=f"job {job_id} has no dead unit"):
        await dead_units.retry(any_database, Which(job_id=job_id))
    assert (await job_row(any_database, job_id)).open_units == 1


async def test_it_is_all_or_nothing(any_database: Database) -> None:
    """One that is not dead, or does not exist, and the dead one stays dead."""
    job_id = await add_job(any_database, 2)
    one, other = await unit_ids(any_database, job_id)
    await kill(any_database, one)
    with pytest.raises(StateConflict, match=f"unit {other} is pending"):
        await dead_units.retry(any_database, Which((one, other)))
    with pytest.raises(errors.NotFoundError, match="no unit unit_none"):
        await dead_units.retry(any_database, Which((one, "unit_none")))
    assert (await unit_row(any_database, one)).state == "dead"


async def test_foreign_units_and_jobs_are_not_found(any_database: Database) -> None:
    """As if they did not exist."""
    job_id, (unit_id,) = await failed_job(any_database, user_id="ann")
    for act in (dead_units.retry, dead_units.discard):
        for which in (Which((unit_id,)), Which(job_id=job_id)):
            with pytest.raises(errors.NotFoundError):
                await act(any_database, which, user_id="bob")
    assert (await unit_row(any_database, unit_id)).state == "dead"
    await dead_units.retry(any_database, Which((unit_id,)), user_id="ann")


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.PARTIAL, JobState.CANCELLED])
async def test_a_job_that_ended_otherwise_takes_no_unit_back(any_database: Database, state: JobState) -> None:
    """Nothing would end it a second time."""
    job_id = await add_job(any_database, 2)
    unit_id = await kill(any_database, (await unit_ids(any_database, job_id))[0])
    async with any_database.write() as connection:
        await jobs.end(connection, job_id, state)
    with pytest.raises(StateConflict, match="cannot be retried"):
        await dead_units.retry(any_database, Which(job_id=job_id))
    assert (await unit_row(any_database, unit_id)).state == "dead"


async def test_a_job_that_is_being_cancelled_takes_no_unit_back(any_database: Database) -> None:
    """A unit that came back would never be claimed, and the job never end."""
    job_id = await add_job(any_database, 2)
    one, other = await unit_ids(any_database, job_id)
    await kill(any_database, one)
    await claimed(any_database, other)
    await lifecycle.set_desired_state(any_database, job_id, DesiredState.CANCELLED)
    with pytest.raises(StateConflict, match="was cancelled"):
        await dead_units.retry(any_database, Which((one,)))


async def test_a_job_that_is_being_finalized_is_left_alone(any_database: Database) -> None:
    """Its end was decided by what was dead; the unit would be pending in a job that has ended."""
    job_id = await add_job(any_database, 1)
    (unit_id,) = await unit_ids(any_database, job_id)
    await kill(any_database, unit_id)
    for act in (dead_units.retry, dead_units.discard):
        with pytest.raises(StateConflict, match="is being finalized; ask again once it has ended"):
            await act(any_database, Which((unit_id,)))
    await end_if_over(any_database, job_id)
    await dead_units.retry(any_database, Which((unit_id,)))


async def test_two_who_retry_at_once_do_it_once(postgres_database: Database) -> None:
    """One gets the unit, the other a conflict; the job counts it once."""
    job_id, (unit_id,) = await failed_job(postgres_database)
    calls = [dead_units.retry(postgres_database, which) for which in (Which((unit_id,)), Which(job_id=job_id), Which((unit_id,)))]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["StateConflict", "StateConflict", "list"]
    assert (await job_row(postgres_database, job_id)).open_units == 1


async def test_retry_and_discard_at_once_never_both_hold(postgres_database: Database) -> None:
    """Whoever comes second is told."""
    _, (unit_id,) = await failed_job(postgres_database)
    calls: list[Any] = [dead_units.retry(postgres_database, Which((unit_id,))), dead_units.discard(postgres_database, Which((unit_id,)))]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["StateConflict", "list"]


# discard


async def test_a_discarded_unit_keeps_its_error_and_its_job_stays(any_database: Database) -> None:
    """It is cancelled for good; nothing starts by itself, and a second time is a conflict."""
    job_id, (unit_id,) = await failed_job(any_database)
    (given_up,) = await dead_units.discard(any_database, Which((unit_id,)))
    assert (given_up.unit.id, given_up.unit.state, given_up.unit.error, given_up.images) == (
        unit_id, UnitState.CANCELLED, "MemoryError: too much", 0,
    )  # fmt: skip
    row = await unit_row(any_database, unit_id)
    assert (row.state, row.error) == ("cancelled", "MemoryError: too much")
    assert ((await job_row(any_database, job_id)).state, await open_kinds(any_database, job_id)) == ("failed", [])
    with pytest.raises(StateConflict, match=f"unit {unit_id} is cancelled, not dead"):
        await dead_units.discard(any_database, Which((unit_id,)))
    with pytest.raises(StateConflict, match="is cancelled, not dead"):
        await dead_units.retry(any_database, Which((unit_id,)))


async def test_a_discarded_fetch_closes_what_it_did_not_bring(any_database: Database) -> None:
    """Pending and deferred images fail as cancelled, with why; what came is judged, and other chunks are left alone."""
    job_id, _ = await failed_job(any_database, FETCH_A)
    await add_images(any_database, job_id, 1)
    await add_images(any_database, job_id, 1, first=1, changes={"state": ImageState.DEFERRED, "reason": "timeout", "not_before": 9.0})
    await add_images(any_database, job_id, 1, first=2, changes={"state": ImageState.FETCHED})
    await add_images(any_database, job_id, 1, first=3, changes={"state": ImageState.FAILED, "reason": "http_404"})
    await add_images(any_database, job_id, 1, first=4, chunk_id="chunk_b")
    (given_up,) = await dead_units.discard(any_database, Which(job_id=job_id))
    assert given_up.images == 2
    assert await states(any_database, job_id) == [
        ("failed", "cancelled"), ("failed", "cancelled"), ("fetched", None), ("failed", "http_404"), ("pending", None),
    ]  # fmt: skip
    (row, *_) = await all_rows(any_database, tables.images.select().order_by(tables.images.c.id))
    assert row.detail == "its fetch unit was discarded: MemoryError: too much"
    assert await open_kinds(any_database, job_id) == ["validate"]
    assert (await job_row(any_database, job_id)).open_units == 1


async def test_a_failed_job_goes_on_once_its_dead_units_are_discarded(any_database: Database) -> None:
    """With what it has: its end is looked for only when what was fetched is judged."""
    job_id, _ = await failed_job(any_database, FETCH_A)
    await add_images(any_database, job_id, 1, changes={"state": ImageState.FETCHED})
    await dead_units.discard(any_database, Which(job_id=job_id))
    assert await lifecycle.revive(any_database, job_id) == 0
    job = await job_row(any_database, job_id)
    assert (job.state, job.error, await open_kinds(any_database, job_id)) == ("running", None, ["validate"])
    pending = tables.units.select().where(tables.units.c.job_id == job_id, tables.units.c.state == "pending")
    (validate,) = [row.id for row in await all_rows(any_database, pending)]
    unit = await claimed(any_database, validate)
    async with any_database.write() as connection:
        await units.finish(connection, unit)
    assert ((await job_row(any_database, job_id)).state, await open_kinds(any_database, job_id)) == ("finalizing", ["finalize"])


async def test_discard_and_resume_in_one_step(any_database: Database) -> None:
    """The job goes on with the last of its dead units, not before."""
    job_id, (one, other) = await failed_job(any_database, FETCH_A, FETCH_A)
    await dead_units.discard(any_database, Which((one,)), resume=True)
    assert (await job_row(any_database, job_id)).state == "failed"
    await dead_units.discard(any_database, Which((other,)), resume=True)
    assert ((await job_row(any_database, job_id)).state, await open_kinds(any_database, job_id)) == ("finalizing", ["finalize"])


async def test_a_unit_of_a_job_that_runs_is_discarded_in_place(any_database: Database) -> None:
    """The job is not touched, and ends as if the unit had never been."""
    job_id = await add_job(any_database, 2)
    one, other = await unit_ids(any_database, job_id)
    await kill(any_database, one)
    await dead_units.discard(any_database, Which((one,)), resume=True)
    job = await job_row(any_database, job_id)
    assert (job.state, job.open_units, (await unit_row(any_database, other)).state) == ("running", 1, "pending")


async def test_a_discarded_validation_closes_what_it_did_not_judge(any_database: Database) -> None:
    """What it did judge stays."""
    job_id, _ = await failed_job(any_database, VALIDATE_A)
    await add_images(any_database, job_id, 2, changes={"state": ImageState.FETCHED})
    await add_images(any_database, job_id, 1, first=2, changes={"state": ImageState.VALID})
    await dead_units.discard(any_database, Which(job_id=job_id))
    assert await states(any_database, job_id) == [("failed", "cancelled"), ("failed", "cancelled"), ("valid", None)]


async def test_a_discarded_compression_takes_out_what_has_the_wrong_form(any_database: Database) -> None:
    """What is compressed stays kept."""
    job_id, _ = await failed_job(any_database, COMPRESS_A)
    await add_images(any_database, job_id, 1, changes={"state": ImageState.KEPT})
    await add_images(any_database, job_id, 1, first=1, changes={"state": ImageState.KEPT, "out_sha256": "f" * 64})
    await dead_units.discard(any_database, Which(job_id=job_id))
    assert await states(any_database, job_id) == [("failed", "cancelled"), ("kept", None)]


async def test_a_discarded_search_has_no_more_to_give(any_database: Database) -> None:
    """Or the next round would ask it again; its note says why."""
    job_id = await add_job(any_database, 0)
    async with any_database.write() as connection:
        search_id, _ = await jobs.add_searches(connection, job_id, [("wikimedia", "cat", None), ("wikimedia", "dog", None)])
        await lifecycle.add_units(connection, job_id, [NewUnit(UnitKind.SEARCH, {"search_id": search_id, "want": 10})])
    await kill(any_database, (await unit_ids(any_database, job_id))[0], "KeyError: " + "x" * 1000)
    await end_if_over(any_database, job_id)
    await dead_units.discard(any_database, Which(job_id=job_id))
    found = {search.keyword: search for search in await jobs.searches_of(any_database, job_id)}
    assert (found["cat"].is_exhausted, found["dog"].is_exhausted) == (True, False)
    assert str(found["cat"].note).startswith("its search unit was discarded: KeyError: xx")
    assert len(str(found["cat"].note)) < 350


async def test_a_unit_of_another_kind_leaves_no_image(any_database: Database) -> None:
    """Even where its payload names a chunk."""
    job_id, _ = await failed_job(any_database, NewUnit(UnitKind.LABELS, {"chunk_id": "chunk_a"}))
    await add_images(any_database, job_id, 1)
    (given_up,) = await dead_units.discard(any_database, Which(job_id=job_id))
    assert (given_up.images, await states(any_database, job_id)) == (0, [("pending", None)])


@pytest.mark.parametrize(
    ("discarded", "holder", "state"),
    [(FETCH_A, FETCH_A, ImageState.PENDING), (VALIDATE_A, VALIDATE_A, ImageState.FETCHED), (VALIDATE_A, FETCH_A, ImageState.FETCHED)],
)
async def test_images_that_another_unit_holds_are_left_to_it(
    any_database: Database, discarded: NewUnit, holder: NewUnit, state: ImageState
) -> None:
    """Of whichever job on the dataset."""
    job_id, _ = await failed_job(any_database, discarded)
    await add_images(any_database, job_id, 1, changes={"state": state})
    await add_job(any_database, [holder], dataset_id=(await job_row(any_database, job_id)).dataset_id)
    (given_up,) = await dead_units.discard(any_database, Which(job_id=job_id))
    assert (given_up.images, await states(any_database, job_id)) == (0, [(state.value, None)])


async def test_a_fetch_and_its_dead_validation(any_database: Database) -> None:
    """Alone, the fetch leaves what came to the decision on the validation; together, all is closed and nothing new is made."""
    job_id, (fetch, validate) = await failed_job(any_database, FETCH_A, VALIDATE_A)
    await add_images(any_database, job_id, 1)
    await add_images(any_database, job_id, 1, first=1, changes={"state": ImageState.FETCHED})
    await dead_units.discard(any_database, Which((fetch,)))
    assert (await states(any_database, job_id), await open_kinds(any_database, job_id)) == (
        [("failed", "cancelled"), ("fetched", None)], [],
    )  # fmt: skip
    await dead_units.discard(any_database, Which((validate,)))
    assert await states(any_database, job_id) == [("failed", "cancelled")] * 2
    job_id, _ = await failed_job(any_database, FETCH_A, VALIDATE_A)
    await add_images(any_database, job_id, 1)
    await add_images(any_database, job_id, 1, first=1, changes={"state": ImageState.FETCHED})
    await dead_units.discard(any_database, Which(job_id=job_id))
    assert (await states(any_database, job_id), await open_kinds(any_database, job_id)) == ([("failed", "cancelled")] * 2, [])


async def test_the_unit_of_a_cancelled_job_may_be_discarded(any_database: Database) -> None:
    """It only leaves the list."""
    job_id = await add_job(any_database, 2)
    unit_id = await kill(any_database, (await unit_ids(any_database, job_id))[0])
    await lifecycle.set_desired_state(any_database, job_id, DesiredState.CANCELLED)
    await dead_units.discard(any_database, Which((unit_id,)), resume=True)
    assert (await job_row(any_database, job_id)).state == "cancelled"
    assert await count(any_database, tables.units, tables.units.c.state == "dead") == 0


@pytest.mark.parametrize(
    ("kind", "unit_kind"), [(kind, unit_kind) for kind, made_of in lifecycle.INDISPENSABLE.items() for unit_kind in sorted(made_of)]
)
async def test_what_a_job_was_made_for_is_not_done_without(any_database: Database, kind: JobKind, unit_kind: UnitKind) -> None:
    """It can be discarded, but the job never ends as if it had succeeded."""
    job_id, (unit_id,) = await failed_job(any_database, NewUnit(unit_kind), kind=kind)
    with pytest.raises(StateConflict, match=f"cannot go on: its {unit_kind} unit was discarded; ask for the {kind} again"):
        await dead_units.discard(any_database, Which((unit_id,)), resume=True)
    assert (await unit_row(any_database, unit_id)).state == "dead"
    await dead_units.discard(any_database, Which((unit_id,)))
    with pytest.raises(StateConflict, match="cannot go on"):
        await lifecycle.revive(any_database, job_id)
    assert (await job_row(any_database, job_id)).state == "failed"
