"""A worker runs out of file descriptors: no URL is blamed, and it recovers."""

import asyncio
import resource
import time

from tests.drills import invariants
from tests.drills.conftest import Broken
from tests.drills.lab import Lab, until
from tests.drills.matter import LONG_S, said, told

MOST_HITS = 3 + 1

FEW = 16
"""A limit below the open descriptors: no file and no socket can be opened any more."""

SHORT_S = 5.0
"""Seconds without descriptors. A released unit waits two."""


async def drill_exhausted(lab: Lab, *, is_first_write: bool = False, mutant: str | None = None) -> None:
    """For some seconds in the middle of a job no descriptor can be opened, for connections or files; then the old limit again.

    Args:
        is_first_write: the shortage begins before the worker's first write to its store, which prepares itself then.
    """
    began = time.monotonic()
    async with lab.open(80, latency_s=0.2, settings={"fetch.per_host": 2, "jobs.builder_slots": 3}) as scene:
        [worker] = scene.fleet.start_workers(1, mutants=[mutant] if mutant else [])
        await scene.ready(1)
        job_id = await scene.submit()
        await until(lambda: scene.plan.hits().total() > 4 if is_first_write else any((scene.store / "blobs").rglob("?" * 64)))
        before = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
        async with scene.fleet.supervised():
            resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (FEW, before[1]))
            await until(lambda: mutant or said(scene, "unit.rests") or scene.fleet.exits, 30)
            invariants.stays_up(scene.fleet.exits)
            await asyncio.sleep(SHORT_S)
            invariants.stays_up(scene.fleet.exits)
            resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, before)
            await scene.finished(job_id, LONG_S)
        invariants.stays_up(scene.fleet.exits)
        invariants.no_crash(await scene.check(job_id))
        invariants.hits(scene.plan.hits(), MOST_HITS)
        told(scene, began, rested=len(said(scene, "unit.rests")), requests=scene.plan.hits().total())


async def test_a_lack_of_descriptors_blames_no_url(lab: Lab) -> None:
    """Units are released and come back, no URL and no host is blamed, and the worker stays up."""
    await drill_exhausted(lab)


async def test_a_lack_of_descriptors_at_the_first_write_passes_too(lab: Lab) -> None:
    """A store that could not be prepared is prepared later, in the same process."""
    await drill_exhausted(lab, is_first_write=True)


async def test_a_lack_of_descriptors_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """If it counts as a network error, URLs fail."""
    with breaks("classes"):
        await drill_exhausted(lab, mutant="blames_the_host")
