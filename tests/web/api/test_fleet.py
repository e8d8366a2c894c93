from dataclasses import asdict
from datetime import datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.db import fleet, source_limits
from app.db.rows import WorkerRow
from app.jobs.source_client import limits_of
from app.resources import Resources, open_resources
from app.settings import Settings, load_settings
from app.web import create_app
from downloader import HostSnapshot
from tests.db.builders import claimed_all
from tests.db.test_open_hosts import being_fetched
from tests.providers import PROVIDERS
from tests.providers.server import KEY
from tests.web import seeds
from tests.web.conftest import Connect


async def test_sources_tell_what_they_ask_for(client: httpx.AsyncClient, connect: Connect, settings: Settings) -> None:
    """Ready where the server has what the source's terms want."""
    source = await _wikimedia(client)
    assert (source["needs_contact"], source["is_ready"]) == (True, True)
    bare = settings.model_copy(update={"fetch": settings.fetch.model_copy(update={"contact": " "})})
    async with open_resources(bare) as resources:
        source = await _wikimedia(connect(create_app(resources)))
    assert source["is_ready"] is False


async def _wikimedia(client: httpx.AsyncClient) -> dict[str, Any]:
    items: list[dict[str, Any]] = (await client.get("/v1/sources")).json()["items"]
    return next(item for item in items if item["name"] == "wikimedia")


async def test_a_check_asks_a_source(resources: Resources, connect: Connect) -> None:
    """What came, and what is left of the limits; a source that refuses is an answer, without the key."""
    async with PROVIDERS["openverse"](41) as provider:
        own = {"workspace.path": resources.settings.workspace.path, "sources.openverse.base_url": provider.base_url}
        settings = load_settings(own | {"fetch.allow_networks": ("127.0.0.0/8",), "fetch.ports": (), "sources.openverse.key": KEY})
        client = connect(create_app(Resources(settings, resources.db, resources.store, resources.queue)))
        checked = (await client.post("/v1/sources/openverse/check", json={"keyword": "dog"})).json()
        assert (checked["ok"], checked["keyword"], checked["problem"]) == (True, "dog", None)
        assert checked["first"]["url"].startswith(provider.base_url)
        assert checked["left"]
        provider.fail("html")
        answer = await client.post("/v1/sources/openverse/check", json={})
        assert (answer.status_code, answer.json()["ok"], answer.json()["keyword"]) == (200, False, "cat")
        assert answer.json()["problem"]
        assert KEY not in answer.text


async def test_a_check_refuses_what_cannot_be_asked(client: httpx.AsyncClient) -> None:
    """With the words of the command line."""
    unknown = await client.post("/v1/sources/openvers/check", json={})
    assert (unknown.status_code, "did you mean openverse?" in unknown.json()["detail"]) == (404, True)
    needs = await client.post("/v1/sources/flickr/check", json={})
    assert (needs.status_code, needs.json()["code"], "sources.flickr.key" in needs.json()["detail"]) == (422, "not-configured", True)
    wrong = await client.post("/v1/sources/openverse/check", json={"word": "cat"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "#/word")


async def test_workers_tell_whether_they_live(client: httpx.AsyncClient, resources: Resources) -> None:
    """A row stays after a crash; a fresh sign of life tells."""
    await fleet.beat(resources.db, WorkerRow("wrk_1-builder", "builder", "host", 7, "0.1.0", 8, 2, 0.00049, 0.0, 0.0))
    (worker,) = (await client.get("/v1/workers")).json()["items"]
    assert (worker["kind"], worker["slots"], worker["running"], worker["is_alive"]) == ("builder", 8, 2, True)
    assert worker["beat_at"].endswith("Z")


NOTHING = {"pending": 0, "deferred": 0, "queued": 0, "running": 0, "quarantined": 0, "dead": 0}


async def test_queues_tell_what_waits_and_what_the_database_knows(
    client: httpx.AsyncClient, connect: Connect, resources: Resources
) -> None:
    """A queue that is away has no depth, and loses nothing."""
    await seeds.build(resources)
    await fleet.beat(resources.db, WorkerRow("wrk_1-builder", "builder", "host", 7, "0.1.0", 8, 2, 0.0, 0.0, 0.0))
    builder, validator = (await client.get("/v1/queues")).json()["items"]
    assert 0 <= builder.pop("oldest_due_s") < 60
    assert builder == {"name": "builder", "depth": 1, "units": NOTHING | {"queued": 1}, "slots": 8}
    assert validator == {"name": "validator", "depth": 0, "units": NOTHING, "oldest_due_s": None, "slots": 0}
    away = (await connect(create_app(seeds.without_queue(resources))).get("/v1/queues")).json()["items"]
    assert (away[0]["depth"], away[0]["units"]) == (None, NOTHING | {"queued": 1})


async def test_hosts_are_those_of_the_callers_jobs(app: FastAPI, connect: Connect, resources: Resources) -> None:
    """With the pace that workers tell; those of another user are not among them."""
    job_id, _ = await being_fetched(resources.db, "ann", ("http://a.example/1",))
    other_id, _ = await being_fetched(resources.db, "bob", ("http://b.example/1",))
    for each in (job_id, other_id):
        await claimed_all(resources.db, each)
    closed_until = await resources.db.now() + 500
    hosts = [asdict(HostSnapshot(f"http://{name}.example:80", 2, 3, closed_until, 1, 4, 0.12345)) for name in "abc"]
    await fleet.beat(resources.db, WorkerRow("wrk_1-builder", "builder", "host", 7, "0.1.0", 8, 2, 0.0, 0.0, 0.0, hosts))
    ann = connect(app, await seeds.key_of(resources, "ann"))
    (found,) = (await ann.get("/v1/hosts")).json()["items"]
    assert datetime.fromisoformat(found.pop("closed_until")).timestamp() == pytest.approx(closed_until, abs=0.001)
    pace = {"workers": 1, "in_flight": 2, "waiting": 3, "window": 4, "rate_per_s": 0.123, "failures": 1}
    assert found == {"host": "a.example", "images": 1, "requests": 0, "failed": 0, "refused": 0, "deferred": 0} | pace


async def test_sources_tell_what_is_left_of_their_limits(client: httpx.AsyncClient, resources: Resources) -> None:
    """Of several APIs of a source, the least; one that refuses is closed for a time."""
    before = await _wikimedia(client)
    assert before["left"] == {limit: int(limit.partition("/")[0]) for limit in before["limits"]}
    assert before["closed_until"] is None
    limits = limits_of(resources.settings, "openverse")
    for api in ("openverse a.example", "openverse b.example", "openverse b.example", "other c.example"):
        await source_limits.take(resources.db, api, limits, max_wait_s=10.0)
    await source_limits.close(resources.db, "openverse a.example", 500.0)
    items = {item["name"]: item for item in (await client.get("/v1/sources")).json()["items"]}
    assert items["openverse"]["left"][str(limits[-1])] == limits[-1].requests - 2
    assert items["openverse"]["closed_until"] is not None
    assert items["wikimedia"]["closed_until"] is None
