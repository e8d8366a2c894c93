"""Tests of app.db.versions: what a dataset is now, and the versions of a lineage in order."""

from typing import Any

from app.db import Database, datasets, versions


def version(dataset_id: str, lineage_id: str, number: tuple[int, int, int], **more: Any) -> dict[str, Any]:
    major, minor, patch = number
    values = {"dataset_id": dataset_id, "lineage_id": lineage_id, "parent_id": None, "job_id": None, "kind": "build"}
    counts = {"digest": "0" * 64, "images": 3, "size_bytes": 300, "changes": None, "provenance": None}
    return values | counts | {"major": major, "minor": minor, "patch": patch} | more


async def test_the_highest_number_is_the_newest(any_database: Database) -> None:
    """Of a dataset, and of its lineage; numbers are compared as numbers."""
    async with any_database.write() as connection:
        first = await datasets.create_dataset(connection, user_id="local", name="cats")
        second = await datasets.create_dataset(connection, user_id="local", name="cats", lineage_id=first)
        for dataset_id, number in ((first, (1, 9, 0)), (first, (1, 10, 0)), (second, (2, 0, 0))):
            await versions.add(connection, version(dataset_id, first, number, changes={"removed": 1}))
    async with any_database.read() as connection:
        of_dataset = await versions.newest_of_dataset(connection, first)
        of_lineage = await versions.newest_of_lineage(connection, first)
        assert await versions.newest_of_lineage(connection, second) is None
    assert of_dataset is not None
    assert (of_dataset.number, of_dataset.changes, of_dataset.images) == ("1.10.0", {"removed": 1}, 3)
    assert of_lineage is not None
    assert (of_lineage.number, of_lineage.dataset_id) == ("2.0.0", second)
    assert [found.number for found in await versions.of_lineage(any_database, first)] == ["2.0.0", "1.10.0", "1.9.0"]


async def test_a_dataset_without_a_lineage_begins_one(any_database: Database) -> None:
    """Its lineage has its own id."""
    async with any_database.write() as connection:
        dataset_id = await datasets.create_dataset(connection, user_id="local", name="dogs")
    assert (await datasets.get_dataset(any_database, dataset_id)).lineage_id == dataset_id


async def test_the_versions_of_a_dataset_go_with_it(any_database: Database) -> None:
    """Those of other datasets in its lineage stay."""
    async with any_database.write() as connection:
        first = await datasets.create_dataset(connection, user_id="local", name="cats")
        second = await datasets.create_dataset(connection, user_id="local", name="cats", lineage_id=first)
        for dataset_id, number in ((first, (1, 0, 0)), (second, (1, 1, 0))):
            await versions.add(connection, version(dataset_id, first, number))
    await datasets.delete_dataset(any_database, first)
    assert [found.number for found in await versions.of_lineage(any_database, first)] == ["1.1.0"]
