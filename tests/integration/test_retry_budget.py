"""Deploys, crashes, stale messages and database outages do not use up a job's retries. On real workers."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import errors
from app.db import schema, units
from app.job_states import UnitKind, UnitState
from app.jobs.dispatch import envelope
from app.queue import QUEUES, redis_queue
from app.resources import WorkerResources
from logging_setup.config import add_sink, remove_sink
from tests.db.builders import expire
from tests.origin import Origin
from tests.services import PostgresServer
from tests.workers.bench import Bench
from tests.workers.proof import (
    HOUSES,
    House,
    Waits,
    arq_worker,
    change_unit,
    eventually,
    failing_bench,
    failures_of,
    in_state,
    one_unit,
    open_house,
    state_of,
    sweep,
)
from tests.workers.test_worker_pool import submit, worker_process
from workers.worker_pool import run_workers

DELAY_S = 60.0


@pytest.fixture(params=HOUSES)
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    """Each supported pair of database and queue."""
    async for opened in open_house(request, tmp_path):
        yield opened


class Puppet:
    """A downloader that never returns, or fails."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.runs = 0

    async def fetch_many(self, _requests: object, **_: object) -> AsyncIterator[Any]:
        self.runs += 1
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()
        yield

    async def check_proxy(self) -> None:
        """There is none."""

    def hosts(self) -> list[Any]:
        """It asks nobody."""
        return []


async def crash(bench: Bench, unit_id: str) -> None:
    """Leave the state of a worker that was killed in the middle of a unit."""
    assert await units.claim(bench.db, unit_id, owner="wrk_dead", lease_s=30) is not None
    await expire(bench.db, unit_id)


async def test_five_deploys_and_two_crashes_leave_a_unit_its_three_retries(house: House) -> None:
    """A shutdown releases the unit and counts nothing, and arq's own count of tries is ignored: MemoryError still has its 4 runs."""
    async with house() as (bench, _):
        puppet = Puppet()
        worker_resources = WorkerResources(puppet, None)  # type: ignore[arg-type]
        delivery = await one_unit(bench, UnitKind.FETCH)
        unit_id, token = delivery.unit_id, envelope(delivery).token
        for deploy in range(1, 6):
            async with run_workers(bench.resources, ("builder",), worker_resources=worker_resources):
                await eventually(lambda deploy=deploy: puppet.runs == deploy)
            unit = await state_of(bench, unit_id)
            assert (unit.state, unit.error, unit.crashes) == (UnitState.PENDING, None, 0)
            assert unit.not_before <= await bench.db.now()
        for crashes in (1, 2):
            await crash(bench, unit_id)
            await sweep(bench)
            assert (await state_of(bench, unit_id)).crashes == crashes
        await bench.context.queue.pool.set(f"arq:retry:{token}", 50)
        assert await failures_of(bench, unit_id) == 0
        puppet.error = MemoryError("no room")
        waits = Waits(bench, delivery)
        async with run_workers(bench.resources, ("builder",), worker_resources=worker_resources):
            found = [await waits.next() for _ in range(3)]
            unit = await eventually(lambda: in_state(bench, unit_id, UnitState.DEAD))
    assert all(wait.is_about(DELAY_S) for wait in found), found
    assert (puppet.runs, unit.error) == (5 + 4, "MemoryError: no room")


async def test_a_message_left_by_a_crash_does_not_cut_the_wait_short(house: House) -> None:
    """Of two messages of one unit, the older one was tried by a killed worker: it does not start the retry early."""
    async with house(MemoryError("no room")) as (bench, leases):
        delivery = await one_unit(bench, UnitKind.FETCH)
        pool, old = bench.context.queue.pool, envelope(delivery).token
        await pool.set(f"arq:retry:{old}", 1)
        await pool.set(f"arq:in-progress:{old}", 1)
        await crash(bench, delivery.unit_id)
        await sweep(bench)
        async with arq_worker(bench, UnitKind.FETCH):
            await eventually(lambda: failures_of(bench, delivery.unit_id))
            await eventually(lambda: in_state(bench, delivery.unit_id, UnitState.PENDING))
            await pool.delete(f"arq:in-progress:{old}")
            await eventually(lambda: bench.context.queue.missing([old]))
        unit = await state_of(bench, delivery.unit_id)
        assert leases.runs[delivery.unit_id] == 1
        assert unit.not_before - await bench.db.now() == pytest.approx(DELAY_S, abs=5)


async def test_an_outage_of_the_database_ends_deliveries_and_loses_no_unit(tmp_path: Path, redis_url: str) -> None:
    """PostgreSQL is down for all 4 runs: the message ends with the real error; later the sweeper sends the unit again, and it ends."""
    lines: list[dict[str, Any]] = []
    sink = add_sink(lambda record: lines.append(dict(record)), level="WARNING")
    with PostgresServer() as server:
        async with failing_bench(tmp_path, url=server.url(), queue=await redis_queue(redis_url)) as (bench, leases):
            await schema.upgrade(bench.db)
            delivery = await one_unit(bench, UnitKind.FETCH)
            server.stop()
            waits = Waits(bench, delivery)
            async with arq_worker(bench, UnitKind.FETCH) as worker:
                found = [await waits.next() for _ in range(3)]
                await eventually(lambda: worker.jobs_failed == 1)
                server.start()
                assert leases.runs[delivery.unit_id] == 0
                assert await failures_of(bench, delivery.unit_id) == 0
                await change_unit(bench, delivery.unit_id, queued_at=0.0)  # it was sent long ago
                swept = await sweep(bench)
                await eventually(lambda: in_state(bench, delivery.unit_id, UnitState.DONE))
    remove_sink(sink)
    assert all(wait.is_about(DELAY_S) for wait in found), found
    assert (swept.unsent, swept.sent, leases.runs[delivery.unit_id]) == (1, 1, 1)
    told = [(line["event"], line["error_type"]) for line in lines if line["event"].startswith("job.")]
    name = errors.DatabaseConnectionError.__name__
    assert told == [("job.retry", name)] * 3 + [("job.retries_exhausted", name)]


async def test_sigterm_releases_the_unit_and_counts_nothing(tmp_path: Path, redis_url: str, postgres_url: str) -> None:
    """A worker gets SIGTERM in the middle of a request: exit code 0, the unit is due, its message waits, no failure is counted."""
    environment = {
        "PICTRAWL_QUEUE__BACKEND": "redis",
        "PICTRAWL_QUEUE__URL": redis_url,
        "PICTRAWL_DB__URL": postgres_url,
        "PICTRAWL_STORAGE__URL": (tmp_path / "store").as_uri(),
        "PICTRAWL_FETCH__ALLOW_NETWORKS": '["127.0.0.0/8"]',
        "PICTRAWL_FETCH__PORTS": "[]",
        "PICTRAWL_JOBS__DRAIN_S": "0.2",
        "PICTRAWL_LOG__FORMAT": "json",
    }
    async with Origin() as origin, failing_bench(tmp_path, url=postgres_url, queue=await redis_queue(redis_url)) as (bench, _):
        await schema.upgrade(bench.db)

        async def never(exchange: object) -> None:
            await exchange.rest(60)  # type: ignore[attr-defined]

        origin.script("/1.jpg", never)
        job_id = await submit(bench.resources, [origin.url("/1.jpg")])
        process = worker_process("builder", environment, tmp_path / "worker.log")
        try:
            await eventually(lambda: origin.hits("/1.jpg"))
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 30) == 0
        finally:
            process.kill()
            process.wait()
        (fetch,) = [delivery for delivery in await bench.due() if delivery.kind is UnitKind.FETCH]
        unit = await state_of(bench, fetch.unit_id)
        assert (unit.job_id, unit.error, unit.crashes) == (job_id, None, 0)
        assert await failures_of(bench, fetch.unit_id) == 0
        assert await bench.context.queue.pool.zcount(QUEUES["builder"], 0, time.time() * 1000) >= 1
    assert "unit.interrupted" in (tmp_path / "worker.log").read_text()
