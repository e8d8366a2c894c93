"""Tests of app.db.image_columns: every row of a dataset comes, and each change of a dataset is seen."""

from collections.abc import Awaitable, Callable

from app.db import Database, events, image_columns, jobs, reviews, tombstones, units
from app.db.reviews import NewReview
from app.db.tombstones import NewTombstone
from app.domain import ImageState, Reason
from app.job_states import JobState
from app.review_actions import ReviewAction
from tests.db.builders import add_images, add_job, claimed, dataset_of, explained, statements, unit_ids
from tests.db.test_images import set_all


async def test_pages_hold_every_row_of_a_dataset(any_database: Database) -> None:
    """Of every state, in pages of any size, without those of another dataset; measures come as text."""
    job = await add_job(any_database)
    ids = await add_images(any_database, job, 20)
    await add_images(any_database, await add_job(any_database), 2, first=100)
    for number, state in enumerate(ImageState):
        await set_all(any_database, ids[2 * number : 2 * number + 1], state=state, reason=Reason.TIMEOUT, measures={"edges": 0.5})
    rows = [row async for page in image_columns.pages(any_database, await dataset_of(any_database, job), size=3) for row in page]
    assert sorted(row.id for row in rows) == ids
    assert {row.state for row in rows} == set(ImageState)
    assert {row.measures for row in rows} == {'{"edges": 0.5}', None}


async def test_each_change_of_a_dataset_has_a_fingerprint_of_its_own(any_database: Database) -> None:
    """A unit that ends, a log line, the end of a job, another job, a tombstone, a review; none of another dataset or user."""
    db = any_database
    job = await add_job(db, 2, user_id="ann")
    dataset_id, ids = await dataset_of(db, job), await add_images(db, job, 1)
    seen = [await image_columns.fingerprint(db, dataset_id)]
    assert await image_columns.fingerprint(db, dataset_id) == seen[0]

    async def finish_unit() -> None:
        unit = await claimed(db, (await unit_ids(db, job))[0])
        async with db.write() as connection:
            await units.finish(connection, unit)

    async def end_job() -> None:
        async with db.write() as connection:
            await jobs.end(connection, job, JobState.SUCCEEDED)

    async def forget() -> None:
        async with db.write() as connection:
            await tombstones.add(connection, "ann", [NewTombstone(url="https://example.org/x", url_key="f" * 64)])

    async def log_line() -> None:
        await events.add(db, [{"job_id": job, "at": 1.0, "level": "INFO", "event": "chunk.fetched", "data": {}}])

    async def another_job() -> None:
        await add_job(db, user_id="ann", dataset_id=dataset_id)

    async def review() -> None:
        async with db.write() as connection:
            decided = [NewReview(image, {"reviewed": "keep"}) for image in await reviews.lock_images(connection, dataset_id, ids)]
            await reviews.add(connection, decided, user_id="ann", batch_id="rev_1", action=ReviewAction.KEEP)

    steps: tuple[Callable[[], Awaitable[None]], ...] = (finish_unit, log_line, end_job, another_job, forget, review)
    for step in steps:
        await step()
        seen.append(await image_columns.fingerprint(db, dataset_id))
    assert len(set(seen)) == len(steps) + 1
    await add_job(db, user_id="ann")
    async with db.write() as connection:
        await tombstones.add(connection, "bob", [NewTombstone(url="https://example.org/x", url_key="f" * 64)])
    assert await image_columns.fingerprint(db, dataset_id) == seen[-1]


async def test_images_come_in_the_order_that_is_asked_for(any_database: Database) -> None:
    """Those that are gone, and those of another dataset, are left out."""
    job, other = await add_job(any_database), await add_job(any_database)
    ids, foreign = await add_images(any_database, job, 3), await add_images(any_database, other, 1)
    found = await image_columns.by_ids(any_database, await dataset_of(any_database, job), [ids[2], foreign[0], 10**9, ids[0]])
    assert [image.id for image in found] == [ids[2], ids[0]]


async def test_images_are_read_by_their_keys(database: Database) -> None:
    """Not through an index of their dataset, which has a million others."""
    with statements(database) as sent:
        await image_columns.by_ids(database, "ds", list(range(60)))
    plan = await explained(database, next(statement for statement in sent if "FROM images" in statement))
    assert plan.startswith("SEARCH images USING INTEGER PRIMARY KEY")


async def test_more_than_a_number_is_known_without_counting_all(any_database: Database) -> None:
    """By so many entries of an index."""
    job = await add_job(any_database)
    await add_images(any_database, job, 3)
    dataset_id = await dataset_of(any_database, job)
    assert [await image_columns.has_more_than(any_database, dataset_id, number) for number in (2, 3)] == [True, False]
