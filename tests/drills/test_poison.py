"""Poison: an image or a unit that kills each worker that processes it is found and ends alone."""

import asyncio
import time

import pytest

from tests.drills import invariants, lethal
from tests.drills.conftest import Broken
from tests.drills.invariants import InvariantBroken
from tests.drills.lab import SHORT_LEASE, Lab, Scene, until
from tests.drills.matter import LONG_S, calm_urls, ends_as, lonely_page, said, told
from tests.drills.plan import Page
from tests.drills.world import Job, Rows
from tests.origin import Exchange, image

CRASHES = 3
"""``jobs.max_crashes``."""

MOST_DEATHS = CRASHES + 2
"""Most workers that one poison may kill: a run that makes progress resets its unit's count."""

MOST_HITS = CRASHES + 1
"""Most requests for a poisonous URL: one for each worker that it killed, and one in quarantine."""


async def drill_poison(lab: Lab, *, poison: str, mutant: str | None = None) -> None:
    """One image of a chunk of ten kills the worker that stores it, or that validates it, beside three other chunks."""
    began = time.monotonic()
    async with lab.open(48, settings=SHORT_LEASE) as scene:
        page = lonely_page(scene)
        state = "failed" if poison == lethal.FETCH else "rejected"
        ends_as(scene, page, (state, "poison"))
        urls = calm_urls(scene)
        _answer_last(scene, page, [url for url in urls if url != page.url])
        scene.fleet.environment[poison] = page.sha256
        scene.fleet.start_workers(2, mutants=["lethal", *([mutant] if mutant else [])])
        await scene.ready(2)
        job_id = await scene.submit(urls)
        async with scene.fleet.supervised():
            await finished_after_few_deaths(scene, job_id, MOST_DEATHS)
        await scene.check(job_id)
        invariants.hits(scene.plan.hits(), MOST_HITS)
        assert len(scene.fleet.exits) >= CRASHES
        assert [line["image_id"] for line in said(scene, "image.poison")]
        told(scene, began, hits=scene.plan.hits()[page.url])


def _answer_last(scene: Scene, page: Page, others: list[str]) -> None:
    """Answer after all others have their outcomes on record: from the second death on, a run of the unit makes no progress.

    Without that the unit's count of crashes would begin at 0 again, and the URL would use up its attempts before.
    """

    async def last(exchange: Exchange) -> None:
        await until(lambda: all(url in scene.settled for url in others))
        await image(page.body)(exchange)

    scene.plan.origin.script(page.path, last)


async def finished_after_few_deaths(scene: Scene, job_id: str, most: int) -> Rows:
    """Wait for a job's end. Breaks the invariant ``deaths`` if more workers die."""
    waiting = asyncio.create_task(scene.finished(job_id, LONG_S))
    try:
        while not waiting.done():
            if len(scene.fleet.exits) > most:
                raise InvariantBroken("deaths", f"{len(scene.fleet.exits)} workers died")
            await asyncio.wait([waiting], timeout=0.1)
        return await waiting
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


@pytest.mark.parametrize("poison", [lethal.FETCH, lethal.JUDGE])
async def test_poison_is_found_alone(lab: Lab, poison: str) -> None:
    """Only the image that kills ends as ``poison``, after few deaths and few requests; every other one has its right outcome."""
    await drill_poison(lab, poison=poison)


async def test_poison_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Without quarantine it kills worker after worker."""
    with breaks("deaths"):
        await drill_poison(lab, poison=lethal.JUDGE, mutant="no_quarantine")


async def drill_poisonous_unit(lab: Lab, *, mutant: str | None = None) -> None:
    """An export kills the worker that begins it: no image is in progress, so the unit itself is to blame."""
    began = time.monotonic()
    async with lab.open(20, settings=SHORT_LEASE) as scene:
        scene.fleet.environment[lethal.EXPORT] = "yes"
        scene.fleet.start_workers(2, mutants=["lethal", *([mutant] if mutant else [])])
        await scene.ready(2)
        job_id = await scene.submit()
        async with scene.fleet.supervised():
            job = await _ended_after_few_deaths(scene, job_id)
            rows = await scene.rows()
        honest = job.state in ("failed", "partial") and "SIGKILL" in str(job.error)
        if not honest:
            raise InvariantBroken("honest", f"{job.state}: {job.error}")
        dead = [(unit.kind, unit.state) for unit in rows.units if unit.state != "done"]
        assert dead == [("export", "dead")]
        assert [export.state for export in rows.exports] != ["ready"]
        invariants.classes(scene.pages_of(job_id), rows)
        invariants.counted(rows)
        told(scene, began, job=job.state)


async def _ended_after_few_deaths(scene: Scene, job_id: str) -> Job:
    async def ended() -> Job | None:
        if len(scene.fleet.exits) > MOST_DEATHS:
            raise InvariantBroken("deaths", f"{len(scene.fleet.exits)} workers died")
        [job] = (await scene.rows()).of(job_id).jobs
        return job if job.finished_at is not None else None

    job: Job = await until(ended, LONG_S, every_s=0.2)
    return job


async def test_a_unit_that_kills_dies_alone(lab: Lab) -> None:
    """The job fails, names the cause, and keeps its images."""
    await drill_poisonous_unit(lab)


async def test_a_unit_that_kills_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Without quarantine it kills worker after worker."""
    with breaks("deaths"):
        await drill_poisonous_unit(lab, mutant="no_quarantine")
