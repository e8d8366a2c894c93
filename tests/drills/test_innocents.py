"""Crashes and outages without a guilty unit or image: none is blamed."""

import asyncio
import time

from tests.drills import invariants
from tests.drills.conftest import Broken
from tests.drills.invariants import InvariantBroken
from tests.drills.lab import LEASE_S, SHORT_LEASE, Lab, Scene, until
from tests.drills.matter import LONG_S, calm_urls, said, told
from tests.services import PostgresServer

SLOW = SHORT_LEASE | {"fetch.per_host": 2, "jobs.builder_slots": 4}

OUTAGE_S = 2 * LEASE_S + 1.0
"""Seconds without a database: every lease runs out, and all retries of a job, which are 3, half a second apart."""


async def drill_random_kills(lab: Lab, *, mutant: str | None = None, kills: int = 8, crashes: int = 3) -> None:
    """SIGKILL random workers so often that units crash repeatedly, although none of them is poison.

    Args:
        crashes: ``jobs.max_crashes``. With 1 every unit of a killed worker goes into quarantine.
    """
    began = time.monotonic()
    async with lab.open(90, latency_s=0.4, settings=SLOW | {"jobs.max_crashes": crashes}) as scene:
        scene.fleet.start_workers(3, mutants=[mutant] if mutant else [])
        await scene.ready(3)
        job_id = await scene.submit(calm_urls(scene))
        await until(lambda: scene.plan.hits().total() > 4)
        async with scene.fleet.supervised():
            for _ in range(kills):
                scene.fleet.pick(scene.dice).kill()
                await asyncio.sleep(scene.dice.uniform(0.3, 1.2))
            await scene.finished(job_id, LONG_S)
        rows = await scene.check(job_id)
        poisoned = [image.url for image in rows.images if image.reason == "poison"]
        assert not poisoned
        told(scene, began, quarantined=len(said(scene, "quarantine.began")), exonerated=len(said(scene, "quarantine.ended")))


async def test_random_kills_blame_no_image(lab: Lab) -> None:
    """No image is poison and no unit is dead, however often their workers died."""
    await drill_random_kills(lab)


async def test_quarantine_exonerates(lab: Lab) -> None:
    """If one crash is enough for quarantine, each unit runs there in a process of its own and is exonerated."""
    await drill_random_kills(lab, kills=1, crashes=1)


async def test_quarantine_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """If units in quarantine are given up without a run, good work is lost."""
    with breaks("finishes", "conservation"):
        await drill_random_kills(lab, kills=1, crashes=1, mutant="condemns_unheard")


async def drill_outage(lab: Lab, *, mutant: str | None = None) -> None:
    """PostgreSQL is down for longer than a lease and than all retries of a job; every worker lives."""
    began = time.monotonic()
    with PostgresServer() as server:
        async with lab.open(80, latency_s=0.3, settings=SLOW, postgres=server) as scene:
            scene.fleet.start_workers(2, mutants=[mutant] if mutant else [])
            await scene.ready(2)
            scene.measure()
            job_id = await scene.submit(calm_urls(scene))
            await until(lambda: scene.plan.hits().total() > 8)
            async with scene.fleet.supervised():
                await asyncio.to_thread(server.kill)
                await asyncio.sleep(OUTAGE_S)
                await asyncio.to_thread(server.start)
                await _no_unit_is_charged(scene, job_id)
            invariants.stays_up(scene.fleet.exits)
            await scene.check(job_id)
            told(scene, began, taken_back=len(said(scene, "unit.taken_back")))


async def _no_unit_is_charged(scene: Scene, job_id: str) -> None:
    """No unit is charged with a crash until the job's end, not for a moment, and none in any log."""
    waiting = asyncio.create_task(scene.finished(job_id, LONG_S))
    async with scene.connection() as connection:
        while not waiting.done():
            charged = await connection.fetch("SELECT kind, crashes FROM units WHERE crashes > 0")
            if charged:
                waiting.cancel()
                raise InvariantBroken("no_crash", f"{[dict(row) for row in charged]}")
            await asyncio.wait([waiting], timeout=0.05)
    await waiting
    charged = [line for line in said(scene, "unit.taken_back", "unit.quarantined") if line.get("crashes")]
    if charged:
        raise InvariantBroken("no_crash", f"{charged[:3]}")


async def test_an_outage_charges_no_unit(lab: Lab) -> None:
    """A lease that ran out while the database was down is not a crash. Units continue with a fresh retry budget."""
    await drill_outage(lab)


async def test_an_outage_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """If every lease that ran out is a crash, units of living workers are charged."""
    with breaks("no_crash"):
        await drill_outage(lab, mutant="no_alibi")
