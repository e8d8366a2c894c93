"""PostgreSQL dies in the middle of commits, and stays away for longer than anybody retries."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from tests.drills import invariants
from tests.drills.conftest import Broken
from tests.drills.lab import Lab, Scene, until
from tests.services import PostgresServer

AWAY_S = 6.0
"""Seconds without a database: longer than a lease, and than all retries of a job, which are 3, half a second apart."""


LONG_LEASE = {"jobs.lease_s": 8}
"""Of a lease that outlives every outage, whatever the machine is busy with."""


@asynccontextmanager
async def under_way(
    lab: Lab, mutant: str | None, settings: Mapping[str, object] | None = None
) -> AsyncIterator[tuple[Scene, PostgresServer, str]]:
    """A job under way on a PostgreSQL of the drill's own; whoever exits is restarted."""
    server = await asyncio.to_thread(PostgresServer)
    try:
        await asyncio.to_thread(server.start)
        async with lab.open(80, latency_s=0.15, settings={"fetch.per_host": 2} | dict(settings or {}), postgres=server) as scene:
            scene.fleet.start_workers(2, mutants=[mutant] if mutant else [])
            await scene.ready(2)
            scene.measure()
            job_id = await scene.submit()
            await until(lambda: scene.plan.hits().total() > 8)
            async with scene.fleet.supervised():
                yield scene, server, job_id
    finally:
        await asyncio.to_thread(server.close)


async def _settled(scene: Scene, job_id: str) -> None:
    await scene.finished(job_id)
    invariants.stays_up(scene.fleet.exits)
    rows = await scene.check(job_id)
    invariants.no_crash(rows, scene.fleet.logs)


async def drill_killed_thrice(lab: Lab, *, mutant: str | None = None) -> None:
    """SIGKILL at a random moment, thrice, and a start at once: whether the commit under way came through is for the workers to find out."""
    async with under_way(lab, mutant, LONG_LEASE) as (scene, server, job_id):
        for _ in range(3):
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await asyncio.sleep(scene.dice.uniform(0.2, 0.8))
        await _settled(scene, job_id)
        invariants.asked_as_planned(scene.plan.pages, scene.plan.hits(), extra=1)


async def test_a_killed_database_costs_no_url_its_end(lab: Lab) -> None:
    """The same processes go on; nothing is lost, doubled, or recorded as a URL's failure, and no unit is charged with a crash."""
    await drill_killed_thrice(lab)


async def test_a_killed_database_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """A worker that does not keep what it could not write asks again and again."""
    with breaks("asked_as_planned", "hits", "classes"):
        await drill_killed_thrice(lab, mutant="forgets_outcomes")


async def drill_away(lab: Lab, *, mutant: str | None = None) -> None:
    """Away until every lease and every retry has run out."""
    async with under_way(lab, mutant) as (scene, server, job_id):
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(server.start)
        await _settled(scene, job_id)


async def test_a_database_that_is_long_away_costs_nobody_anything(lab: Lab) -> None:
    """Retries exhausted, leases run out: when it is back the units go on with a fresh budget, and nobody's crash is counted."""
    await drill_away(lab)


async def test_an_outage_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Where every lease that ran out is a crash, an outage charges them all."""
    with breaks("no_crash"):
        await drill_away(lab, mutant="every_end_is_a_crash")
