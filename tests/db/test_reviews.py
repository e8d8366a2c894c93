"""Tests of app.db.reviews: what a person decided is a row that stays, and the newest of them is on the image."""

from typing import Any

import pytest
from sqlalchemy import select

import errors
from app.db import Database, copy_images, images, reviews, tables
from app.db.copy_images import ImageCopy
from app.db.reviews import NewReview
from app.domain import ImageState, Reason
from app.review_actions import ReviewAction, Reviewed
from tests.db.builders import add_images, add_job, count, dataset_of, pages_of

OUT: dict[str, Any] = {"state": ImageState.REJECTED, "reason": Reason.REJECTED_BY_REVIEWER, "split": None, "reviewed": Reviewed.REJECT}


async def decided(db: Database, dataset_id: str, ids: list[int], changes: dict[str, Any], *, batch: str = "rev_1", **more: Any) -> None:
    """A decision of ann about these images."""
    async with db.write() as connection:
        found = await reviews.lock_images(connection, dataset_id, ids)
        new = [NewReview(image, changes, **more) for image in found]
        await reviews.add(connection, new, user_id="ann", batch_id=batch, action=ReviewAction.REJECT, note="watermark")


@pytest.fixture
async def kept(any_database: Database) -> tuple[str, list[int]]:
    """A dataset of three kept images."""
    job_id = await add_job(any_database)
    ids = await add_images(any_database, job_id, 3, changes={"state": ImageState.KEPT, "label": "cat", "split": "test"})
    return await dataset_of(any_database, job_id), ids


async def test_a_decision_is_on_the_image_and_in_its_history(any_database: Database, kept: tuple[str, list[int]]) -> None:
    """With who, when, what it was before and what it is now; the other images are as they were."""
    dataset_id, ids = kept
    await decided(any_database, dataset_id, ids[:1], OUT)
    image, other = [await images.get(any_database, image_id) for image_id in ids[:2]]
    (review,) = await reviews.of_image(any_database, ids[0])
    assert (image.state, image.reason, image.split, image.label) == ("rejected", "rejected_by_reviewer", None, "cat")
    assert (image.reviewed, image.reviewed_by, image.reviewed_at, image.review_id) == ("reject", "ann", review.created_at, review.id)
    assert (review.action, review.note, review.user_id, review.batch_id) == ("reject", "watermark", "ann", "rev_1")
    assert (review.before["state"], review.before["split"], review.before["reviewed"]) == ("kept", "test", None)
    assert (review.after["state"], review.after["split"], review.after["reviewed_by"]) == ("rejected", None, "ann")
    assert abs(review.created_at - await any_database.now()) < 60
    assert (other.state, other.reviewed) == ("kept", None)


async def test_a_later_decision_erases_no_earlier_one(any_database: Database, kept: tuple[str, list[int]]) -> None:
    """And one that takes it back names it, restores what was, and is named by it."""
    dataset_id, ids = kept
    await decided(any_database, dataset_id, ids[:1], OUT)
    (first,) = await reviews.of_image(any_database, ids[0])
    before = {name: first.before[name] for name in reviews.DECIDED}
    await decided(any_database, dataset_id, ids[:1], before, batch="rev_2", undoes=first.id)
    one, two = await reviews.of_image(any_database, ids[0])
    assert (one.undone_by, two.undoes, two.undone_by) == (two.id, one.id, None)
    image = await images.get(any_database, ids[0])
    assert (image.state, image.split, image.reviewed, image.reviewed_by, image.review_id) == ("kept", "test", None, None, None)


async def test_a_batch_decides_each_image_once(any_database: Database, kept: tuple[str, list[int]]) -> None:
    """The database refuses a second row, and nothing of its statement stays."""
    dataset_id, ids = kept
    await decided(any_database, dataset_id, ids[:2], OUT)
    with pytest.raises(Exception, match=r"(?i)unique"):
        await decided(any_database, dataset_id, ids[1:], OUT)
    assert await count(any_database, tables.reviews) == 2
    async with any_database.read() as connection:
        assert await reviews.reviewed_in_batch(connection, "rev_1", ids) == set(ids[:2])
        assert [review.image_id for review in await reviews.of_batch(connection, "rev_1", limit=1)] == ids[:1]


async def test_the_log_of_a_dataset_is_read_by_key(any_database: Database, kept: tuple[str, list[int]]) -> None:
    """Newest first, each decision on one page."""
    dataset_id, ids = kept
    await decided(any_database, dataset_id, ids, OUT)
    pages = [
        [review.image_id for review in page.items] async for page in pages_of(reviews.page, db=any_database, dataset_id=dataset_id, limit=2)
    ]
    assert pages == [[ids[2], ids[1]], [ids[0]]]
    with pytest.raises(errors.ValidationError, match="cursor"):
        await reviews.page(any_database, dataset_id, cursor="nonsense")


async def test_an_image_of_another_dataset_is_not_found(any_database: Database, kept: tuple[str, list[int]]) -> None:
    """Nor is it locked."""
    other = await dataset_of(any_database, await add_job(any_database))
    async with any_database.write() as connection:
        assert await reviews.lock_images(connection, other, kept[1]) == []


async def test_decisions_come_along_with_a_copy(any_database: Database, kept: tuple[str, list[int]]) -> None:
    """What holds comes, on the row and in the history, without the batch; what was taken back does not."""
    dataset_id, ids = kept
    await decided(any_database, dataset_id, ids[:2], OUT)
    (first,) = await reviews.of_image(any_database, ids[1])
    before = {name: first.before[name] for name in reviews.DECIDED}
    await decided(any_database, dataset_id, ids[1:2], before, batch="rev_2", undoes=first.id)
    job_id = await add_job(any_database)
    target = await dataset_of(any_database, job_id)
    await copy_images.copy_images(any_database.write, ImageCopy(dataset_id, target, job_id))
    c = tables.images.c
    async with any_database.read() as connection:
        rows = (
            await connection.execute(select(c.id, c.state, c.reviewed, c.reviewed_by).where(c.dataset_id == target).order_by(c.id))
        ).all()
    assert [(row.state, row.reviewed, row.reviewed_by) for row in rows] == [
        ("rejected", "reject", "ann"),
        ("kept", None, None),
        ("kept", None, None),
    ]
    (come,) = (await reviews.page(any_database, target)).items
    assert (come.image_id, come.user_id, come.batch_id, come.note) == (rows[0].id, "ann", None, "watermark")


async def test_the_history_goes_with_its_dataset(any_database: Database, kept: tuple[str, list[int]]) -> None:
    """Nothing is left of a dataset that was deleted."""
    dataset_id, ids = kept
    await decided(any_database, dataset_id, ids, OUT)
    async with any_database.write() as connection:
        await connection.execute(tables.datasets.delete().where(tables.datasets.c.id == dataset_id))
    assert await count(any_database, tables.reviews) == 0
