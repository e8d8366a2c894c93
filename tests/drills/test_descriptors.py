"""A worker is out of file descriptors: that is our fault, and it passes."""

import asyncio
import resource
import time

from tests.drills import invariants
from tests.drills.conftest import Broken
from tests.drills.lab import Lab, until
from tests.drills.matter import LONG_S, said, told

MOST_HITS = 3 + 1

FEW = 16
"""Descriptors below which all are taken: no file and no socket can be opened any more."""

SHORT_S = 5.0
"""Seconds without descriptors; a unit rests two."""


async def drill_exhausted(lab: Lab, *, mutant: str | None = None) -> None:
    """No new descriptor for some seconds in the middle of a job, on new connections and in the store; then as many as before."""
    began = time.monotonic()
    async with lab.open(80, latency_s=0.2, settings={"fetch.per_host": 2, "jobs.builder_slots": 3}) as scene:
        [worker] = scene.fleet.start_workers(1, mutants=[mutant] if mutant else [])
        await scene.ready(1)
        job_id = await scene.submit()
        await until(lambda: any((scene.store / "blobs").rglob("?" * 64)))
        before = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
        async with scene.fleet.supervised():
            resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (FEW, before[1]))
            await until(lambda: mutant or said(scene, "unit.rests"), 30)
            await asyncio.sleep(SHORT_S)
            resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, before)
            await scene.finished(job_id, LONG_S)
        invariants.stays_up(scene.fleet.exits)
        invariants.no_crash(await scene.check(job_id))
        invariants.hits(scene.plan.hits(), MOST_HITS)
        told(scene, began, rested=len(said(scene, "unit.rests")), requests=scene.plan.hits().total())


async def test_a_lack_of_descriptors_blames_nobody(lab: Lab) -> None:
    """Units rest and come back, no URL and no host is at fault, and the worker lives."""
    await drill_exhausted(lab)


async def test_a_lack_of_descriptors_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Where it is taken for the network's fault, URLs fail."""
    with breaks("classes"):
        await drill_exhausted(lab, mutant="blames_the_host")
