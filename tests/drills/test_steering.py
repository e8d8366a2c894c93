"""Cancel, pause, resume and delete in the middle of a job, as a client asks for them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.drills import invariants
from tests.drills.api import Api
from tests.drills.conftest import Broken
from tests.drills.invariants import InvariantBroken
from tests.drills.lab import Lab, Scene, until
from tests.drills.world import Rows

STOP_S = 5.0
"""Seconds after a wish in which the last request may go out."""


@asynccontextmanager
async def under_way(lab: Lab, mutant: str | None, api_mutant: str | None = None) -> AsyncIterator[tuple[Scene, Api, str]]:
    """A job that would take much longer than the drill looks at it."""
    strange = [api_mutant] if api_mutant else []
    async with lab.open(150, latency_s=0.5, settings={"fetch.per_host": 2}) as scene, Api.serving(scene, mutants=strange) as api:
        scene.fleet.start_workers(2, mutants=[mutant] if mutant else [])
        await scene.ready(2)
        job_id = await api.submit(scene.plan.urls, key="job")
        await until(lambda: scene.plan.hits().total() > 16)
        yield scene, api, job_id


async def _still(scene: Scene) -> None:
    """From five seconds after now on nobody asks the origin for anything."""
    await asyncio.sleep(STOP_S)
    hits = scene.plan.hits().total()
    await asyncio.sleep(1.5)
    invariants.silent_after([0.0] * hits + [1.5] * (scene.plan.hits().total() - hits), 0.0, "requests after a stop")


async def drill_cancel(lab: Lab, *, mutant: str | None = None) -> None:
    """Cancel; the job ends soon, and nothing of it is written any more."""
    async with under_way(lab, mutant) as (scene, api, job_id):
        assert (await api.steer(job_id, "cancelled")).status_code == 200
        await _still(scene)
        await scene.finished(job_id, 3)
        rows = await scene.rows()
        await asyncio.sleep(1.0)
        await _check_cancelled(scene, job_id, rows)


async def _check_cancelled(scene: Scene, job_id: str, before: Rows) -> None:
    rows = await scene.rows()
    if rows != before:
        raise InvariantBroken("no_write_after_end", "rows changed after the job had ended")
    mine = rows.of(job_id)
    invariants.counted(mine)
    still_open = [image.url for image in mine.images if image.state in ("pending", "deferred", "fetched", "valid")]
    if still_open or any(unit.state in invariants.OPEN_UNITS for unit in mine.units):
        raise InvariantBroken("conservation", f"of a cancelled job {len(still_open)} images are open, or units")


async def test_a_cancelled_job_stops_within_seconds(lab: Lab) -> None:
    """By the origin's own log; and no row changes after its end."""
    await drill_cancel(lab)


async def test_cancelling_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """A worker that does not look at what is wanted goes on."""
    with breaks("silent_after"):
        await drill_cancel(lab, mutant="deaf")


async def drill_pause(lab: Lab, *, mutant: str | None = None) -> None:
    """Pause, see that it rests, go on, and end as if nothing had been."""
    async with under_way(lab, mutant) as (scene, api, job_id):
        assert (await api.steer(job_id, "paused")).status_code == 200
        await _still(scene)
        [job] = (await scene.rows()).jobs
        assert (job.state, job.finished_at) == ("paused", None)
        assert (await api.steer(job_id, "running")).status_code == 200
        await scene.finished(job_id)
        invariants.asked_as_planned(scene.plan.pages, scene.plan.hits())
        rows = await scene.check(job_id)
        invariants.drained(rows)
        invariants.no_crash(rows)


async def test_a_paused_job_rests_and_goes_on(lab: Lab) -> None:
    """No request while it rests, none twice when it goes on."""
    await drill_pause(lab)


async def test_pausing_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """A worker that does not look at what is wanted goes on."""
    with breaks("silent_after"):
        await drill_pause(lab, mutant="deaf")


async def drill_delete(lab: Lab, *, api_mutant: str | None = None) -> None:
    """Delete is refused while the job works; after a cancel it takes everything, and nothing comes back."""
    async with under_way(lab, None, api_mutant) as (scene, api, job_id):
        [job] = (await scene.rows()).jobs
        if (status := (await api.delete(job.dataset_id)).status_code) != 409:
            raise InvariantBroken("refused_at_work", f"a dataset under work is deleted with {status}")
        assert (await api.steer(job_id, "cancelled")).status_code == 200
        asked_at = time.monotonic()
        while (await api.delete(job.dataset_id)).status_code == 409:
            await asyncio.sleep(0.05)
            if time.monotonic() > asked_at + STOP_S + 3:
                raise InvariantBroken("finishes", "the cancelled job cannot be deleted")
        await _still(scene)
        rows = await scene.rows()
        if rows != Rows():
            raise InvariantBroken("no_write_after_end", f"a deleted dataset has rows: {rows.jobs}, {len(rows.images)} images")
        assert len(scene.fleet.living) == 3


async def test_a_deleted_dataset_stays_deleted(lab: Lab) -> None:
    """Workers that held units of it write nothing, and live on."""
    await drill_delete(lab)


async def test_deleting_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """An API that does not look whether somebody works on it deletes at once."""
    with breaks("refused_at_work"):
        await drill_delete(lab, api_mutant="deletes_anything")
