"""Loops that die are begun again, worn out processes end in order, and a second signal ends a drain."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.db import Database, fleet, schema
from app.queue import embedded_queue
from app.resources import Resources
from app.storage import open_store
from tests.images.samples import encode, photo
from tests.origin import Exchange, Origin, image
from tests.workers.bench import bench_settings
from tests.workers.test_worker_pool import FAST, ended, photos, submit
from workers import worker_pool
from workers.worker_pool import DEATHS, Crew, run_workers, serve_until_signalled, supervised


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause before a loop is begun again."""
    monkeypatch.setattr(worker_pool, "RESTART_S", 0.0)


async def opened(folder: Path, **flags: Any) -> Resources:
    """Resources with the embedded queue and SQLite."""
    settings = bench_settings(folder / "workspace", FAST | flags)
    db = Database(settings.database_url)
    await schema.upgrade(db)
    return Resources(settings, db, open_store(settings.storage_url), embedded_queue())


async def closed(resources: Resources) -> None:
    await resources.queue.close()
    await resources.store.close()
    await resources.db.close()


@pytest.fixture
async def resources(tmp_path: Path) -> AsyncIterator[Resources]:
    """With a drain that would take long."""
    made = await opened(tmp_path, **{"jobs.drain_s": 60.0})
    yield made
    await closed(made)


async def test_a_loop_that_dies_now_and_then_goes_on(at_once: None, lines: list[dict[str, Any]]) -> None:
    """Each death is told; one that ends in order has ended."""
    turns = 0

    async def loop() -> None:
        nonlocal turns
        turns += 1
        if turns < 3:
            raise KeyError("a bug")

    await supervised("poll-builder", loop)
    assert turns == 3
    told = [(line["loop"], line["error_type"]) for line in lines if line["event"] == "worker.loop_died"]
    assert told == [("poll-builder", "KeyError")] * 2


async def test_a_loop_that_always_dies_is_given_up(at_once: None) -> None:
    """What it died of is raised, so that a clean process can try."""
    deaths = 0

    async def loop() -> None:
        nonlocal deaths
        deaths += 1
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await supervised("leases", loop)
    assert deaths == DEATHS


async def test_a_process_whose_loop_is_given_up_ends_with_1(
    at_once: None, resources: Resources, monkeypatch: pytest.MonkeyPatch, lines: list[dict[str, Any]]
) -> None:
    """Whoever started it sees the exit code, and begins with a clean process."""

    async def broken(_: Crew) -> None:
        raise RuntimeError("a bug in the heartbeat")

    monkeypatch.setattr(Crew, "_live", broken)
    async with asyncio.timeout(30):
        assert await serve_until_signalled(resources, ("builder",)) == 1
    assert [line["loops"] for line in lines if line["event"] == "worker.gave_up"] == [["heartbeat"]]
    assert await fleet.workers(resources.db) == []


@pytest.mark.parametrize("flag", ["jobs.recycle_after", "jobs.recycle_rss_bytes"])
async def test_a_worn_out_process_drains_and_ends_with_0(tmp_path: Path, flag: str, lines: list[dict[str, Any]]) -> None:
    """After so many units, or with so much memory, it makes room for a new one."""
    resources = await opened(tmp_path, **{flag: 1, "jobs.lease_s": 0.6})
    await submit(resources, ["http://127.0.0.1:9/a.jpg"])
    async with asyncio.timeout(30):
        assert await serve_until_signalled(resources, ("builder", "validator")) == 0
    (line,) = [line for line in lines if line["event"] == "worker.recycled"]
    assert line["rss_bytes"] > 10_000_000
    await closed(resources)


async def test_a_second_signal_ends_the_drain(resources: Resources) -> None:
    """The first lets the request in hand go on for as long as the drain may take, the second gives its unit back at once."""
    async with Origin() as origin:
        asked = asyncio.Event()

        async def never(exchange: Exchange) -> None:
            asked.set()
            await exchange.rest(60)

        origin.script("/slow.jpg", never)
        await submit(resources, [origin.url("/slow.jpg")])
        serving = asyncio.create_task(serve_until_signalled(resources, ("builder",)))
        await asyncio.wait_for(asked.wait(), 30)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.3)
        assert not serving.done()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(serving, 20) == 0


async def test_a_unit_that_is_just_being_picked_drains_too(resources: Resources) -> None:
    """Workers that stop at any moment of a job's first seconds interrupt nothing that could have ended in order."""
    async with Origin() as origin:
        gate = asyncio.Event()

        async def gated(exchange: Exchange) -> None:
            await asyncio.wait_for(gate.wait(), 30)
            await image(encode(photo(seed=5)))(exchange)

        urls = photos(origin, 20)
        origin.script("/gated.jpg", gated)
        gate.set()
        job_id = await submit(resources, [origin.url("/gated.jpg"), *urls])
        for pause_s in (0.0, 0.02, 0.05, 0.1, 0.2):
            async with run_workers(resources):
                await asyncio.sleep(pause_s)
        async with run_workers(resources):
            job = await ended(resources, job_id)
        assert job.state.value == "succeeded"
        assert {len(origin.hits(f"/{number}.jpg")) for number in range(20)} == {1}
