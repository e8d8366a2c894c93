"""Tests of app.cli.plan: the table in 100 columns, the document, exit codes; a dry run leaves no job."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.plan import list_text, plan_text
from app.discovery.planner import Plan, SearchPlan, SourcePlan
from app.jobs.plan import ListPlan
from tests.cli.conftest import LOOPBACK, Invoke
from tests.providers import PROVIDERS
from tests.providers.server import Provider


@pytest.fixture
def museum() -> Iterator[Provider]:
    """A museum with eighty cats, three of four of them free, on a thread of its own."""
    started: list[tuple[Provider, asyncio.AbstractEventLoop]] = []
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with PROVIDERS["cleveland"](80) as provider:
            started.append((provider, asyncio.get_running_loop()))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    yield started[0][0]
    started[0][1].call_soon_threadsafe(stop.set)
    thread.join(10)


def test_a_dry_run_shows_what_a_build_would_take(museum: Provider, invoke: Invoke) -> None:
    """As a table and as a document; no job, no dataset. Too few results are 3, none 4."""
    options = ["build", "cat", "-s", "cleveland", "--dry-run", "--set", f"sources.cleveland.base_url={museum.base_url}", *LOOPBACK[:4]]
    result = invoke(*options, "-n", "30")
    assert result.code == 0, result.err
    assert result.out.splitlines()[1].split() == ["cat", "cleveland", "80", "60", "60", "37", "1"]
    assert "first round  37 candidates for 30 images, 1 API call" in result.out
    assert "nothing was stored" in result.out
    document = invoke(*options, "-n", "30", "--json").json
    assert (document["target"], document["candidates"], document["searches"][0]["reachable"]) == (30, 37, 60)
    assert invoke(*options, "-n", "70", "--min-images", "65").code == 3
    assert invoke(*options[:1], "nothing", *options[2:]).code == 4
    assert invoke("jobs", "ls", "--json").json["items"] == []
    assert not Path("datasets").exists()


def test_a_dry_run_without_a_usable_source_says_what_is_missing(invoke: Invoke) -> None:
    """No request, exit code 4, and the way out."""
    result = invoke("build", "cat", "-s", "flickr", "-s", "wikimedia", "--dry-run")
    assert result.code == 4
    assert "in the way   flickr: Flickr answers nobody without an API key" in result.out
    assert "wikimedia: Wikimedia Commons requires a mail or web address" in " ".join(result.out.split())


def test_a_dry_run_of_a_list_reads_it(invoke: Invoke) -> None:
    """Rows, URLs, hosts; nobody is asked, and nothing is stored."""
    Path("list.txt").write_text("https://a.example/1.jpg\nhttps://a.example/2.jpg\nnothing\n")
    result = invoke("build", "--urls", "list.txt", "--dry-run")
    assert result.code == 0
    assert "list         3 rows, 2 with a usable URL\nhosts        2 a.example\n" in result.out
    assert invoke("build", "--urls", "list.txt", "--dry-run", "--json").json["hosts"] == {"a.example": 2}
    assert invoke("build", "--urls", "list.txt", "--dry-run", "--min-images", "3").code == 3


def test_a_dry_run_of_a_list_says_what_its_licences_refuse(invoke: Invoke) -> None:
    """Its exit code is that of the build."""
    Path("list.csv").write_text("url,license\nhttps://a.example/1.jpg,by-nc\nhttps://a.example/2.jpg,cc0\n")
    result = invoke("build", "--urls", "list.csv", "--dry-run", "--license", "open")
    assert "list         2 rows, 2 with a usable URL, 1 of them refused by licence\n" in result.out
    assert "about 3.0 MB" in result.out
    assert invoke("build", "--urls", "list.csv", "--dry-run", "--license", "by-nd").code == 4
    assert invoke("build", "--urls", "list.csv", "--dry-run", "--license", "open", "--min-images", "2").code == 3


def test_a_dry_run_of_pages_reads_none(invoke: Invoke) -> None:
    """It says where a build would begin, and how far it would go."""
    result = invoke("build", "--pages", "https://a.example/gallery", "--dry-run")
    assert result.code == 0, result.err
    assert "pages        1 named; at most 1 000 are read, links 1 deep\nhosts        1 page on a.example\n" in result.out
    assert not Path("datasets").exists()


def a_search(keyword: str, **values: object) -> SearchPlan:
    """A search of a plan."""
    return SearchPlan(**{"keyword": keyword, "label": keyword, "source": "internet_archive", "results": 12_345_678, "allowed": 2_345_678,
                         "reachable": 2_345_678, "candidates": 11_234, "calls": 11_800} | values)  # type: ignore[arg-type]  # fmt: skip


def test_the_table_fits_a_hundred_columns() -> None:
    """With long keywords, large numbers, and more searches than are shown."""
    searches = [a_search("a very long keyword of a hundred characters " * 2), a_search("b", results=None, allowed=None, reachable=None)]
    searches += [a_search(f"c{number}", problem="it gave none") for number in range(50)]
    sources = [SourcePlan("internet_archive", 11_800, 90_000.0, ("60/min", "10000/day"), ("it cannot be asked by licence",))]
    way = [f"dog {number}: 25 wanted, 3 reachable" for number in range(30)]
    text = plan_text(Plan(10_000, 11_234, 2_345_678, 11_800, 90_000.0, 3_000_000_000, searches, sources, way, 9))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert "and 12 more, see --json" in lines
    assert lines[2].split()[:5] == ["b", "internet_archive", "unknown", "unknown", "unknown"]
    assert "no answer" in lines[3]
    assert "             internet_archive: 11 800 API calls in 25h00m at 60/min, 10000/day" in lines
    assert "             and 10 more" in lines


def test_a_long_list_says_how_far_it_was_read() -> None:
    """And how many hosts are not shown."""
    text = list_text(ListPlan(1_000_000, 900_000, 12, {"a.example": 5}, 3, is_whole=False))
    assert "the first 1 000 000 rows, 900 000 with a usable URL" in text
    assert "             and 11 more" in text
