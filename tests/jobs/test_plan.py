"""Tests of app.jobs.plan: real sources asked over real sockets; what is missing, refused or away is named, and the plan goes on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from app.db import tables
from app.discovery.licences.policy import LicencePolicy
from app.discovery.planner import Plan
from app.jobs.plan import MAX_HOSTS, MAX_ROWS, plan_list, plan_searches, plan_urls
from app.jobs.settle import settle_spec
from app.jobs.source_client import make_source_client
from app.spec import JobRequest, ListedImage, ListSpec
from tests.origin import Origin, reply
from tests.providers import PROVIDERS
from tests.workers.bench import open_bench


async def plan_of(folder: Path, settings: Mapping[str, Any], **request: Any) -> Plan:
    """Plan a build of cats; nothing of it is stored."""
    async with open_bench(folder, settings) as bench:
        own = bench.context.resources.settings
        spec = settle_spec(own, JobRequest(**{"keywords": ["cat"]} | request))
        downloader = bench.context.downloader
        plan = await plan_searches(own, spec, lambda name: make_source_client(own, name, downloader, bench.db))
        async with bench.db.read() as connection:
            for table in (tables.jobs, tables.images, tables.searches):
                assert (await connection.execute(select(func.count()).select_from(table))).scalar_one() == 0
    return plan


async def test_several_sources_are_asked_for_counts(tmp_path: Path) -> None:
    """One small request a search; the target is shared among the sources."""
    async with PROVIDERS["cleveland"](300) as first, PROVIDERS["smk"](40, totals={"owl": 2}) as second:
        bases = {"sources.cleveland.base_url": first.base_url, "sources.smk.base_url": second.base_url}
        plan = await plan_of(tmp_path, bases, keywords=["cat", "owl"], sources=["cleveland", "smk"], max_images=100)
        asked = len(first.requests) + len(second.requests)
    assert [(item.keyword, item.source, item.reachable) for item in plan.searches] == [
        ("cat", "cleveland", 225), ("cat", "smk", 27), ("owl", "cleveland", 225), ("owl", "smk", 2),
    ]  # fmt: skip
    assert plan.requests == asked
    assert plan.searches[3].candidates == 2
    assert plan.candidates == sum(item.candidates for item in plan.searches) == 120
    assert plan.in_the_way == []


async def test_what_stands_in_the_way_is_named(tmp_path: Path) -> None:
    """An unknown source, a missing key, one that cannot be reached, synonyms that nobody looked up."""
    async with PROVIDERS["cleveland"](300) as provider:
        settings = {"sources.cleveland.base_url": provider.base_url, "sources.smk.base_url": "http://127.0.0.1:9", "retry.attempts": 1}
        names = ["cleveland", "smk", "flickr", "flikcr", "smk,met"]
        plan = await plan_of(tmp_path, settings, sources=names, keywords=["cat", "dog"], max_images=10, expand=2)
    words = "\n".join(plan.in_the_way)
    assert "flickr: Flickr answers nobody without an API key; get one at" in words
    assert "flikcr: there is no source 'flikcr'; did you mean flickr?" in words
    assert "there is no source 'smk,met'; name each one by itself, as in -s smk -s met" in words
    assert "smk: it was asked for a count and gave none: " in words
    assert "(2 searches)" in words
    assert "up to 2 synonyms of each keyword" in words
    assert [item.source for item in plan.sources] == ["cleveland", "smk"]
    assert {item.problem is None for item in plan.searches if item.source == "cleveland"} == {True}


async def test_a_source_at_another_address_costs_itself_only(tmp_path: Path) -> None:
    """What it answers is named, not raised."""
    async with Origin() as origin:
        origin.script("/api/artworks/", reply(200, b"<html>"))
        plan = await plan_of(tmp_path, {"sources.cleveland.base_url": origin.url("").rstrip("/")}, sources=["cleveland"])
    assert len(plan.in_the_way) == 1
    assert plan.in_the_way[0].startswith("cleveland: it was asked for a count and gave none")
    assert plan.searches[0].results is None


def test_a_list_is_read_through(tmp_path: Path) -> None:
    """Rows, usable URLs, the largest hosts; what is wanted bounds the bytes."""
    path = tmp_path / "list.txt"
    urls = [f"https://{host}.example/{number}.jpg" for host in "abcdefghijkl" for number in range(ord(host) - 90)]
    path.write_text("\n".join([*urls, "no url", "https://A.example/x.jpg"]))
    plan = plan_list(path, ListSpec(key="x", suffix=".txt"))
    assert (plan.rows, plan.usable, plan.all_hosts, plan.is_whole) == (len(urls) + 2, len(urls) + 1, 12, True)
    assert next(iter(plan.hosts.items())) == ("l.example", 18)
    assert len(plan.hosts) == MAX_HOSTS
    assert plan.size_bytes == 3_000_000 * (len(urls) + 1)
    assert plan_list(path, ListSpec(key="x", suffix=".txt"), most=2).size_bytes == 6_000_000


def test_what_a_list_states_of_licences_counts(tmp_path: Path) -> None:
    """What the build would refuse is counted, and costs no bytes; without a choice all is taken."""
    path = tmp_path / "list.csv"
    path.write_text("url,license\nhttps://a.example/1,cc-by\nhttps://a.example/2,by-nc\nhttps://a.example/3,\nnothing,cc-by\n")
    spec, policy = ListSpec(key="x", suffix=".csv"), LicencePolicy.of(["open"])
    plan = plan_list(path, spec, policy=policy)
    assert (plan.rows, plan.usable, plan.refused, plan.size_bytes) == (4, 3, 2, 3_000_000)
    assert plan_list(path, spec).refused == 0
    asked = [ListedImage(url="https://a.example/1", license_url="https://creativecommons.org/licenses/by-nc/4.0/"), "https://a.example/2"]
    assert plan_urls(asked, policy=policy).refused == 2
    assert plan_urls(asked, policy=LicencePolicy.of(["open"], "keep")).refused == 1


def test_a_list_without_end_is_read_as_far_as_a_million_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so."""
    assert MAX_ROWS == 1_000_000
    monkeypatch.setattr("app.jobs.plan.MAX_ROWS", 3)
    plan = plan_urls(["https://a.example/1", ListedImage(url="https://b.example/2"), "bad", "https://c.example/3"])
    assert (plan.rows, plan.usable, plan.is_whole) == (3, 2, False)
