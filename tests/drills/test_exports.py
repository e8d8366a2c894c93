"""A worker dies at each step of an export: the export is visible as a whole or not at all, and the job ends with one good export."""

import asyncio
import time

import pytest

from tests.drills import faults, invariants
from tests.drills.conftest import Broken
from tests.drills.invariants import InvariantBroken
from tests.drills.lab import SHORT_LEASE, Lab, until
from tests.drills.matter import LONG_S, told
from tests.drills.world import read_disk


async def drill_export_killed(lab: Lab, *, step: str, mutant: str | None = None) -> None:
    """SIGKILL the worker at one step, check the store, and start another worker."""
    began = time.monotonic()
    async with lab.open(60, settings=SHORT_LEASE) as scene:  # more samples than an export reads at a time
        scene.fleet.environment[faults.DIES_AT] = step
        [worker] = scene.fleet.start_workers(1, mutants=["dies_at_a_step", *([mutant] if mutant else [])])
        await scene.ready(1)
        job_id = await scene.submit()
        await until(lambda: not worker.is_alive, LONG_S)
        assert worker.exit_code == -9
        rows = await scene.rows()
        invariants.archive(rows, await asyncio.to_thread(read_disk, scene.store))
        [export] = rows.exports
        if export.state == "ready":
            raise InvariantBroken("archive", f"{export.id} was ready before it was verified")
        scene.fleet.again(worker)
        await scene.finished(job_id, LONG_S)
        rows = await scene.check(job_id)
        assert [one.state for one in rows.exports] == ["ready"]
        assert sorted(unit.epoch for unit in rows.units if unit.kind in ("export", "verify")) == [1, 2]
        told(scene, began, step=step)


@pytest.mark.parametrize("step", faults.STEPS)
async def test_an_export_is_whole_or_absent(lab: Lab, step: str) -> None:
    """Also at the moment of death; and the leftovers of the dead worker are removed."""
    await drill_export_killed(lab, step=step)


async def test_a_killed_export_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Publishing file by file shows a part of the export."""
    with breaks("archive"):
        await drill_export_killed(lab, step="before the rename", mutant="publishes_file_by_file")


async def test_a_killed_verification_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """An export that is ready once it is written has not been verified."""
    with breaks("archive"):
        await drill_export_killed(lab, step="before verifying", mutant="ready_unverified")
