"""Tests of app.db.copy_images: rows of one dataset in another, without the process in between."""

from contextlib import suppress
from typing import Any

from sqlalchemy import select

from app.db import Database, copy_images, images, jobs, tables
from app.db.copy_images import AS_THEY_ARE, ImageCopy
from app.domain import Candidate, ImageState, Reason, Reuse
from tests.db.builders import add_images, add_job, all_rows, change, dataset_of

BYTES = {"sha256": "a" * 64, "size_bytes": 10, "media_type": "image/png", "fetched_at": 5.0, "etag": '"1"'}


async def rows_of(db: Database, dataset_id: str) -> list[dict[str, Any]]:
    query = select(tables.images).where(tables.images.c.dataset_id == dataset_id).order_by(tables.images.c.id)
    return [dict(row._mapping) for row in await all_rows(db, query)]


async def copied(db: Database, source: str, target_job: str, **more: Any) -> int:
    """Copy a dataset into that of a job; return how many rows came."""
    copy = ImageCopy(await dataset_of(db, source), await dataset_of(db, target_job), target_job, **more)
    return await copy_images.copy_images(db.write, copy)


async def test_a_copy_has_what_its_original_has(any_database: Database) -> None:
    """But for its place: dataset, job, chunk; and it says where it comes from."""
    db = any_database
    source, target = await add_job(db), await add_job(db)
    (first,) = await add_images(db, source, first=1, changes=BYTES | {"state": ImageState.KEPT, "label": "cat", "split": "test"})
    await add_images(db, source, first=2, changes={"state": ImageState.FAILED, "reason": Reason.HTTP_404})
    await add_images(
        db, source, first=3, changes=BYTES | {"state": ImageState.DUPLICATE, "reason": Reason.DUPLICATE_EXACT, "duplicate_of": first}
    )
    await add_images(db, source, first=4)
    assert await copied(db, source, target) == 4
    olds, news = [await rows_of(db, await dataset_of(db, job_id)) for job_id in (source, target)]
    own = {"id", "dataset_id", "job_id", "chunk_id", "search_id", "copied_from", "duplicate_of", "reuse", "reused_from", "state", "reason"}
    assert [{name: value for name, value in row.items() if name not in own} for row in olds] == [
        {name: value for name, value in row.items() if name not in own} for row in news
    ]
    assert [row["copied_from"] for row in news] == [row["id"] for row in olds]
    assert {row["job_id"] for row in news} == {target}
    assert [(row["state"], row["reason"], row["duplicate_of"]) for row in news] == [
        ("kept", None, None),
        ("failed", "http_404", None),
        ("duplicate", "duplicate_exact", None),
        ("spare", "not_requested", None),
    ]
    assert [(row["reuse"], row["reused_from"]) for row in news[:2]] == [(Reuse.STORED, source), (None, None)]


async def test_labels_of_searches_come_along(any_database: Database) -> None:
    """The searches of another job are not those of this one; a search of the same words is."""
    db = any_database
    source, target = await add_job(db), await add_job(db)
    async with db.write() as connection:
        (old,) = await jobs.add_searches(connection, source, [("wikimedia", "cats", "cat")])
        (new,) = await jobs.add_searches(connection, target, [("wikimedia", "cats", "another")])
    for number, search_id in enumerate([old, "srch_gone"]):
        (image_id,) = await add_images(db, source, first=number)
        await change(db, tables.images, image_id, search_id=search_id)
    await copied(db, source, target)
    assert [(row["label"], row["search_id"]) for row in await rows_of(db, await dataset_of(db, target))] == [("cat", new), (None, None)]


async def test_names_and_rows_of_lists_come_along(any_database: Database) -> None:
    """What names a picture besides its URL, and every row that named its URL."""
    db = any_database
    source, target = await add_job(db), await add_job(db)
    url = "https://example.org/1.jpg"
    rows = [
        (url, Candidate(url=url, source="list", rank=rank, line=rank + 1, caption=f"c{rank}", identities=("sha1:1",))) for rank in (0, 1)
    ]
    async with db.write() as connection:
        await images.add_candidates(
            connection, dataset_id=await dataset_of(db, source), job_id=source, search_id="s", chunks=[("chunk_a", rows)]
        )
    await copied(db, source, target)
    (new,) = await rows_of(db, await dataset_of(db, target))
    listed = await all_rows(db, select(tables.list_rows).where(tables.list_rows.c.image_id == new["id"]).order_by(tables.list_rows.c.row))
    assert [(row.line, row.captions) for row in listed] == [(1, ["c0"]), (2, ["c1"])]
    names = await all_rows(db, select(tables.image_identities).where(tables.image_identities.c.image_id == new["id"]))
    assert [(row.dataset_id, row.identity) for row in names] == [(new["dataset_id"], "sha1:1")]


async def test_only_wanted_states_are_copied_as_others(database: Database) -> None:
    """A state that changes has no reason."""
    source, target = await add_job(database), await add_job(database)
    await add_images(database, source, first=1, changes={"state": ImageState.DUPLICATE, "reason": Reason.DUPLICATE_NEAR})
    await add_images(database, source, first=2, changes={"state": ImageState.FAILED, "reason": Reason.TIMEOUT})
    await copied(database, source, target, states={ImageState.DUPLICATE: ImageState.PENDING})
    assert [(row["state"], row["reason"]) for row in await rows_of(database, await dataset_of(database, target))] == [("pending", None)]
    assert AS_THEY_ARE[ImageState.TOMBSTONED] is ImageState.TOMBSTONED


async def test_a_url_that_the_target_has_is_left_out(any_database: Database) -> None:
    """The first one stays, with its own names and rows."""
    first, second, target = [await add_job(any_database) for _ in range(3)]
    await add_images(any_database, first, 2, changes={"label": "first"})
    await add_images(any_database, second, 3, changes={"label": "second"})
    assert [await copied(any_database, source, target) for source in (first, second)] == [2, 1]
    assert [row["label"] for row in await rows_of(any_database, await dataset_of(any_database, target))] == ["first", "first", "second"]


async def test_a_copy_that_was_interrupted_goes_on(any_database: Database) -> None:
    """After the batches that are committed, and in chunks of their size; a further call copies nothing."""
    source, target = await add_job(any_database), await add_job(any_database)
    await add_images(any_database, source, 10)
    copy = ImageCopy(await dataset_of(any_database, source), await dataset_of(any_database, target), target, chunk_size=3)
    opened = 0

    def dying() -> Any:
        nonlocal opened
        opened += 1
        if opened == 4:
            raise KeyboardInterrupt
        return any_database.write()

    with suppress(KeyboardInterrupt):
        await copy_images.copy_images(dying, copy, batch=4)
    assert len(await rows_of(any_database, copy.target_id)) == 8
    assert await copy_images.copy_images(any_database.write, copy, batch=4) == 2
    assert await copy_images.copy_images(any_database.write, copy, batch=4) == 0
    chunks = [row["chunk_id"] for row in await rows_of(any_database, copy.target_id)]
    assert [chunks.count(chunk) for chunk in dict.fromkeys(chunks)] == [3, 1, 3, 1, 2]
    sizes = await all_rows(any_database, select(tables.chunks.c.size).where(tables.chunks.c.job_id == target))
    assert sorted(row.size for row in sizes) == [1, 1, 2, 3, 3]
