"""Tests of workers.stages.fetch: how bodies go to the store. What becomes of a chunk is in test_outcomes and test_builder."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update

import errors
from app.db import tables
from app.job_states import UnitKind
from downloader import Fetched
from tests.origin import Origin, image
from tests.proxies import HttpProxy
from tests.workers.bench import Bench, open_bench
from workers.stages import fetch
from workers.stages.fetch import BATCH_BODIES, MAX_BODIES, BlobWriter


def body(number: int) -> Any:
    """Stands for what a URL brought."""
    return number


async def test_bodies_go_to_the_store_together_and_a_few_do_not_wait_for_long() -> None:
    """Eight at a time; the last ones after a moment, though no other comes and nobody ends it."""
    calls: list[list[Fetched]] = []
    called = asyncio.Event()

    async def store(batch: Sequence[Fetched]) -> None:
        calls.append(list(batch))
        if len(calls) == 3:
            called.set()

    async with BlobWriter(store) as blobs:
        for number in range(2 * BATCH_BODIES + 3):
            await blobs.add(body(number))
        await asyncio.wait_for(called.wait(), 10)
        await blobs.add(body(99))
    assert [len(call) for call in calls] == [BATCH_BODIES, BATCH_BODIES, 3, 1]
    assert [number for call in calls for number in call] == [*range(19), 99]


async def test_bodies_in_hand_are_bounded() -> None:
    """A store that does not take them keeps the next ones from being fetched."""
    free, taken = asyncio.Event(), 0

    async def store(_: Sequence[Fetched]) -> None:
        await free.wait()

    async def feed(blobs: BlobWriter) -> None:
        nonlocal taken
        for number in range(100):
            taken = number + 1
            await blobs.add(body(number))

    async with BlobWriter(store) as blobs:
        feeding = asyncio.create_task(feed(blobs))
        for _ in range(50):
            await asyncio.sleep(0)
        assert taken == MAX_BODIES
        free.set()
        await feeding


async def test_a_failure_is_raised_and_the_rest_is_let_go_of() -> None:
    """What is under way is cancelled and waited for; what had not begun never does."""
    calls: list[str] = []

    async def store(batch: Sequence[Any]) -> None:
        if batch[0] == 0:
            raise errors.StorageError("disk full")
        try:
            await asyncio.Event().wait()
        finally:
            calls.append("cancelled")

    async def feed() -> None:
        async with BlobWriter(store) as blobs:
            for number in range(MAX_BODIES + 1):
                await blobs.add(body(number))

    with pytest.raises(errors.StorageError, match="disk full"):
        await feed()
    assert calls == ["cancelled"]


async def test_what_ends_the_chunk_ends_its_writes() -> None:
    """Bodies that had not begun are dropped, and no timer begins them later."""
    calls: list[object] = []

    async def store(batch: Sequence[Fetched]) -> None:
        calls.append(batch)

    async def feed() -> None:
        async with BlobWriter(store) as blobs:
            await blobs.add(body(0))
            raise KeyError

    with pytest.raises(KeyError):
        await feed()
    await asyncio.sleep(2 * fetch.LINGER_S)
    assert calls == []


async def test_only_what_is_stored_is_entered() -> None:
    """One of a batch that is refused is no outcome; the others are, and then its error is raised."""
    entered: list[str] = []

    async def put_many(objects: Sequence[tuple[str, bytes]]) -> list[errors.StorageError | None]:
        return [errors.StorageError("no room") if content == b"b" else None for _, content in objects]

    ctx: Any = SimpleNamespace(store=SimpleNamespace(put_many=put_many))
    recorder: Any = SimpleNamespace(add_fetched=lambda outcome: entered.append(outcome.body))
    batch: list[Any] = [SimpleNamespace(body=letter, sha256=f"{number:064x}") for number, letter in enumerate((b"a", b"b", b"c"))]
    with pytest.raises(errors.StorageError, match="no room"):
        await fetch._store(ctx, recorder, batch)
    assert entered == [b"a", b"c"]


async def test_no_url_fails_for_an_outage_of_the_proxy(tmp_path: Path, origin: Origin) -> None:
    """The chunk waits, says for what, and uses no attempt up: the proxy is asked before any URL is, and all are fetched once it is back."""
    urls = [origin.script(f"/{number}", image()) for number in range(20)]
    proxy = HttpProxy()
    async with proxy:
        pass  # it is gone, and its port is known
    async with open_bench(tmp_path, {"fetch.proxy": proxy.url(), "fetch.robots": False, "jobs.chunk_size": 20}) as bench:
        job_id = await bench.submit(urls)
        await bench.drive(until=UnitKind.FETCH)
        for _ in range(5):
            assert await bench.run_kind(UnitKind.FETCH) == 1
            assert (await bench.job(job_id)).waiting_for == (
                f"the proxy {proxy.url()} cannot be reached (Connection refused), see `pictrawl doctor --only network`; retried in 60 s"
            )
            await make_due(bench)
        async with proxy:
            await bench.run_kind(UnitKind.FETCH)
        assert (await bench.funnel(job_id)).fetched == 20
        assert (await bench.job(job_id)).waiting_for is None
    assert len(origin.log) == 20


async def make_due(bench: Bench) -> None:
    async with bench.db.write() as connection:
        await connection.execute(update(tables.units).values(not_before=0.0))
