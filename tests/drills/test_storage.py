"""The store's disk is full, read-only, sometimes broken, or slow: units wait, and no URL is blamed."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.drills import faults, invariants
from tests.drills.conftest import Broken
from tests.drills.invariants import InvariantBroken
from tests.drills.lab import Lab, Scene, until
from tests.drills.matter import LONG_S, SmallDisk, said, told
from tests.drills.world import Rows, read_disk

MOST_HITS = 3 + 1
"""Most requests for one URL: its attempts and one more."""

SMALL_BYTES = 8_000_000
"""Far more than the images need; a ballast file takes the rest."""

FULL_S = 9.0
"""Seconds without space. A released unit waits two, so that it fails more often than a URL has attempts."""

NARROW = {"fetch.per_host": 2, "jobs.builder_slots": 3}


@asynccontextmanager
async def small_disk(lab: Lab, mutants: list[str], **environment: str) -> AsyncIterator[tuple[Scene, SmallDisk, str]]:
    """A store on a small disk, a worker and a running job. Checks the invariants after the body."""
    began = time.monotonic()
    with SmallDisk(lab.folder / "store", SMALL_BYTES) as disk:
        async with lab.open(60, latency_s=0.15, settings=NARROW) as scene:
            scene.fleet.environment.update(environment)
            scene.fleet.start_workers(1, mutants=mutants)
            await scene.ready(1)
            job_id = await scene.submit()
            async with scene.fleet.supervised():
                yield scene, disk, job_id
                await scene.finished(job_id, LONG_S)
            invariants.stays_up(scene.fleet.exits)
            invariants.no_crash(await scene.check(job_id))
            invariants.hits(scene.plan.hits(), MOST_HITS)
            most = max(scene.plan.hits().values())
            told(scene, began, rested=len(said(scene, "unit.rests")), most_hits=most, requests=scene.plan.hits().total())


async def rests(scene: Scene) -> bool:
    """Whether a released unit waits for the store."""
    return any(unit.state == "pending" and unit.error for unit in (await scene.rows()).units)


async def drill_full(lab: Lab, *, mutant: str | None = None) -> None:
    """The disk is full while images come in; later there is space again."""
    async with small_disk(lab, [mutant] if mutant else []) as (scene, disk, _):
        await until(lambda: scene.plan.hits().total() > 8)
        await asyncio.to_thread(faults.fill, scene.store)
        await _stays_whole(scene, FULL_S)
        await until(lambda: rests(scene))
        (scene.store / faults.BALLAST).unlink()
        disk.resize(4 * SMALL_BYTES)


async def _stays_whole(scene: Scene, seconds: float) -> None:
    """For so long every blob is complete, no URL is blamed and no unit is dead."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        invariants.blobs(Rows(), await asyncio.to_thread(read_disk, scene.store))
        rows = await scene.rows()
        wrong = [image.reason for image in rows.images if image.state == "failed" and image.reason != "http_404"]
        if wrong:
            raise InvariantBroken("blame", f"{len(wrong)} URLs failed: {wrong[:5]}")
        if any(unit.state == "dead" for unit in rows.units):
            raise InvariantBroken("conservation", f"dead units: {[unit.error for unit in rows.units if unit.state == 'dead']}")
        await asyncio.sleep(0.2)


async def test_a_full_disk_is_waited_for(lab: Lab) -> None:
    """Units wait, no partial blob is visible, and no URL is blamed or requested more than four times."""
    await drill_full(lab)


async def test_a_full_disk_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Writing under the final name shows partial images."""
    with breaks("blobs"):
        await drill_full(lab, mutant="puts_in_place")


async def test_a_full_disk_is_proved_by_a_second_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """If a full disk counts as a bug, units die."""
    with breaks("conservation"):
        await drill_full(lab, mutant="storage_is_a_bug")


async def drill_full_before_export(lab: Lab, *, mutant: str | None = None) -> None:
    """The disk is full when the export begins; later there is space again."""
    async with small_disk(lab, ["full_before_export", *([mutant] if mutant else [])]) as (scene, _, job_id):
        await until(lambda: (lab.folder / "was-full").exists(), 90)
        await until(lambda: rests(scene) if not mutant else _is_over(scene, job_id), 60)
        disk = await asyncio.to_thread(read_disk, scene.store)
        invariants.archive(await scene.rows(), disk)
        (scene.store / faults.BALLAST).unlink()


async def _is_over(scene: Scene, job_id: str) -> bool:
    return any(job.finished_at is not None for job in (await scene.rows()).of(job_id).jobs)


async def test_an_export_waits_for_space(lab: Lab) -> None:
    """It is absent as long as the disk is full, and complete afterwards."""
    await drill_full_before_export(lab)


async def test_an_export_without_space_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """If a full disk counts as a bug, there is no export."""
    with breaks("finishes", "conservation"):
        await drill_full_before_export(lab, mutant="storage_is_a_bug")


async def drill_read_only(lab: Lab, *, mutant: str | None = None) -> None:
    """The store's disk is read-only for some seconds."""
    async with small_disk(lab, [mutant] if mutant else []) as (scene, disk, _):
        await until(lambda: scene.plan.hits().total() > 8)
        with disk.read_only():
            await _stays_whole(scene, 5.0)
            await until(lambda: rests(scene))


async def test_a_read_only_store_is_waited_for(lab: Lab) -> None:
    """Like a full one."""
    await drill_read_only(lab)


async def test_a_read_only_store_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """If it counts as a bug, units die."""
    with breaks("conservation"):
        await drill_read_only(lab, mutant="storage_is_a_bug")


async def drill_errors(lab: Lab, *, fault: str, share: float = 0.025, mutant: str | None = None) -> None:
    """A share of the calls to the store fail with EIO, or every write takes 0.7 s."""
    began = time.monotonic()
    async with lab.open(60) as scene:
        scene.fleet.environment[faults.STORE_FAULTS] = str(share)
        scene.fleet.start_workers(2, mutants=[fault, *([mutant] if mutant else [])])
        await scene.ready(2)
        job_id = await scene.submit()
        async with scene.fleet.supervised():
            await scene.finished(job_id, LONG_S)
        invariants.stays_up(scene.fleet.exits)
        invariants.no_crash(await scene.check(job_id))
        invariants.hits(scene.plan.hits(), MOST_HITS)
        told(scene, began, rested=len(said(scene, "unit.rests")), requests=scene.plan.hits().total())


@pytest.mark.parametrize("fault", ["failing_store", "slow_store"])
async def test_errors_of_the_store_cost_time_only(lab: Lab, fault: str) -> None:
    """Every URL has its right outcome, and every digest its bytes."""
    await drill_errors(lab, fault=fault)


async def test_errors_of_the_store_are_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """If they count as bugs, units die."""
    with breaks("finishes", "conservation"):
        await drill_errors(lab, fault="failing_store", share=0.1, mutant="storage_is_a_bug")  # of 100 calls one in forty may spare all
