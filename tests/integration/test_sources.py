"""Whole builds by keyword over the servers of `tests.providers`: limits of the API, kills between pages, a source that fails."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from app.db import jobs, tables
from app.db.rows import Search
from app.job_states import JobState, UnitKind
from logging_setup.config import add_sink, remove_sink
from tests.providers import PROVIDERS
from tests.providers.server import Provider
from tests.workers.bench import Bench, open_bench

TOTAL, PAGE = 12, 4
BAD_KEY = "hunter2-is-refused"


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """What is logged meanwhile."""
    taken: list[dict[str, Any]] = []
    sink = add_sink(taken.append, level="DEBUG")
    yield taken
    remove_sink(sink)


@pytest.fixture
async def commons() -> AsyncIterator[Provider]:
    async with PROVIDERS["wikimedia"](TOTAL) as provider:
        provider.page_size = PAGE  # type: ignore[misc]
        yield provider


def bench_of(folder: Path, *providers: Provider, **flags: Any) -> Any:
    """A worker whose sources are providers; the flags are settings of the first."""
    settings = {f"sources.{providers[0].name}.{name}": value for name, value in flags.items()}
    settings |= {f"sources.{provider.name}.base_url": provider.base_url for provider in providers}
    return open_bench(folder, settings | {"fetch.robots": False})


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
    async with bench_of(tmp_path, commons, limits=["2/day"]) as bench:
        job_id = await bench.search("cat", max_images=TOTAL)
        await bench.run_kind(UnitKind.PLAN)
        await bench.run_kind(UnitKind.SEARCH)
        found = (await search_of(bench, job_id)).found
        for _ in range(8):
            await pass_time(bench, 1)
            await bench.run_kind(UnitKind.SEARCH)
            waiting_for = (await bench.job(job_id)).waiting_for or ""
            assert waiting_for.startswith("wikimedia: 2 requests a day are used up; the next is in 2")
        assert (await search_of(bench, job_id)).found == found >= PAGE
        assert len(commons.requests) == 2
        await pass_time(bench, 86_400)
        await bench.run_kind(UnitKind.SEARCH)
        assert (await search_of(bench, job_id)).found == TOTAL


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


async def test_a_source_that_fails_costs_itself_only(tmp_path: Path, commons: Provider, lines: list[dict[str, Any]]) -> None:
    """One clear failure of the source whose key is refused; the build goes on, and the key is in no log line and no row."""
    async with PROVIDERS["flickr"](TOTAL) as flickr, bench_of(tmp_path, flickr, commons, key=BAD_KEY) as bench:
        job_id = await bench.search("cat", max_images=TOTAL + 1, sources=["flickr", "wikimedia"])
        await bench.drive()
        job, funnel = await bench.job(job_id), await bench.funnel(job_id)
        sent = [request.get("api_key") for request in flickr.requests]
    assert (job.state, funnel.kept) == (JobState.PARTIAL, TOTAL)
    (failure,) = [cause for cause in (job.shortfall or {})["causes"] if "flickr" in cause]
    assert "does not accept the API key in sources.flickr.key" in failure
    assert sent == [BAD_KEY]
    gave_up = [line for line in lines if line["event"] == "source.gave_up"]
    assert [line["source"] for line in gave_up] == ["flickr"]
    assert BAD_KEY not in str(lines)
    assert not [file.name for file in tmp_path.rglob("*") if file.is_file() and BAD_KEY.encode() in file.read_bytes()]


async def kill_when_stored(bench: Bench, job_id: str, found: int) -> None:
    """Kill the search in the middle of the page after ``found`` results; its lease runs out."""
    await pass_time(bench, 0)
    (delivery,) = [delivery for delivery in await bench.due() if delivery.kind is UnitKind.SEARCH]
    running = asyncio.create_task(bench.run(delivery))
    while (await search_of(bench, job_id)).found < found:
        assert not running.done(), "the search ended before it was killed"
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
