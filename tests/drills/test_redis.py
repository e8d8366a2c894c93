"""Redis is killed, flushed, full or read-only. It only wakes workers up, so that nothing but time may be lost."""

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
    """Send Redis a command that must answer with OK."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(f"{command}\r\n".encode())
        reply = connection.recv(64)
    assert reply.startswith(b"+OK"), reply


@asynccontextmanager
async def under_way(lab: Lab, server: RedisServer, mutant: str | None) -> AsyncIterator[tuple[Scene, str]]:
    """A running job of which some units are done, some run and some wait in the queue; processes that exit are restarted."""
    async with lab.open(80, latency_s=0.1, settings=NARROW, redis=server) as scene:
        scene.fleet.start_workers(2, mutants=[mutant] if mutant else [])
        await scene.ready(2)
        scene.measure()
        job_id = await scene.submit()
        await until(lambda: scene.plan.hits().total() > 8)
        async with scene.fleet.supervised():
            yield scene, job_id


async def _settled(scene: Scene, job_id: str, finish_s: float = FINISH_S) -> None:
    """Checks of every drill in this file: the job is done, by the first workers, without additional requests."""
    await scene.finished(job_id, finish_s)
    invariants.stays_up(scene.fleet.exits)
    rows = await scene.check(job_id)
    invariants.no_crash(rows)
    invariants.asked_as_planned(scene.pages_of(job_id), scene.plan.hits())


AWAY_S = 4.0
"""Seconds without Redis: longer than the client's own retries."""


async def drill_redis_dies(lab: Lab, *, keep: bool, mutant: str | None = None, finish_s: float = FINISH_S) -> None:
    """SIGKILL Redis and start it again some seconds later, with its log or empty."""
    with RedisServer(keep=keep) as server:
        async with under_way(lab, server, mutant) as (scene, job_id):
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(AWAY_S)
            await asyncio.to_thread(server.start)
            await _settled(scene, job_id, finish_s)


@pytest.mark.parametrize("keep", [True, False], ids=["with its log", "empty"])
async def test_workers_outlive_a_killed_redis(lab: Lab, keep: bool) -> None:
    """The same processes continue, whether Redis comes back with its messages or empty."""
    await drill_redis_dies(lab, keep=keep)


async def test_a_killed_redis_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Without a resend the lost messages are gone."""
    with breaks("finishes"):
        await drill_redis_dies(lab, keep=False, mutant="no_resend", finish_s=10)


async def drill_flushed(lab: Lab, *, mutant: str | None = None, finish_s: float = FINISH_S) -> None:
    """FLUSHALL five times in the middle of a job."""
    with RedisServer() as server:
        async with under_way(lab, server, mutant) as (scene, job_id):
            for _ in range(5):
                await asyncio.to_thread(server.flush)
                await asyncio.sleep(scene.dice.uniform(0.3, 0.9))
            await _settled(scene, job_id, finish_s)


async def test_a_flushed_redis_loses_nothing(lab: Lab) -> None:
    """The queue is filled again from the database."""
    await drill_flushed(lab)


async def test_a_flushed_redis_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Without a resend the units whose messages are lost stay queued."""
    with breaks("finishes"):
        await drill_flushed(lab, mutant="no_resend", finish_s=10)


FAULTS = {
    "out of memory": ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
    "read-only": ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
}
"""Commands that break Redis, and that heal it."""


async def drill_refuses_writes(lab: Lab, *, fault: str, mutant: str | None = None) -> None:
    """Redis refuses every write for three seconds; a job is submitted meanwhile."""
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
                invariants.stays_up(scene.fleet.exits)
                await scene.finished(first)
                await _settled(scene, second)
            invariants.acknowledged([first, second], await scene.check(first, second))


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_redis_that_refuses_writes_delays_and_no_more(lab: Lab, fault: str) -> None:
    """Workers stay up, jobs are accepted, and both jobs end once Redis takes writes again."""
    await drill_refuses_writes(lab, fault=fault)


async def test_refused_writes_are_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """arq's own poll loop does not survive a refused write."""
    with breaks("stays_up"):
        await drill_refuses_writes(lab, fault="read-only", mutant="stock_poll")


DRAIN_S = 15.0
"""``jobs.drain_s`` of the drill below: enough for the units in hand."""


async def drill_forgotten_at_work(lab: Lab, *, mutant: str | None = None) -> None:
    """Redis loses arq's in-progress keys, as after an outage longer than a lease; then the worker gets SIGTERM."""
    async with lab.open(40, latency_s=1.0, settings={"jobs.drain_s": DRAIN_S}) as scene:
        [worker] = scene.fleet.start_workers(1, mutants=[mutant] if mutant else [])
        await scene.ready(1)
        job_id = await scene.submit()
        await until(lambda: scene.plan.hits().total() > 8)
        for _ in range(5):
            await asyncio.to_thread(_forget, lab.redis)
            await asyncio.sleep(0.1)
        await worker.leaves(DRAIN_S + 5.0)
        scene.fleet.again(worker)
        await scene.finished(job_id)
        rows = await scene.check(job_id)
        invariants.drained(rows)
        invariants.no_storm(rows, 2)
        invariants.asked_as_planned(scene.plan.pages, scene.plan.hits())


def _forget(server: RedisServer) -> None:
    """Delete arq's in-progress keys."""
    script = "for _, key in ipairs(redis.call('KEYS', 'arq:in-progress:*')) do redis.call('DEL', key) end return redis.status_reply('OK')"
    tell(server, f'EVAL "{script}" 0')


async def test_a_message_redelivered_to_its_own_worker_is_not_run_twice(lab: Lab) -> None:
    """The worker still knows its running units, and ends them in order before it exits."""
    await drill_forgotten_at_work(lab)


async def test_a_redelivered_message_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """arq's own worker runs it a second time, loses track of the first run, and does not exit in order."""
    with breaks("goes_in_order", "drained", "asked_as_planned"):
        await drill_forgotten_at_work(lab, mutant="runs_beside_itself")
