"""Tests of workers.stages.discover: a list's pages, and that what they bring is sent at once."""

from typing import Any

import pytest

from app.job_states import UnitKind
from app.jobs.settle import store_urls
from app.queue import QUEUES
from app.spec import ListSpec
from app.storage import open_store
from tests.workers.bench import Bench
from workers.stages import discover


async def stored(bench: Bench, count: int) -> ListSpec:
    """A list of so many URLs, in the store."""
    return await store_urls(bench.resources, [f"https://img.example/{number}.jpg" for number in range(count)])


@pytest.mark.parametrize(
    ("rows", "size", "cursor", "sizes"),
    [
        (1000, 2000, None, [200, 400, 400]),
        (5000, 2000, None, [200, 400, 800, 1600, 2000, 0]),
        (150, 2000, None, [150]),
        (200, 2000, None, [200, 0]),
        (30, 10, None, [10, 10, 10, 0]),
        (1000, 2000, "500", [200, 300]),
    ],
)
async def test_pages_grow(bench: Bench, rows: int, size: int, cursor: str | None, sizes: list[int]) -> None:
    """The first is short, whoever takes the list up; only the last has no cursor, and every cursor counts the rows before it."""
    spec = await stored(bench, rows)
    pages = [page async for page in discover.list_pages(bench.resources.store, spec, cursor, size=size)]
    assert [len(page.candidates) for page in pages] == sizes
    ends = [int(cursor or 0) + sum(sizes[: at + 1]) for at in range(len(sizes))]
    assert [page.cursor for page in pages] == [str(end) for end in ends[:-1]] + [None]
    assert pages[0].candidates[0].url == f"https://img.example/{cursor or 0}.jpg"


async def test_a_list_in_a_bucket_is_read_from_a_copy() -> None:
    """Which is gone afterwards."""
    store = open_store("memory://")
    await store.put("lists/a.txt", b"https://img.example/1.jpg\n")
    spec = ListSpec(key="lists/a.txt", suffix=".txt", name="a")
    (page,) = [page async for page in discover.list_pages(store, spec, None)]
    assert [candidate.url for candidate in page.candidates] == ["https://img.example/1.jpg"]


async def test_what_a_page_brings_is_sent_before_the_next_is_read(bench: Bench, lines: list[dict[str, Any]]) -> None:
    """The first requests do not wait for the end of a long list."""
    await bench.submit([f"https://img.example/{number}.jpg" for number in range(1000)])
    await bench.run_kind(UnitKind.PLAN)
    pages_before: list[int] = []
    with bench.context.queue.subscribe(QUEUES["builder"], lambda: pages_before.append(count_pages(lines))):
        assert await bench.run_kind(UnitKind.SEARCH) == 1
    assert (pages_before[0], count_pages(lines)) == (1, 3)


def count_pages(lines: list[dict[str, Any]]) -> int:
    """Pages that are in, as the log tells."""
    return sum(line["event"] == "search.page" for line in lines)
