"""Tests of app.db.fingerprints: whole datasets, read in pages of an index's order."""

from typing import Any

import pytest

from app.db import Database, fingerprints
from app.db.fingerprints import Choice, Fingerprint
from app.domain import ImageState
from tests.db.builders import add_images, add_job, explained, statements
from tests.db.test_images import dataset_of, set_all

WANTED = [ImageState.VALID, ImageState.KEPT]


@pytest.fixture
async def three(any_database: Database) -> tuple[str, list[int]]:
    """A dataset of two images with bytes, one valid and one kept, and one without."""
    job_id = await add_job(any_database)
    ids = await add_images(any_database, job_id, 3, changes={"state": ImageState.VALID})
    known: dict[str, Any] = {"phash": "0f" * 8, "width": 30, "height": 20, "size_bytes": 99, "group_id": "g", "label": "cat"}
    await set_all(any_database, ids[:1], sha256="aa" * 32, state=ImageState.KEPT, **known)
    await set_all(any_database, ids[1:2], sha256="bb" * 32)
    return await dataset_of(any_database, job_id), ids


async def test_fingerprints_are_of_images_with_bytes(any_database: Database, three: tuple[str, list[int]]) -> None:
    """By id, in the wanted states, with pixels and size as numbers even where they are not known."""
    dataset_id, (a, b, _no_bytes) = three
    async with any_database.read() as connection:
        found = await fingerprints.fingerprints(connection, dataset_id, WANTED)
        kept = await fingerprints.fingerprints(connection, dataset_id, [ImageState.KEPT])
    assert found == [
        Fingerprint(a, ImageState.KEPT, "aa" * 32, "0f" * 8, 600, 99),
        Fingerprint(b, ImageState.VALID, "bb" * 32, None, 0, 0),
    ]
    assert kept == found[:1]


async def test_an_image_without_a_group_is_its_own(any_database: Database, three: tuple[str, list[int]]) -> None:
    """What stays in one split is what its source called a group, else the same bytes."""
    dataset_id, (a, b, _no_bytes) = three
    async with any_database.read() as connection:
        found = await fingerprints.choices(connection, dataset_id, WANTED)
    assert found == [Choice(a, "g", "cat", "srch_a", 0), Choice(b, "bb" * 32, None, "srch_a", 1)]


async def test_pages_lose_nothing(any_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the last page is full, half full or empty, every image comes once, by id whatever its state."""
    monkeypatch.setattr(fingerprints, "PAGE", 2)
    job_id = await add_job(any_database)
    ids = await add_images(any_database, job_id, 7, changes={"state": ImageState.VALID, "sha256": "cc" * 32})
    await set_all(any_database, ids[1:7:2], state=ImageState.KEPT)
    dataset_id = await dataset_of(any_database, job_id)
    async with any_database.read() as connection:
        for states, expected in ((WANTED, ids), ([ImageState.VALID], ids[::2]), ([ImageState.DUPLICATE], [])):
            assert [item.id for item in await fingerprints.fingerprints(connection, dataset_id, states)] == expected
            assert [item.id for item in await fingerprints.choices(connection, dataset_id, states)] == expected


async def test_a_page_is_read_in_the_order_of_an_index(database: Database) -> None:
    """Nothing is sorted, and no row is read that does not belong to the page."""
    with statements(database) as seen:
        async with database.read() as connection:
            await fingerprints.fingerprints(connection, "ds_1", WANTED)
    plans = [await explained(database, statement) for statement in seen if "FROM images" in statement]
    assert plans == ["SEARCH images USING INDEX ix_images_dataset (dataset_id=? AND state=? AND id>?)"] * 2
