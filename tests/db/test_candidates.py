"""Tests of app.db.candidates: spare candidates wait, are counted by search, and are released in order."""

from sqlalchemy import select

from app.db import Database, candidates, images, jobs, tables
from app.db.candidates import SearchCount, Wanted
from app.db.rows import NewUnit
from app.domain import ImageState, Reason
from app.job_states import UnitKind, UnitState
from tests.db.builders import add_job, all_rows, change, job_row, unit_ids
from tests.db.builders import candidates as some


async def add_page(
    db: Database, job_id: str, number: int, to_fetch: int, *, search_id: str = "srch_a", first: int = 0
) -> dict[str | None, int]:
    """A page of so many candidates, the first of them to be fetched."""
    found = some(number, first=first)
    async with db.write() as connection:
        return await images.add_candidates(
            connection,
            dataset_id=(await job_row(db, job_id)).dataset_id,
            job_id=job_id,
            search_id=search_id,
            chunks=[("chunk_a", found[:to_fetch]), (None, found[to_fetch:])],
        )


async def test_spare_candidates_are_released_in_the_order_of_their_source(any_database: Database) -> None:
    """Chunk by chunk, of one search, and no more than there are; their reason goes."""
    job_id = await add_job(any_database)
    assert await add_page(any_database, job_id, 7, 2) == {"chunk_a": 2, None: 5}
    await add_page(any_database, job_id, 3, 0, search_id="srch_b", first=50)
    c = tables.images.c
    held = await all_rows(any_database, select(c.state, c.reason, c.chunk_id).where(c.search_id == "srch_b"))
    assert {tuple(row) for row in held} == {("spare", "not_requested", None)}
    async with any_database.write() as connection:
        job = await jobs.find(connection, job_id)
        released = await candidates.release_spare(connection, job, "srch_a", limit=3, size=2)
    assert list(released.values()) == [2, 1]
    rows = await all_rows(any_database, select(c.rank, c.state, c.reason).where(c.chunk_id.in_(released)).order_by(c.id))
    assert [tuple(row) for row in rows] == [(rank, "pending", None) for rank in (2, 3, 4)]
    async with any_database.write() as connection:
        assert sum((await candidates.release_spare(connection, job, "srch_a", limit=9, size=10)).values()) == 2
        assert await candidates.release_spare(connection, job, "srch_a", limit=9, size=10) == {}
        counts = await candidates.counts_by_search(connection, (await job_row(any_database, job_id)).dataset_id)
    assert sorted(counts, key=str) == [
        SearchCount("srch_a", ImageState.PENDING, None, 7),
        SearchCount("srch_b", ImageState.SPARE, Reason.NOT_REQUESTED, 3),
    ]


async def test_what_is_not_fetched_yet_is_put_back(any_database: Database) -> None:
    """Pending and deferred images are spare again, outside of their chunk; released, the one whose host is closed comes last, and waits."""
    job_id = await add_job(any_database)
    await add_page(any_database, job_id, 4, 4)
    c = tables.images.c
    closed, other, _, fetched = [row.id for row in await all_rows(any_database, select(c.id).order_by(c.id))]
    later = {"state": ImageState.DEFERRED, "reason": Reason.RATE_LIMITED, "evidence": "Retry-After: 3000", "not_before": 4e9}
    await change(any_database, tables.images, closed, **later)
    await change(any_database, tables.images, other, **later | {"not_before": 1.0})
    await change(any_database, tables.images, fetched, state=ImageState.FETCHED)
    columns = (c.state, c.reason, c.detail, c.evidence, c.chunk_id)
    async with any_database.write() as connection:
        assert await candidates.put_back(connection, ["chunk_a", "chunk_gone"]) == 3
    spare = ("spare", "not_requested", "the target was met without it", None, None)
    assert [tuple(row) for row in await all_rows(any_database, select(*columns).order_by(c.id))] == [
        *[spare] * 3, ("fetched", None, None, None, "chunk_a")
    ]  # fmt: skip
    async with any_database.write() as connection:
        job = await jobs.find(connection, job_id)
        assert list((await candidates.release_spare(connection, job, "srch_a", limit=2, size=5)).values()) == [2]
        assert list((await candidates.release_spare(connection, job, "srch_a", limit=2, size=5)).values()) == [1]
    released = await all_rows(any_database, select(c.state, c.reason, c.detail, c.not_before).order_by(c.id))
    assert [tuple(row) for row in released[:3]] == [
        ("deferred", "host_unavailable", None, 4e9), ("pending", None, None, 1.0), ("pending", None, None, None)
    ]  # fmt: skip


async def test_what_failed_is_spare_for_a_retry(any_database: Database) -> None:
    """With its reasons, in an earlier job, and before what was never requested; not for another job, and not what failed in the retry."""
    first = await add_job(any_database)
    await add_page(any_database, first, 6, 4)
    c = tables.images.c
    ids = [row.id for row in await all_rows(any_database, select(c.id).order_by(c.id))]
    for image_id, reason in zip(ids[1:4], (Reason.HTTP_404, Reason.TIMEOUT, Reason.TIMEOUT), strict=True):
        failed = {"state": ImageState.FAILED, "reason": reason, "detail": "why", "evidence": "quoted", "deferred_at": 7.0}
        await change(any_database, tables.images, image_id, **failed)
    build = await jobs.get(any_database, first)
    second = await add_job(any_database, dataset_id=build.dataset_id)
    await change(any_database, tables.jobs, second, spec={"retry_reasons": ["timeout", "network"]})
    await change(any_database, tables.images, ids[3], job_id=second)
    retry = await jobs.get(any_database, second)
    async with any_database.write() as connection:
        counts = await candidates.counts_by_search(connection, build.dataset_id, seen_by=retry)
        assert SearchCount("srch_a", ImageState.SPARE, Reason.TIMEOUT, 1) in counts
        assert SearchCount("srch_a", ImageState.FAILED, Reason.TIMEOUT, 1) in counts
        for job in (None, build):
            plain = await candidates.counts_by_search(connection, build.dataset_id, seen_by=job)
            assert SearchCount("srch_a", ImageState.FAILED, Reason.TIMEOUT, 2) in plain
        assert list((await candidates.release_spare(connection, retry, "srch_a", limit=2, size=9)).values()) == [2]
    found = await all_rows(
        any_database, select(c.id, c.state, c.job_id, c.detail, c.evidence, c.deferred_at).where(c.job_id == second).order_by(c.id)
    )
    assert [tuple(row) for row in found if row.state == "pending"] == [(at, "pending", second, None, None, None) for at in (ids[2], ids[4])]


async def test_open_searches_say_what_they_still_want(any_database: Database) -> None:
    """Ended units, other kinds and other jobs do not count; a search without a number wants nothing that could be counted."""
    wants = [("srch_a", 3), ("srch_a", 4), ("srch_b", None), ("srch_c", 9)]
    new = [NewUnit(UnitKind.SEARCH, {"search_id": search_id, "want": want}) for search_id, want in wants]
    job_id = await add_job(any_database, [*new, NewUnit(UnitKind.FETCH, {"chunk_id": "chunk_a"})])
    await add_job(any_database, new)
    for unit_id in await unit_ids(any_database, job_id):
        (row,) = await all_rows(any_database, select(tables.units.c.payload).where(tables.units.c.id == unit_id))
        if row.payload.get("search_id") == "srch_c":
            await change(any_database, tables.units, unit_id, state=UnitState.DONE)
    async with any_database.read() as connection:
        assert await candidates.still_wanted(connection, job_id) == {"srch_a": Wanted(7), "srch_b": Wanted(0)}
    first = next(
        row.id for row in await all_rows(any_database, select(tables.units)) if row.job_id == job_id and row.payload.get("want") == 3
    )
    await change(any_database, tables.units, first, not_before=4e9)
    async with any_database.read() as connection:
        assert await candidates.still_wanted(connection, job_id) == {"srch_a": Wanted(4, 3), "srch_b": Wanted(0)}
