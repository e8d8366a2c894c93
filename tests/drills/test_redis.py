"""Redis dies, forgets, fills up, refuses writes: it only wakes workers up, so nothing but time may be lost."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.drills import invariants
from tests.drills.conftest import Broken
from tests.drills.lab import FINISH_S, Lab, Scene, until
from tests.services import RedisServer

NARROW = {"fetch.per_host": 2, "jobs.builder_slots": 2, "jobs.validator_slots": 1}
"""Few slots, so that messages wait in the queue when it is lost."""


def tell(server: RedisServer, command: str) -> None:
    """Say one thing to a Redis that must obey."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(f"{command}\r\n".encode())
        reply = connection.recv(64)
    assert reply.startswith(b"+OK"), reply


@asynccontextmanager
async def under_way(lab: Lab, server: RedisServer, mutant: str | None) -> AsyncIterator[tuple[Scene, str]]:
    """A job of which a part is fetched, a part runs and a part waits in the queue; whoever exits is restarted."""
    async with lab.open(80, latency_s=0.1, settings=NARROW, redis=server) as scene:
        scene.fleet.start_workers(2, mutants=[mutant] if mutant else [])
        await scene.ready(2)
        scene.measure()
        job_id = await scene.submit()
        await until(lambda: scene.plan.hits().total() > 8)
        async with scene.fleet.supervised():
            yield scene, job_id


async def _settled(scene: Scene, job_id: str, finish_s: float = FINISH_S) -> None:
    """The end of every drill of this file: all is done, by the workers that were there, and no URL was asked in vain."""
    await scene.finished(job_id, finish_s)
    invariants.stays_up(scene.fleet.exits)
    rows = await scene.check(job_id)
    invariants.no_crash(rows)
    invariants.asked_as_planned(scene.pages_of(job_id), scene.plan.hits())


AWAY_S = 4.0
"""Seconds without a Redis: longer than the client's own retries."""


async def drill_redis_dies(lab: Lab, *, keep: bool, mutant: str | None = None, finish_s: float = FINISH_S) -> None:
    """SIGKILL, some seconds of nothing, and a start with what was kept: every command, or nothing."""
    with RedisServer(keep=keep) as server:
        async with under_way(lab, server, mutant) as (scene, job_id):
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(AWAY_S)
            await asyncio.to_thread(server.start)
            await _settled(scene, job_id, finish_s)


@pytest.mark.parametrize("keep", [True, False], ids=["with its log", "empty"])
async def test_workers_outlive_a_killed_redis(lab: Lab, keep: bool) -> None:
    """The same processes go on, whether Redis comes back with its messages or without."""
    await drill_redis_dies(lab, keep=keep)


async def test_a_killed_redis_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """What an empty Redis has lost is never sent again."""
    with breaks("finishes"):
        await drill_redis_dies(lab, keep=False, mutant="no_resend", finish_s=10)


async def test_a_killed_redis_is_proved_by_a_second_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """arq's own poll loop ends with the first refused connection, and its process with it."""
    with breaks("stays_up"):
        await drill_redis_dies(lab, keep=True, mutant="stock_poll")


async def drill_flushed(lab: Lab, *, mutant: str | None = None, finish_s: float = FINISH_S) -> None:
    """FLUSHALL, again and again, in the middle of everything."""
    with RedisServer() as server:
        async with under_way(lab, server, mutant) as (scene, job_id):
            for _ in range(5):
                await asyncio.to_thread(server.flush)
                await asyncio.sleep(scene.dice.uniform(0.3, 0.9))
            await _settled(scene, job_id, finish_s)


async def test_a_flushed_redis_loses_nothing(lab: Lab) -> None:
    """The database says what is open, and the queue is topped up from it."""
    await drill_flushed(lab)


async def test_a_flushed_redis_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Units that count as sent are never sent again."""
    with breaks("finishes"):
        await drill_flushed(lab, mutant="no_resend", finish_s=10)


FAULTS = {
    "out of memory": ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
    "read-only": ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
}
"""What is said to Redis to break it, and to heal it."""


async def drill_refuses_writes(lab: Lab, *, fault: str, mutant: str | None = None) -> None:
    """Reads work and every write is refused for three seconds; a job is handed in meanwhile."""
    breaking, healing = FAULTS[fault]
    with RedisServer() as server:
        async with lab.open(80, latency_s=0.1, settings=NARROW, redis=server) as scene:
            scene.fleet.start_workers(2, mutants=[mutant] if mutant else [])
            await scene.ready(2)
            urls = scene.plan.urls
            first = await scene.submit(urls[:40])
            await until(lambda: scene.plan.hits().total() > 8)
            async with scene.fleet.supervised():
                await asyncio.to_thread(tell, server, breaking)
                second = await scene.submit(urls[40:])
                await asyncio.sleep(3.0)
                await asyncio.to_thread(tell, server, healing)
                await scene.finished(first)
                await _settled(scene, second)
            invariants.acknowledged([first, second], await scene.check(first, second))


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_redis_that_refuses_writes_delays_and_no_more(lab: Lab, fault: str) -> None:
    """Workers stay, jobs are accepted, and both end once Redis takes writes again."""
    await drill_refuses_writes(lab, fault=fault)


@pytest.mark.parametrize("fault", FAULTS)
async def test_refused_writes_are_proved_by_a_mutant(lab: Lab, breaks: type[Broken], fault: str) -> None:
    """arq's own poll loop does not survive a refused write."""
    with breaks("stays_up"):
        await drill_refuses_writes(lab, fault=fault, mutant="stock_poll")
