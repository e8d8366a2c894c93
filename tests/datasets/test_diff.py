"""Tests of app.datasets.diff: the records of two datasets, URL by URL."""

from dataclasses import replace
from typing import Any

import pytest

from app.datasets import diff
from app.datasets.diff import Changes, compare
from app.db import Database, kept_records
from app.db.images import url_digest
from app.db.kept_records import KeptRecord
from app.domain import ImageState
from tests.db.builders import add_images, add_job, dataset_of

RECORD = KeptRecord("k", 1, "https://example.org/1.jpg", "a" * 64, 10, "cat", (), "train", {"caption": "a cat"})


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({}, ()),
        ({"image_id": 2, "size_bytes": 5}, ()),
        ({"sha256": "b" * 64}, ("changed",)),
        ({"texts": {}}, ("changed",)),
        ({"label": None}, ("relabelled",)),
        ({"labels": ("cat", "pet")}, ("relabelled",)),
        ({"split": "test", "label": "dog"}, ("relabelled", "resplit")),
    ],
)
def test_records_of_one_url_differ_in_what_leaves(change: dict[str, Any], kinds: tuple[str, ...]) -> None:
    """Their ids differ in any case, and their sizes with the library that encoded them."""
    assert compare(RECORD, replace(RECORD, **change)) == kinds


def test_the_texts_that_differ_are_named() -> None:
    """Those that one does not have as well."""
    found = diff.Difference(RECORD, replace(RECORD, texts={"caption": "a dog", "license": "CC0-1.0"}), ("changed",))
    assert found.texts == ("caption", "license")
    assert diff.Difference(None, RECORD, ("added",)).texts == ()


async def test_two_datasets_are_merged_by_url(any_database: Database) -> None:
    """Whatever the order of their rows and which has more; images that are not kept do not count."""
    old, new = [await add_job(any_database) for _ in range(2)]
    kept = {"state": ImageState.KEPT, "sha256": "a" * 64}
    for job_id, numbers, changes in ((old, (5, 1, 4, 2), kept), (new, (2, 9, 5, 8, 1), kept), (new, (4,), kept | {"state": "rejected"})):
        for number in numbers:
            await add_images(any_database, job_id, first=number, changes=changes)
    ids = [await dataset_of(any_database, job_id) for job_id in (old, new)]
    found = [(item.url, item.kinds) async for item in diff.differences(any_database, *ids)]
    expected = {"https://example.org/4.jpg": "removed", "https://example.org/8.jpg": "added", "https://example.org/9.jpg": "added"}
    assert found == [(url, (expected[url],)) for url in sorted(expected, key=url_digest)]
    assert await diff.changes_between(any_database, *ids) == Changes(added=2, removed=1)
    assert (await diff.changes_between(any_database, ids[0], ids[0])).is_empty


async def test_every_page_is_read(database: Database) -> None:
    """The last one too, full or not."""
    job_id = await add_job(database)
    await add_images(database, job_id, 5, changes={"state": ImageState.KEPT, "sha256": "a" * 64})
    found = [len(page) async for page in kept_records.pages(database, await dataset_of(database, job_id), page=2)]
    assert found == [2, 2, 1]
