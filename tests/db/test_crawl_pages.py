"""Tests of app.db.crawl_pages: each page once, the nearest first, and what became of it, on both databases."""

from app.db import Database, crawl_pages, jobs
from tests.db.builders import add_job


async def start(db: Database) -> tuple[str, str]:
    """A search of a crawl; return its id and its dataset."""
    job_id = await add_job(db)
    async with db.write() as connection:
        (search_id,) = await jobs.add_searches(connection, job_id, [("pages", "https://a.example/", None)])
    return search_id, (await jobs.get(db, job_id)).dataset_id


async def add(db: Database, search_id: str, *keys: str, depth: int = 0, room: int = 100) -> int:
    async with db.write() as connection:
        pages = [(key, f"https://a.example/{key}") for key in keys]
        return await crawl_pages.add(connection, search_id, pages, depth=depth, room=room)


async def due(db: Database, search_id: str, limit: int = 100) -> list[str]:
    return [page.url.rpartition("/")[2] for page in await crawl_pages.load_due(db, search_id, limit)]


async def test_pages_are_due_by_depth_then_as_found(any_database: Database) -> None:
    """A page that is known is not added again; what has no room is left out and counted."""
    search_id, _ = await start(any_database)
    assert await add(any_database, search_id, "far", depth=2) == 0
    assert await add(any_database, search_id, "b", "a", "b", depth=1) == 0
    assert await add(any_database, search_id, "a", "c", "d", "e", depth=1, room=1) == 2
    assert await due(any_database, search_id) == ["b", "a", "c", "far"]
    assert await due(any_database, search_id, 2) == ["b", "a"]
    async with any_database.read() as connection:
        assert await crawl_pages.count_known(connection, search_id) == 4


async def test_a_page_ends_or_waits(any_database: Database) -> None:
    """Read, failed or an alias: none of them is due again; one that waits is due later."""
    search_id, dataset_id = await start(any_database)
    await add(any_database, search_id, "a", "b", "c", "d")
    a, b, c, _ = await crawl_pages.load_due(any_database, search_id, 10)
    async with any_database.write() as connection:
        await crawl_pages.finish(connection, a, search_id=search_id, detail="a remark", aliases=["d", "new"])
        await crawl_pages.finish(connection, b, search_id=search_id, reason="http_404", detail="gone")
        await crawl_pages.defer(connection, c, 60.0)
    assert await due(any_database, search_id) == []
    assert await add(any_database, search_id, "new", "d") == 0
    assert 50 < (await crawl_pages.seconds_until_due(any_database, search_id) or 0) <= 60
    counts = await crawl_pages.count_pages(any_database, dataset_id)
    assert (counts.read, counts.waiting, counts.failed, counts.notes) == (1, 1, {"http_404": 1}, {"a remark": 1})
    assert counts.words == "1 page read; 1 not read: http_404 1; 1 page: a remark"


async def test_a_crawl_without_pages_has_no_numbers(any_database: Database) -> None:
    """And nothing to wait for."""
    search_id, dataset_id = await start(any_database)
    assert not await crawl_pages.count_pages(any_database, dataset_id)
    assert await crawl_pages.seconds_until_due(any_database, search_id) is None
