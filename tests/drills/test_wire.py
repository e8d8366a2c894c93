"""The connection between workers and Redis is slow, silent for a while, or half-open; an origin breaks kept-alive connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.drills import invariants
from tests.drills.conftest import Broken
from tests.drills.invariants import InvariantBroken
from tests.drills.lab import FINISH_S, LEASE_S, SHORT_LEASE, Lab, Scene, until
from tests.drills.matter import ends_as
from tests.drills.plan import Kind
from tests.drills.proxy import Wire
from tests.origin import reset
from tests.services import RedisServer

DARK_S = LEASE_S + 1.0
"""Seconds in which nothing gets through: longer than a lease, and than any answer is waited for."""

HANG_S = 40.0
"""Seconds after which a unit that still runs without Redis hangs. It needs about two."""


@asynccontextmanager
async def wired(lab: Lab, mutant: str | None = None, count: int = 80) -> AsyncIterator[tuple[Scene, Wire, str]]:
    """Two workers that reach Redis through a :class:`Wire`, and a running job."""
    with RedisServer() as server:
        async with Wire(server.port) as wire:
            url = f"redis://127.0.0.1:{wire.port}/0"
            settings = SHORT_LEASE | {"fetch.per_host": 2, "jobs.builder_slots": 2}
            async with lab.open(count, latency_s=0.1, settings=settings, redis=server, redis_url=url) as scene:
                scene.fleet.start_workers(2, mutants=[mutant] if mutant else [])
                await scene.ready(2)
                job_id = await scene.submit()
                await until(lambda: scene.plan.hits().total() > 8)
                async with scene.fleet.supervised():
                    yield scene, wire, job_id


async def _settled(scene: Scene, job_id: str, finish_s: float = FINISH_S) -> None:
    await scene.finished(job_id, finish_s)
    invariants.stays_up(scene.fleet.exits)
    rows = await scene.check(job_id)
    invariants.no_crash(rows)
    invariants.no_storm(rows, 2)
    invariants.asked_as_planned(scene.plan.pages, scene.plan.hits())


async def drill_dark(lab: Lab, *, mutant: str | None = None, hang_s: float = HANG_S) -> None:
    """For some seconds nothing gets through and no connection breaks; then all bytes arrive."""
    async with wired(lab, mutant) as (scene, wire, job_id):
        with wire.dark():
            await asyncio.sleep(DARK_S)
            try:
                await until(lambda: _nothing_runs(scene), hang_s)
            except TimeoutError as error:
                running = [unit for unit in (await scene.rows()).units if unit.state == "running"]
                raise InvariantBroken("hang", f"after {DARK_S + hang_s:g} s without Redis still running: {running[:3]}") from error
        await _settled(scene, job_id)


async def _nothing_runs(scene: Scene) -> bool:
    return all(unit.state != "running" for unit in (await scene.rows()).units)


async def test_running_units_end_without_redis(lab: Lab) -> None:
    """They need only the database and their hosts. Leases hold, nothing is claimed twice, and the other units run afterwards."""
    await drill_dark(lab)


async def test_a_silent_redis_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Without a time limit on Redis's answers the units hang."""
    with breaks("hang"):
        await drill_dark(lab, mutant="patient", hang_s=5.0)


async def test_half_open_connections_are_replaced(lab: Lab) -> None:
    """A firewall or a failover leaves such connections. Workers notice it and open new ones."""
    async with wired(lab) as (scene, wire, job_id):
        wire.silence()
        await _settled(scene, job_id)


async def drill_slow(lab: Lab) -> None:
    """A sixth of a second for each answer from the middle of the job on: with production's lease it would be 0.8 s."""
    async with wired(lab, count=20) as (scene, wire, job_id):
        wire.latency_s = 0.08
        await _settled(scene, job_id, 2 * FINISH_S)


async def test_a_slow_redis_costs_time_only(lab: Lab) -> None:
    """No unit is claimed more than twice because of it."""
    await drill_slow(lab)


async def drill_resets(lab: Lab, *, kills: bool) -> None:
    """An origin reads the requests for three URLs and resets their connections; it keeps those of the other URLs alive."""
    settings = SHORT_LEASE | {"fetch.per_host": 2, "retry.backoff_base_s": 0.5}
    async with lab.open(80, latency_s=0.05, settings=settings) as scene:
        bad = [page for page in scene.plan.pages.values() if page.kind is Kind.OK][10:13]
        for page in bad:
            scene.plan.origin.script(page.path, reset())
            ends_as(scene, page, ("failed", "network"))
        worker, *_ = scene.fleet.start_workers(1)
        await scene.ready(1)
        job_id = await scene.submit()
        async with scene.fleet.supervised():
            if kills:
                await until(lambda: any(scene.plan.hits()[page.url] for page in bad))
                worker.kill()
            await scene.finished(job_id)
        await scene.check(job_id)
        invariants.hits(scene.plan.hits(), 4 if kills else 3)


async def test_broken_connections_to_an_origin_cost_three_requests(lab: Lab) -> None:
    """A repeat on a kept-alive connection is an attempt."""
    await drill_resets(lab, kills=False)


async def test_broken_connections_and_a_dead_worker_cost_four_requests(lab: Lab) -> None:
    """The attempts made before still count."""
    await drill_resets(lab, kills=True)
