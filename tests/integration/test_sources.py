"""Whole builds by keyword over the servers of `tests.providers`: limits of the API, and kills between pages."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from app.db import jobs, tables
from app.db.rows import Search
from app.job_states import JobState, UnitKind
from tests.providers import PROVIDERS
from tests.providers.server import Provider
from tests.workers.bench import Bench, open_bench

TOTAL, PAGE = 12, 4


@pytest.fixture
async def commons() -> AsyncIterator[Provider]:
    async with PROVIDERS["wikimedia"](TOTAL) as provider:
        provider.page_size = PAGE  # type: ignore[misc]
        yield provider


def bench_of(folder: Path, provider: Provider, **flags: Any) -> Any:
    """A worker whose only source is a provider."""
    settings = {f"sources.{provider.name}.{name}": value for name, value in flags.items()}
    settings |= {f"sources.{provider.name}.base_url": provider.base_url, "fetch.robots": False}
    return open_bench(folder, settings)


async def search_of(bench: Bench, job_id: str) -> Search:
    (search,) = await jobs.searches_of(bench.db, job_id)
    return search


async def pass_time(bench: Bench, seconds: float) -> None:
    """Let all requests to sources have been sent earlier, and make every unit due."""
    sent = tables.source_requests
    async with bench.db.write() as connection:
        await connection.execute(update(sent).values(at=sent.c.at - seconds))
        await connection.execute(update(tables.units).values(not_before=0.0))


async def test_a_limit_is_waited_for_as_long_as_it_takes(tmp_path: Path, commons: Provider) -> None:
    """It is shown, it is no failure of the source however often it is met, and the search goes on when the source may be asked again."""
    async with bench_of(tmp_path, commons, limits=["1/day"]) as bench:
        job_id = await bench.search("cat", max_images=TOTAL)
        await bench.run_kind(UnitKind.PLAN)
        for _ in range(8):
            await bench.run_kind(UnitKind.SEARCH)
            waiting_for = (await bench.job(job_id)).waiting_for or ""
            assert waiting_for.startswith("wikimedia: 1 request a day is used up; the next is in 2")
            assert (await search_of(bench, job_id)).found == PAGE
            await pass_time(bench, 1)
        assert len(commons.requests) == 1
        await pass_time(bench, 86_400)
        await bench.run_kind(UnitKind.SEARCH)
        assert (await search_of(bench, job_id)).found == 2 * PAGE


async def test_pauses_in_a_row_are_counted(tmp_path: Path, commons: Provider) -> None:
    """A source that answers again between two refusals is not given up after five in all."""
    async with bench_of(tmp_path, commons) as bench:
        job_id = await bench.search("cat", max_images=TOTAL)
        await bench.run_kind(UnitKind.PLAN)
        for page in (1, 2):
            commons.fail("ratelimited")
            for _ in range(4):
                await pass_time(bench, 0)
                await bench.run_kind(UnitKind.SEARCH)
                await reopen(bench)
            assert (await bench.job(job_id)).waiting_for is not None
            commons.heal()
            commons.fail("ratelimited", at=range(len(commons.listings) + 2, 99))
            await pass_time(bench, 0)
            await bench.run_kind(UnitKind.SEARCH)
            await reopen(bench)
            commons.heal()
            assert (await search_of(bench, job_id)).found == page * PAGE


async def reopen(bench: Bench) -> None:
    """Let the time be over for which the source asked."""
    async with bench.db.write() as connection:
        await connection.execute(update(tables.source_limits).values(closed_until=0.0))


async def test_a_build_that_is_killed_after_each_page_finds_each_image_once(tmp_path: Path, commons: Provider) -> None:
    """Only the page that was being read is asked for again."""
    async with bench_of(tmp_path, commons) as bench:
        job_id = await bench.search("cat", max_images=TOTAL)
        await bench.run_kind(UnitKind.PLAN)
        for stored in range(PAGE, TOTAL, PAGE):
            await kill_when_stored(bench, job_id, stored)
        await pass_time(bench, 0)
        await bench.drive()
        job = await bench.job(job_id)
        async with bench.db.read() as connection:
            urls = (await connection.execute(select(tables.images.c.url))).scalars().all()
    assert (job.state, len(set(urls)), len(urls)) == (JobState.SUCCEEDED, TOTAL, TOTAL)
    offsets = Counter(request.get("gsroffset", "0") for request in commons.requests)
    assert offsets.keys() == {str(first) for first in range(0, TOTAL, PAGE)}
    assert max(offsets.values()) <= 2


async def kill_when_stored(bench: Bench, job_id: str, found: int) -> None:
    """Kill the search in the middle of the page after ``found`` results; its lease runs out."""
    await pass_time(bench, 0)
    (delivery,) = [delivery for delivery in await bench.due() if delivery.kind is UnitKind.SEARCH]
    running = asyncio.create_task(bench.run(delivery))
    while (await search_of(bench, job_id)).found < found:
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
