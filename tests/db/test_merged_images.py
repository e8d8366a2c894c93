"""One URL in two datasets of a merge."""

from app.db import Database, tables
from app.db.merged_images import LabelPair, drop_unkept, other_labels
from tests.db.builders import add_images, add_job, all_rows, change, job_row


async def dataset(db: Database, state: str, *labels: str | None) -> tuple[str, list[int]]:
    """A dataset with the first images of the list, one for each label."""
    job_id = await add_job(db)
    ids = await add_images(db, job_id, len(labels), changes={"state": state, "sha256": "a" * 64})
    for image_id, label in zip(ids, labels, strict=True):
        await change(db, tables.images, image_id, label=label)
    return (await job_row(db, job_id)).dataset_id, ids


async def test_what_is_not_kept_gives_way_to_what_is(any_database: Database) -> None:
    """Only where the other dataset keeps the URL; a repeated call finds nothing."""
    target, (kept, failed, alone) = await dataset(any_database, "failed", None, None, None)
    await change(any_database, tables.images, kept, state="kept")
    source, _ = await dataset(any_database, "kept", None, None)
    for expected in (1, 0):
        async with any_database.write() as connection:
            assert await drop_unkept(connection, target, source) == expected
    c = tables.images.c
    left = await all_rows(any_database, tables.images.select().where(c.dataset_id == target).order_by(c.id))
    assert ([row.id for row in left], failed not in {row.id for row in left}) == ([kept, alone], True)


async def test_other_labels_are_those_of_other_datasets(any_database: Database) -> None:
    """Case makes no difference, a missing label does; the original of a copy is no other."""
    first, originals = await dataset(any_database, "kept", "cat", "cat", None, "dog")
    other, _ = await dataset(any_database, "kept", "Cat", "dog", "elk")
    target, copies = await dataset(any_database, "kept", "cat", "cat", None, "puppy")
    for copy, original in zip(copies, originals, strict=True):
        await change(any_database, tables.images, copy, copied_from=original)
    async with any_database.read() as connection:
        found = await other_labels(connection, target, [first, other])
    assert found == [LabelPair(copies[1], "cat", "dog"), LabelPair(copies[2], None, "elk")]
