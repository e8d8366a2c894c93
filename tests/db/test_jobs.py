"""Tests of app.db.jobs: datasets, jobs and searches: read by their owner only, listed newest first, and ended once."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

import errors
from app.db import Database, jobs, lifecycle, tables, units
from app.domain import ImageState, Reason
from app.job_states import DesiredState, JobKind, JobState
from tests.db.builders import add_images, add_job, all_rows, count, dataset_of, end_job, job_row, pages_of, unit_ids

# jobs


async def test_a_job_belongs_to_its_user(any_database: Database) -> None:
    """A foreign one is not found, as one that does not exist."""
    job_id = await add_job(any_database, user_id="ann", spec={"keywords": ["cat"]}, priority=3)
    job = await jobs.get(any_database, job_id, user_id="ann")
    assert (job.id, job.kind, job.state, job.desired_state, job.spec, job.priority) == (
        job_id, JobKind.BUILD, JobState.RUNNING, JobState.RUNNING, {"keywords": ["cat"]}, 3,
    )  # fmt: skip
    assert not job.is_final
    for wanted, user_id in ((job_id, "bob"), ("job_unknown", "ann")):
        with pytest.raises(errors.NotFoundError, match=f"no job {wanted}"):
            await jobs.get(any_database, wanted, user_id=user_id)
    assert await jobs.get_many(any_database, [job_id, "job_unknown"]) == {job_id: job}


async def test_jobs_are_listed_newest_first_and_filtered(any_database: Database) -> None:
    """By user, state and kind, page by page, each once."""
    ids = [await add_job(any_database, 0, user_id="ann", kind=JobKind.EXPORT if n % 3 == 0 else JobKind.BUILD) for n in range(9)]
    await add_job(any_database, 0, user_id="bob")
    await end_job(any_database, ids[4], JobState.FAILED)

    async def listed(**wanted: Any) -> list[str]:
        seen: list[str] = []
        async for page in pages_of(lambda cursor: jobs.page(any_database, user_id="ann", limit=2, cursor=cursor, **wanted)):
            assert len(page.items) <= 2
            seen += [job.id for job in page.items]
        return seen

    assert await listed() == ids[::-1]
    assert await listed(kind=JobKind.EXPORT) == [ids[6], ids[3], ids[0]]
    assert await listed(state=JobState.FAILED) == [ids[4]]
    assert await listed(state=JobState.FAILED, kind=JobKind.EXPORT) == []
    assert len((await jobs.page(any_database, limit=10_000)).items) == 10
    with pytest.raises(errors.ValidationError, match="cursor is not one"):
        await jobs.page(any_database, cursor="nonsense")


async def test_the_newest_job_and_the_newest_that_can_go_on(any_database: Database) -> None:
    """What succeeded, fell short or was cancelled does not go on; what failed or runs does."""
    assert await jobs.latest(any_database) is None
    failed, cancelled, partial, succeeded = [await add_job(any_database, 0, user_id="ann") for _ in range(4)]
    for job_id, state in ((failed, "failed"), (cancelled, "cancelled"), (partial, "partial"), (succeeded, "succeeded")):
        await end_job(any_database, job_id, JobState(state))
    newest, resumable = await jobs.latest(any_database), await jobs.latest(any_database, resumable=True)
    assert newest is not None
    assert resumable is not None
    assert (newest.id, resumable.id) == (succeeded, failed)
    assert await jobs.latest(any_database, user_id="bob") is None


async def test_jobs_are_counted_by_state(any_database: Database) -> None:
    """States without a job are left out."""
    ids = [await add_job(any_database) for _ in range(3)]
    await end_job(any_database, ids[0], JobState.SUCCEEDED)
    assert await jobs.counts_by_state(any_database) == {JobState.RUNNING: 2, JobState.SUCCEEDED: 1}


async def test_the_last_build_of_a_dataset(any_database: Database) -> None:
    """Builds only; a dataset without one has none."""
    first = await add_job(any_database, 0)
    dataset_id = await dataset_of(any_database, first)
    second = await add_job(any_database, 0, dataset_id=dataset_id)
    await add_job(any_database, 0, dataset_id=dataset_id, kind=JobKind.EXPORT)
    assert (await jobs.latest_build(any_database, dataset_id)).id == second
    with pytest.raises(errors.NotFoundError, match="dataset ds_unknown was not built by a job"):
        await jobs.latest_build(any_database, "ds_unknown")


async def test_a_stage_moves_what_runs_only(any_database: Database) -> None:
    """The first one marks the start; paused and ended jobs stay as they are; rounds are counted where asked."""
    job_id = await add_job(any_database, 1)
    started = (await job_row(any_database, job_id)).started_at
    assert started is not None
    await jobs.wait_for(any_database, job_id, "the disk")
    assert (await job_row(any_database, job_id)).waiting_for == "the disk"

    async def set_stage(stage: str | None, **options: Any) -> tuple[Any, ...]:
        async with any_database.write() as connection:
            await jobs.set_stage(connection, job_id, state=JobState.FINALIZING, stage=stage, **options)
        row = await job_row(any_database, job_id)
        return row.state, row.stage, row.rounds, row.waiting_for, row.started_at

    assert await set_stage("labels") == ("finalizing", "labels", 0, None, started)
    assert await set_stage(None, another_round=True) == ("finalizing", None, 1, None, started)
    await lifecycle.set_desired_state(any_database, job_id, DesiredState.PAUSED)
    assert await set_stage("export", another_round=True) == ("paused", None, 1, None, started)
    await end_job(any_database, job_id, JobState.SUCCEEDED)
    assert (await set_stage("export"))[:3] == ("succeeded", None, 1)


async def test_a_job_ends_once(any_database: Database) -> None:
    """The first last state stays, with its shortfall, its error and its moment."""
    job_id = await add_job(any_database, 0)
    await jobs.wait_for(any_database, job_id, "the disk")
    await end_job(any_database, job_id, JobState.PARTIAL, shortfall={"missing": 3}, error="short")
    ended = await jobs.get(any_database, job_id)
    assert (ended.state, ended.shortfall, ended.error, ended.waiting_for, ended.is_final) == (
        JobState.PARTIAL, {"missing": 3}, "short", None, True,
    )  # fmt: skip
    assert ended.finished_at is not None
    await end_job(any_database, job_id, JobState.FAILED, error="again")
    assert await jobs.get(any_database, job_id) == ended


async def test_a_cancelled_job_closes_its_open_images(any_database: Database) -> None:
    """What is on the way fails as cancelled; what has its verdict, and other jobs' images, keep it."""
    job_id, other = await add_job(any_database), await add_job(any_database)
    states = [ImageState.PENDING, ImageState.DEFERRED, ImageState.FETCHED, ImageState.VALID, ImageState.KEPT, ImageState.REJECTED]
    for number, state in enumerate(states):
        changes = {"state": state, "evidence": "the origin answered 503"}
        await add_images(any_database, job_id, first=number, chunk_id=f"chunk_{number}", changes=changes)
    await add_images(any_database, other)
    await end_job(any_database, job_id, JobState.CANCELLED)
    columns = tables.images.c
    query = select(columns.state, columns.reason, columns.evidence).where(columns.job_id == job_id).order_by(columns.id)
    verdicts = [("kept", None, "the origin answered 503"), ("rejected", None, "the origin answered 503")]
    assert await all_rows(any_database, query) == [("failed", Reason.CANCELLED, None)] * 4 + verdicts
    assert await count(any_database, tables.images, columns.job_id == other, columns.state == "pending") == 1


# searches


async def test_searches_are_planned_once(any_database: Database) -> None:
    """Per source and keyword, whatever the label; the ids of the new ones come back in the order of the plan."""
    job_id = await add_job(any_database)
    async with any_database.write() as connection:
        assert await jobs.add_searches(connection, job_id, []) == []
        planned = [("wikimedia", "cat", "cat"), ("wikimedia", "dog", None), ("wikimedia", "cat", "kitten"), ("flickr", "cat", "cat")]
        first = await jobs.add_searches(connection, job_id, planned)
        again = await jobs.add_searches(connection, job_id, [("wikimedia", "dog", "x"), ("wikimedia", "cow", "cow")])
    assert (len(first), len(again)) == (3, 1)
    searches = await jobs.searches_of(any_database, job_id)
    assert [search.id for search in searches] == [*first, *again]
    assert [(search.source, search.keyword, search.label) for search in searches] == [
        ("wikimedia", "cat", "cat"), ("wikimedia", "dog", None), ("flickr", "cat", "cat"), ("wikimedia", "cow", "cow"),
    ]  # fmt: skip
    assert {(search.cursor, search.is_exhausted, search.found, search.new, search.bad, search.note) for search in searches} == {
        (None, False, 0, 0, 0, None)
    }
    assert await jobs.search_labels(any_database, await dataset_of(any_database, job_id)) == {s.id: s.label for s in searches}


async def test_two_plans_at_once_do_not_collide(any_database: Database) -> None:
    """Keywords that are expanded side by side may come to the same terms: each is searched once."""
    job_id = await add_job(any_database)

    async def plan(words: list[str]) -> list[str]:
        async with any_database.write() as connection:
            return await jobs.add_searches(connection, job_id, [("wikimedia", word, None) for word in words])

    made = await asyncio.gather(*(plan([f"word {number}" for number in range(start, start + 20)]) for start in range(0, 40, 5)))
    ids = [search_id for new in made for search_id in new]
    assert len(ids) == len(set(ids)) == 55
    assert {search.id for search in await jobs.searches_of(any_database, job_id)} == set(ids)


async def test_a_page_moves_its_search_on(any_database: Database) -> None:
    """The cursor is replaced, what was found is added up."""
    job_id = await add_job(any_database)
    async with any_database.write() as connection:
        (search_id,) = await jobs.add_searches(connection, job_id, [("wikimedia", "cat", "cat")])
        for cursor, is_exhausted, note in (("page 2", False, "slow"), (None, True, None)):
            await jobs.advance_search(connection, search_id, cursor=cursor, is_exhausted=is_exhausted, found=50, new=40, bad=1, note=note)
            if cursor:
                row = (await connection.execute(select(tables.searches))).one()
                assert (row.cursor, row.is_exhausted, row.found, row.note) == ("page 2", False, 50, "slow")
    search = await jobs.get_search(any_database, search_id)
    assert (search.cursor, search.is_exhausted, search.found, search.new, search.bad, search.note) == (None, True, 100, 80, 2, None)


async def test_a_locked_job_waits_for_its_holder(postgres_database: Database) -> None:
    """Whoever reads a job to change it reads what the one before it wrote."""
    job_id = await add_job(postgres_database)
    assert await unit_ids(postgres_database, job_id)

    async def read() -> JobState:
        async with postgres_database.write() as connection:
            return (await jobs.find(connection, job_id, lock=True)).state

    async with postgres_database.write() as connection:
        await jobs.find(connection, job_id, lock=True)
        reader = asyncio.create_task(read())
        for _ in range(10):
            await postgres_database.ping()
        await jobs.end(connection, job_id, JobState.FAILED)
    assert await reader is JobState.FAILED
    assert await units.dead_of(postgres_database, job_id) == []


async def test_where_the_lists_of_jobs_lie(any_database: Database) -> None:
    """Of builds that have one; clean-up spares them."""
    await add_job(any_database, spec={"url_list": {"key": "lists/a.txt"}})
    await add_job(any_database, spec={"keywords": ["cat"], "url_list": None})
    await add_job(any_database, kind=JobKind.EXPORT, spec={"url_list": {"key": "lists/b.txt"}})
    assert await jobs.list_keys(any_database) == {"lists/a.txt"}
