"""Tests of app.db.images: candidates in once, chunks out and back in bulk, pages without gap or overlap."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import pytest
from sqlalchemy import select, text

import errors
from app.db import Database, image_search, images, jobs, tables
from app.db.funnel import SourceCount
from app.db.images import STORED
from app.domain import Candidate, ImageState, Reason, StoredImage
from tests.db.builders import add_images, add_job, all_rows, candidates, count, explained, job_row, pages_of, statements


async def insert(db: Database, job_id: str, chunks: Sequence[tuple[str, Sequence[tuple[str, Candidate]]]]) -> dict[str, int]:
    dataset_id = (await job_row(db, job_id)).dataset_id
    async with db.write() as connection:
        return await images.add_candidates(connection, dataset_id=dataset_id, job_id=job_id, search_id="srch_1", chunks=chunks)


async def set_all(db: Database, ids: Sequence[int], **values: Any) -> None:
    async with db.write() as connection:
        await images.update_many(connection, [{"id": image_id} | values for image_id in ids])


async def dataset_of(db: Database, job_id: str) -> str:
    return str((await job_row(db, job_id)).dataset_id)


# candidates


async def test_a_candidate_becomes_a_pending_image_with_all_that_its_source_says(any_database: Database) -> None:
    """Every field of a candidate that a row has is in the row."""
    job_id = await add_job(any_database)
    told = {
        "page_url": "https://example.org/page", "label": "cat", "caption": "A cat 🐈", "title": "Cat", "license": "CC-BY-4.0",
        "license_url": "https://example.org/by", "creator": "Ann", "attribution": "Ann / Example", "group_id": "album 1",
        "expected_sha256": "ab" * 32, "line": 7,
    }  # fmt: skip
    ((url, candidate),) = candidates(1, source="wikimedia", **told)
    assert await insert(any_database, job_id, [("chunk_1", [(url, candidate)])]) == {"chunk_1": 1}
    (image,) = (await image_search.page(any_database, image_search.ImageFilter(job_id=job_id))).items
    assert {name: getattr(image, name) for name in told} == told
    assert (image.url, image.source, image.rank, image.chunk_id, image.search_id) == (url, "wikimedia", 0, "chunk_1", "srch_1")
    assert (image.state, image.reason, image.dataset_id) == (ImageState.PENDING, None, await dataset_of(any_database, job_id))


async def test_a_url_enters_a_dataset_once(any_database: Database) -> None:
    """Within a batch, across chunks, across batches and across jobs, told apart by the normal form; the first one stays."""
    job_id = await add_job(any_database)
    a, b, c = (f"https://example.org/{name}" for name in "abc")
    first = [(a, Candidate("https://EXAMPLE.org/a", "list", 0)), (b, Candidate("b", "list", 1))]
    again = [(a, Candidate("https://example.org:443/a", "list", 2)), (c, Candidate("c", "list", 3))]
    assert await insert(any_database, job_id, [("chunk_1", [*first, first[0]]), ("chunk_2", again)]) == {"chunk_1": 2, "chunk_2": 1}
    assert await insert(any_database, job_id, [("chunk_3", [*first, *again])]) == {}
    other = await add_job(any_database, dataset_id=await dataset_of(any_database, job_id))
    assert await insert(any_database, other, [("chunk_4", again)]) == {}
    rows = await all_rows(any_database, select(tables.images.c.url, tables.images.c.chunk_id).order_by(tables.images.c.id))
    assert rows == [("https://EXAMPLE.org/a", "chunk_1"), ("b", "chunk_1"), ("c", "chunk_2")]
    elsewhere = await add_job(any_database)
    assert await insert(any_database, elsewhere, [("chunk_5", first)]) == {"chunk_5": 2}


async def test_five_thousand_candidates_cost_a_dozen_statements(any_database: Database) -> None:
    """Rows go in by the batch, however many chunks they belong to."""
    job_id = await add_job(any_database)
    chunks = [(f"chunk_{number:02}", candidates(100, first=100 * number)) for number in range(50)]
    with statements(any_database) as seen:
        sizes = await insert(any_database, job_id, chunks)
    assert sizes == {chunk_id: 100 for chunk_id, _ in chunks}
    assert await count(any_database, tables.images) == 5000
    assert len(seen) <= 14
    ranks = await all_rows(any_database, select(tables.images.c.url).order_by(tables.images.c.id))
    assert [row.url for row in ranks] == [candidate.url for _, group in chunks for _, candidate in group]


async def test_no_candidates_are_no_rows(any_database: Database) -> None:
    """An empty page of a source is nothing special."""
    job_id = await add_job(any_database)
    assert await insert(any_database, job_id, []) == {}
    assert await insert(any_database, job_id, [("chunk_1", [])]) == {}


async def test_searches_that_find_the_same_in_another_order_do_not_lock_each_other_out(any_database: Database) -> None:
    """Two transactions that insert the same URLs forwards and backwards: both succeed, and every URL is there once."""
    job_id = await add_job(any_database)
    dataset_id = await dataset_of(any_database, job_id)
    offered = candidates(60)

    async def search(order: Sequence[tuple[str, Candidate]]) -> int:
        new = 0
        async with any_database.write() as connection:
            for start in range(0, 60, 5):
                sizes = await images.add_candidates(
                    connection, dataset_id=dataset_id, job_id=job_id, search_id="s", chunks=[("c", order[start : start + 5])]
                )
                new += sizes.get("c", 0)
        return new

    assert sum(await asyncio.gather(search(offered), search(offered[::-1]), search(offered[::-1]), search(offered))) == 60
    assert await count(any_database, tables.images) == 60


def test_the_key_of_a_url_is_its_digest() -> None:
    """SHA-256 in hex, of anything that may stand in a URL."""
    assert images.url_digest("https://example.org/") == "8198d1bac40a1033653a78e48800cefc9e6b974ff075c66e5548b5c1e145a2b0"
    assert len(images.url_digest("https://example.org/\ud800")) == 64


async def test_chunk_rows_are_written_with_their_sizes(any_database: Database) -> None:
    """One row for each chunk; none is no statement."""
    job_id = await add_job(any_database)
    async with any_database.write() as connection:
        await images.add_chunks(connection, job_id, {})
        await images.add_chunks(connection, job_id, {"chunk_1": 3, "chunk_2": 5})
    columns = tables.chunks.c
    rows = await all_rows(any_database, select(columns.id, columns.job_id, columns.size).order_by(columns.id))
    assert rows == [("chunk_1", job_id, 3), ("chunk_2", job_id, 5)]


# a chunk at work


async def test_a_chunks_images_by_state_and_by_what_is_due(any_database: Database) -> None:
    """Only the wanted states of this chunk, by id; ``due_only`` leaves out what is deferred into the future."""
    job_id = await add_job(any_database)
    a, b, c, d = await add_images(any_database, job_id, 4, chunk_id="chunk_1")
    await add_images(any_database, job_id, 2, first=10, chunk_id="chunk_2")
    now = await any_database.now()
    await set_all(any_database, [b], state=ImageState.DEFERRED, reason=Reason.RATE_LIMITED, not_before=now + 600)
    await set_all(any_database, [c], state=ImageState.DEFERRED, reason=Reason.RATE_LIMITED, not_before=now - 1)
    await set_all(any_database, [d], state=ImageState.FAILED, reason=Reason.HTTP_404)
    async with any_database.read() as connection:
        wanted = [ImageState.PENDING, ImageState.DEFERRED]
        assert [image.id for image in await images.chunk_images(connection, "chunk_1", wanted)] == [a, b, c]
        assert [image.id for image in await images.chunk_images(connection, "chunk_1", wanted, due_only=True)] == [a, c]
        assert [image.reason for image in await images.chunk_images(connection, "chunk_1", [ImageState.FAILED])] == [Reason.HTTP_404]
        assert await images.chunk_images(connection, "chunk_unknown", wanted) == []


async def test_a_chunks_states_with_when_they_are_due(any_database: Database) -> None:
    """What is waited for at its earliest; a state in which no image of this chunk is, is not there."""
    job_id = await add_job(any_database)
    a, b, c, _ = await add_images(any_database, job_id, 4, chunk_id="chunk_1")
    await set_all(any_database, [a], state=ImageState.DEFERRED, reason=Reason.RATE_LIMITED, not_before=900.0)
    await set_all(any_database, [b], state=ImageState.DEFERRED, reason=Reason.RATE_LIMITED, not_before=700.0)
    await set_all(any_database, [c], state=ImageState.FETCHED)
    async with any_database.read() as connection:
        found = await images.chunk_states(connection, "chunk_1")
        assert found == {ImageState.DEFERRED: 700.0, ImageState.FETCHED: 0.0, ImageState.PENDING: 0.0}
        assert await images.chunk_states(connection, "chunk_unknown") == {}


async def test_images_change_alike_in_one_statement(any_database: Database) -> None:
    """Those that are named and no other; an empty value too, and the moment of the change."""
    ids = await add_images(any_database, await add_job(any_database), 3, changes={"label": "cat"})
    now = await any_database.now()
    async with any_database.write() as connection:
        await images.update_alike(connection, ids[:2], {"state": ImageState.KEPT, "label": None, "split": "train"})
    found = [await images.get(any_database, image_id) for image_id in ids]
    assert [(image.state, image.label, image.split) for image in found] == [(ImageState.KEPT, None, "train")] * 2 + [
        (ImageState.PENDING, "cat", None)
    ]
    assert found[0].updated_at is not None
    assert found[0].updated_at >= now - 0.01


async def test_deep_images_are_counted_where_they_leave_as_they_came(any_database: Database) -> None:
    """The same rows as those with a warning: kept, more than 8 bits, no output or one with other metadata only."""
    job_id = await add_job(any_database)
    ids = await add_images(any_database, job_id, 6, changes={"state": ImageState.KEPT, "measures": {"bits": 16.0}})
    await set_all(any_database, ids[1:2], measures={"frames": 1.0})
    await set_all(any_database, ids[2:3], measures=None)
    await set_all(any_database, ids[3:4], out_sha256="aa" * 32)
    await set_all(any_database, ids[4:5], out_sha256="bb" * 32, changes="EXIF removed")
    await set_all(any_database, ids[5:], state=ImageState.REJECTED, reason=Reason.ASPECT)
    rows = [await images.get(any_database, image_id) for image_id in ids]
    assert [image.warning is not None for image in rows] == [True, False, False, False, True, False]
    assert str(rows[0].warning).startswith("16 bits a channel leave as they came")
    assert await images.count_deep(any_database, await dataset_of(any_database, job_id)) == 2


async def test_a_thousand_images_change_in_one_statement(any_database: Database) -> None:
    """Each row gets its own values, and the moment of the change."""
    job_id = await add_job(any_database)
    ids = await add_images(any_database, job_id, 1000)
    now = await any_database.now()
    changes = [
        {"id": image_id, "state": ImageState.VALID, "width": image_id, "measures": {"entropy": 0.5}, "phash": f"{image_id:016x}"}
        for image_id in ids[1:]
    ]
    with statements(any_database) as seen:
        async with any_database.write() as connection:
            await images.update_many(connection, changes)
            await images.update_many(connection, [])
    assert len([statement for statement in seen if statement.startswith("UPDATE")]) == 1
    untouched = await images.get(any_database, ids[0])
    assert (untouched.state, untouched.updated_at) == (ImageState.PENDING, None)
    for image_id in random.Random(1).sample(ids[1:], 20):
        image = await images.get(any_database, image_id)
        assert (image.state, image.width, image.measures, image.phash) == (ImageState.VALID, image_id, {"entropy": 0.5}, f"{image_id:016x}")
        assert image.updated_at is not None
        assert image.updated_at >= now - 0.001
    assert await count(any_database, tables.images, tables.images.c.state == "valid") == 999


# what is told


async def test_counts_by_source_state_and_reason(any_database: Database) -> None:
    """Of a dataset, or of what one job works on."""
    job_id = await add_job(any_database)
    other = await add_job(any_database, dataset_id=await dataset_of(any_database, job_id))
    a, b, _c = await add_images(any_database, job_id, 3)
    await add_images(any_database, other, 1, first=50)
    await set_all(any_database, [a, b], state=ImageState.FAILED, reason=Reason.HTTP_404)
    failed = SourceCount("list", ImageState.FAILED, Reason.HTTP_404, 2)
    assert set(await images.counts(any_database, job_id=job_id)) == {failed, SourceCount("list", ImageState.PENDING, None, 1)}
    of_dataset = await images.counts(any_database, dataset_id=await dataset_of(any_database, job_id))
    assert set(of_dataset) == {failed, SourceCount("list", ImageState.PENDING, None, 2)}
    assert await images.counts(any_database, job_id="job_unknown") == ()


async def test_pages_hold_every_image_once(any_database: Database) -> None:
    """500 rows through pages of any size: none twice, none missing, though rows are added and removed while somebody turns pages."""
    job_id = await add_job(any_database)
    ids = await add_images(any_database, job_id, 500)
    for limit in (1000, 200, 83):
        sizes, seen = [], []
        async for page in pages_of(
            lambda cursor, limit=limit: image_search.page(any_database, image_search.ImageFilter(), cursor=cursor, limit=limit)
        ):
            sizes.append(len(page.items))
            seen += [image.id for image in page.items]
            if limit == 83 and len(sizes) == 2:
                ids += await add_images(any_database, job_id, 5, first=5000)
        assert seen == ids
        assert max(sizes) == min(limit, 200)
    assert (await image_search.page(any_database, image_search.ImageFilter(), limit=0)).items[0].id == ids[0]


async def test_a_page_shows_what_its_filter_wants(any_database: Database) -> None:
    """Each field of the filter narrows the page; an unknown value is an empty page."""
    job_id = await add_job(any_database)
    a, b = await add_images(any_database, job_id, 2)
    await set_all(any_database, [a], state=ImageState.KEPT, label="cat", split="train")
    await set_all(any_database, [b], state=ImageState.FAILED, reason=Reason.TIMEOUT)
    dataset_id = await dataset_of(any_database, job_id)
    wanted = {
        image_search.ImageFilter(): [a, b],
        image_search.ImageFilter(job_id=job_id, dataset_id=dataset_id, source="list"): [a, b],
        image_search.ImageFilter(state=ImageState.KEPT): [a],
        image_search.ImageFilter(label="cat", split="train"): [a],
        image_search.ImageFilter(reason=Reason.TIMEOUT): [b],
        image_search.ImageFilter(source="flickr"): [],
        image_search.ImageFilter(state=ImageState.KEPT, reason=Reason.TIMEOUT): [],
    }
    for chosen, ids in wanted.items():
        assert [image.id for image in (await image_search.page(any_database, chosen)).items] == ids


async def test_users_see_their_own_images_only(any_database: Database) -> None:
    """A foreign image is not found, as one that does not exist."""
    mine, yours = await add_job(any_database, user_id="ann"), await add_job(any_database, user_id="bob")
    (own,), (foreign,) = await add_images(any_database, mine), await add_images(any_database, yours)
    assert (await images.get(any_database, own, user_id="ann")).id == own
    assert (await images.get(any_database, foreign)).id == foreign
    for image_id in (foreign, 10**9):
        with pytest.raises(errors.NotFoundError, match=f"no image {image_id}"):
            await images.get(any_database, image_id, user_id="ann")
    assert [image.id for image in (await image_search.page(any_database, image_search.ImageFilter(), user_id="ann")).items] == [own]
    assert (await image_search.page(any_database, image_search.ImageFilter(job_id=yours), user_id="ann")).items == []


# a finished dataset


async def test_the_way_through_the_kept_images(any_database: Database) -> None:
    """By id, in steps, all chunks or one; what is not kept is passed over."""
    job_id = await add_job(any_database)
    first = await add_images(any_database, job_id, 7, chunk_id="chunk_1", changes={"state": ImageState.KEPT, "label": "cat"})
    second = await add_images(any_database, job_id, 4, first=20, chunk_id="chunk_2", changes={"state": ImageState.KEPT, "label": None})
    await add_images(any_database, job_id, 3, first=40, chunk_id="chunk_3")
    dataset_id = await dataset_of(any_database, job_id)
    async with any_database.read() as connection:
        seen: list[int] = []
        while page := await images.kept_after(connection, dataset_id, last_id=seen[-1] if seen else 0, limit=3):
            seen += [image.id for image in page]
        assert seen == first + second
        assert [image.id for image in await images.kept_after(connection, dataset_id, chunk_id="chunk_2")] == second
        assert await images.uncompressed_chunks(connection, dataset_id) == ["chunk_1", "chunk_2"]
        assert await images.labels_of(connection, dataset_id) == {"cat": 7, None: 4}


async def test_a_chunks_kept_images_are_found_by_their_chunk(database: Database) -> None:
    """Compressing a chunk does not go through all that the dataset keeps."""
    with statements(database) as seen:
        async with database.read() as connection:
            await images.kept_after(connection, "ds_1", chunk_id="chunk_1", limit=10_000)
    (asked,) = (statement for statement in seen if "FROM images" in statement)
    assert await explained(database, asked) == "SEARCH images USING INDEX ix_images_chunk (chunk_id=? AND state=? AND rowid>?)"


async def test_counting_reads_no_row_and_sorts_nothing(database: Database) -> None:
    """A dataset's images are counted in the order of the index over their jobs; the progress display asks several times a second."""
    with statements(database) as seen:
        await images.counts(database, dataset_id="ds_1")
    plan = await explained(database, next(statement for statement in seen if "FROM images" in statement))
    assert "SEARCH images USING COVERING INDEX ix_images_job_state (job_id=?)" in plan
    assert "TEMP B-TREE" not in plan


async def test_failed_images_go_to_another_job_chunk_by_chunk(any_database: Database) -> None:
    """Those with the wanted reasons, lowest ids first, pending again and without a trace of the failure."""
    job_id = await add_job(any_database)
    dataset_id = await dataset_of(any_database, job_id)
    passing = {"state": ImageState.FAILED, "reason": Reason.TIMEOUT, "detail": "slow", "evidence": "x: y"}
    passing |= {"not_before": 9.0, "deferred_at": 8.0}
    ids = await add_images(any_database, job_id, 5, changes=passing)
    gone = await add_images(any_database, job_id, 2, first=30, changes=passing | {"reason": Reason.HTTP_404})
    retry = await add_job(any_database, dataset_id=dataset_id)
    reasons = [Reason.TIMEOUT, Reason.NETWORK]
    async with any_database.write() as connection:
        assert await images.count_failed(connection, dataset_id, reasons) == 5
        assert await images.reassign(connection, dataset_id, job_id=retry, chunk_ids=["new_1", "new_2"], size=3, reasons=reasons) == 5
        assert await images.count_failed(connection, dataset_id, reasons) == 0
    moved = (await image_search.page(any_database, image_search.ImageFilter(job_id=retry))).items
    assert [(image.id, image.chunk_id) for image in moved] == [*((i, "new_1") for i in ids[:3]), *((i, "new_2") for i in ids[3:])]
    assert {(image.state, image.reason, image.detail, image.evidence, image.not_before, image.deferred_at) for image in moved} == {
        (ImageState.PENDING, None, None, None, None, None)
    }
    assert [image.id for image in (await image_search.page(any_database, image_search.ImageFilter(job_id=job_id))).items] == gone


async def test_images_with_bytes_are_validated_anew(any_database: Database) -> None:
    """Wanted states, and rejections for wanted reasons, become fetched in their chunks; what has no bytes or failed otherwise stays."""
    job_id = await add_job(any_database)
    other = await add_job(any_database)
    kept = await add_images(any_database, job_id, 2, chunk_id="chunk_b", changes={"state": ImageState.KEPT, "sha256": "aa" * 32})
    blurry = {"state": ImageState.REJECTED, "reason": Reason.BLURRY, "detail": "soft", "evidence": "x: y", "sha256": "bb" * 32}
    (soft,) = await add_images(any_database, job_id, first=10, chunk_id="chunk_a", changes=blurry)
    (unlicensed,) = await add_images(any_database, job_id, first=20, chunk_id="chunk_c", changes=blurry | {"reason": Reason.LICENCE})
    (bodiless,) = await add_images(any_database, job_id, first=30, chunk_id="chunk_d", changes={"state": ImageState.KEPT})
    (foreign,) = await add_images(any_database, other, changes={"state": ImageState.KEPT, "sha256": "aa" * 32})
    async with any_database.write() as connection:
        job = await jobs.find(connection, job_id)
        chunks = await images.reset_for_validation(connection, job.dataset_id, [ImageState.KEPT], [Reason.BLURRY])
    assert chunks == ["chunk_a", "chunk_b"]
    rows = {row.id: row for row in await all_rows(any_database, select(tables.images))}
    assert (rows[soft].detail, rows[soft].evidence, rows[unlicensed].evidence) == (None, None, "x: y")
    assert {row.id: (row.state, row.reason) for row in rows.values()} == {
        kept[0]: ("fetched", None), kept[1]: ("fetched", None), soft: ("fetched", None),
        unlicensed: ("rejected", "licence"), bodiless: ("kept", None), foreign: ("kept", None),
    }  # fmt: skip


async def test_blobs_that_a_row_points_to_are_in_use(any_database: Database) -> None:
    """As an original or as what leaves, in any dataset."""
    job_id = await add_job(any_database)
    await add_images(any_database, job_id, changes={"sha256": "aa" * 32, "out_sha256": "bb" * 32})
    await add_images(any_database, job_id, first=5, changes={"sha256": "cc" * 32})
    asked = ["aa" * 32, "bb" * 32, "dd" * 32]
    assert await images.referenced_blobs(any_database, asked) >= {"aa" * 32, "bb" * 32}
    assert "dd" * 32 not in await images.referenced_blobs(any_database, asked)
    assert await images.referenced_blobs(any_database, []) == set()


def test_columns_are_in_the_order_of_the_fields() -> None:
    """A row is the arguments, with the state and the reason where they belong."""
    names = [column.name for column in STORED]
    assert names == [field.name for field in fields(StoredImage)]
    assert names.index("reason") == names.index("state") + 1


async def test_a_row_has_a_state_and_a_reason_and_not_their_words(any_database: Database) -> None:
    """Every state and every reason there is comes back as itself."""
    job_id = await add_job(any_database)
    (image_id,) = await add_images(any_database, job_id)
    for state, reason in [*((state, None) for state in ImageState), *((ImageState.FAILED, reason) for reason in Reason)]:
        async with any_database.write() as connection:
            await images.update_many(connection, [{"id": image_id, "state": state, "reason": reason}], always=True)
        found = await images.get(any_database, image_id)
        assert (found.state, found.reason) == (state, reason)
        assert (type(found.state), type(found.reason)) == (ImageState, type(reason))


@pytest.mark.parametrize("column", ["state", "reason"])
async def test_an_unknown_word_is_refused(any_database: Database, column: str) -> None:
    """A row of a version that knows more is not taken for something else."""
    job_id = await add_job(any_database)
    (image_id,) = await add_images(any_database, job_id)
    async with any_database.write() as connection:
        await connection.execute(text(f"UPDATE images SET {column} = 'from_tomorrow'"))
    with pytest.raises(KeyError, match="from_tomorrow"):
        await images.get(any_database, image_id)


# candidates that are refused


async def test_refused_candidates_are_rows_that_are_never_fetched(any_database: Database) -> None:
    """With the reason, why, and what was stated; a URL that the dataset has stays as it is, and one that comes twice is one row."""
    job_id = await add_job(any_database)
    dataset_id = await dataset_of(any_database, job_id)
    known, fresh = "https://example.org/known", "https://example.org/new"
    await insert(any_database, job_id, [("chunk_1", [(known, Candidate(known, "list"))])])
    refused = [(url, Candidate(url, "list", license="CC-BY-NC-4.0", license_raw="by-nc"), "why") for url in (known, fresh, fresh)]
    async with any_database.write() as connection:
        ids = {"dataset_id": dataset_id, "job_id": job_id, "search_id": "srch_1"}
        assert await images.add_refused(connection, **ids, refused=refused) == 1
    found = {row.url: row for row in (await image_search.page(any_database, image_search.ImageFilter(job_id=job_id))).items}
    assert {url: (row.state, row.reason) for url, row in found.items()} == {
        known: (ImageState.PENDING, None),
        fresh: (ImageState.REJECTED, Reason.LICENCE),
    }
    row = await images.get(any_database, found[fresh].id)
    assert (row.chunk_id, row.detail, row.evidence, row.license) == (None, "why", "by-nc", "CC-BY-NC-4.0")
