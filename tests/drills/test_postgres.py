"""PostgreSQL is killed in the middle of commits. For an outage that outlasts every lease see :mod:`tests.drills.test_innocents`."""

import asyncio

from tests.drills import invariants
from tests.drills.conftest import Broken
from tests.drills.lab import Lab, until
from tests.services import PostgresServer

SETTINGS = {"fetch.per_host": 2, "jobs.lease_s": 15}
"""With a lease that outlasts the short outages, and a stall of the machine."""


async def drill_killed_thrice(lab: Lab, *, mutant: str | None = None) -> None:
    """SIGKILL at a random moment, three times, and a start at once: workers must find out whether the running commit was applied."""
    with PostgresServer() as server:
        async with lab.open(80, latency_s=0.15, settings=SETTINGS, postgres=server) as scene:
            scene.fleet.start_workers(2, mutants=[mutant] if mutant else [])
            await scene.ready(2)
            scene.measure()
            job_id = await scene.submit()
            await until(lambda: scene.plan.hits().total() > 8)
            async with scene.fleet.supervised():
                for _ in range(3):
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
                    await asyncio.sleep(scene.dice.uniform(0.2, 0.8))
                await scene.finished(job_id)
            invariants.stays_up(scene.fleet.exits)
            invariants.no_crash(await scene.check(job_id), scene.fleet.logs)
            invariants.asked_as_planned(scene.plan.pages, scene.plan.hits(), extra=1)


async def test_a_killed_database_costs_no_url_its_end(lab: Lab) -> None:
    """The same processes continue. Nothing is lost, doubled, or recorded as a URL's failure, and no unit is charged with a crash."""
    await drill_killed_thrice(lab)


async def test_a_killed_database_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """A worker that discards what it could not write requests URLs again."""
    with breaks("asked_as_planned", "hits", "classes"):
        await drill_killed_thrice(lab, mutant="forgets_outcomes")
