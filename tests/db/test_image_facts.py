"""Tests of app.db.image_facts: a report reads every row once, and few of them whole."""

from app.db import Database, image_facts
from app.db.image_facts import PAGE
from app.domain import ImageState, Reason
from tests.report.rows import add_dataset, duplicate, failed, rejected


async def test_every_image_comes_once_in_pages(database: Database) -> None:
    """State by state; those of another dataset do not come."""
    rows = await add_dataset(database, [{} for _ in range(PAGE + 3)])
    others = [{"id": PAGE + 10, "url_key": "other"}]
    other = await add_dataset(database, others)
    async with database.read() as connection:
        sizes = [len(page) async for page in image_facts.pages(connection, rows.dataset_id)]
        found = [image.id async for page in image_facts.pages(connection, rows.dataset_id) for image in page]
        alone = [image.id async for page in image_facts.pages(connection, other.dataset_id) for image in page]
    assert found == list(range(1, PAGE + 4))
    assert max(sizes) == PAGE
    assert alone == [PAGE + 10]


async def test_the_facts_are_those_of_the_row(any_database: Database) -> None:
    """Types as in the domain, on both databases."""
    rows = await add_dataset(any_database, [{}, duplicate(1), rejected(), failed()])
    async with any_database.read() as connection:
        found = {image.id: image async for page in image_facts.pages(connection, rows.dataset_id) for image in page}
    assert (found[1].state, found[1].reason, found[1].label, found[1].split, found[1].width) == (ImageState.KEPT, None, "cat", "train", 641)
    assert found[1].measures == {"brightness": 91, "sharpness": 301, "entropy": 6.1}
    assert (found[2].state, found[2].reason, found[2].duplicate_of) == (ImageState.DUPLICATE, Reason.DUPLICATE_NEAR, 1)
    assert (found[3].reason, found[4].sha256, found[4].measures) == (Reason.BLURRY, None, None)


async def test_images_are_loaded_by_id(database: Database) -> None:
    """Many at once; those that do not exist are left out."""
    await add_dataset(database, [{} for _ in range(1_200)])
    async with database.read() as connection:
        found = await image_facts.load_images(connection, range(1_000, 2_000))
        assert await image_facts.load_images(connection, []) == {}
    assert sorted(found) == list(range(1_000, 1_201))
    assert found[1_000].url == "https://img1.example.org/1000.jpg"
