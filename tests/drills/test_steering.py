"""Cancel, pause, resume and delete in the middle of a job, as a client asks for them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.drills import invariants
from tests.drills.api import Api
from tests.drills.conftest import Broken
from tests.drills.invariants import InvariantBroken
from tests.drills.lab import Lab, Scene, until
from tests.drills.stopwatch import Stopwatch
from tests.drills.world import Rows

STOP_S = 5.0
"""Seconds after the client's request in which the last request to the origin may go out, on a :class:`Stopwatch`."""

SILENT_S = 1.5
"""Seconds without a request after which a job counts as stopped: it makes eight in a second."""


@asynccontextmanager
async def under_way(
    lab: Lab, mutant: str | None, api_mutant: str | None = None, *, count: int = 200, latency_s: float = 1.0
) -> AsyncIterator[tuple[Scene, Api, str]]:
    """A running job that would take much longer than the drill."""
    mutants = [api_mutant] if api_mutant else []
    async with lab.open(count, latency_s=latency_s, settings={"fetch.per_host": 2}) as scene, Api.serving(scene, mutants=mutants) as api:
        scene.fleet.start_workers(2, mutants=[mutant] if mutant else [])
        await scene.ready(2)
        job_id = await api.submit(scene.plan.urls, key="job")
        await until(lambda: scene.plan.hits().total() > 16)
        yield scene, api, job_id


async def _stops(scene: Scene) -> None:
    """The origin gets no more requests from five seconds after now."""
    watch, silence = Stopwatch(), Stopwatch()
    hits = scene.plan.hits().total()
    while silence.elapsed_s < SILENT_S:
        await asyncio.sleep(0.05)
        now = scene.plan.hits().total()
        if now != hits:
            hits, silence = now, Stopwatch()
            invariants.silent_after([watch.elapsed_s], STOP_S, "requests after a stop")


async def drill_cancel(lab: Lab, *, mutant: str | None = None) -> None:
    """Cancel. The job ends soon, and none of its rows changes after its end."""
    async with under_way(lab, mutant) as (scene, api, job_id):
        assert (await api.steer(job_id, "cancelled")).status_code == 200
        await _stops(scene)
        await scene.finished(job_id)
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
    """The origin's own log shows it, and no row changes after the job's end."""
    await drill_cancel(lab)


async def test_cancelling_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """A worker that does not look at a job's wanted state continues."""
    with breaks("silent_after"):
        await drill_cancel(lab, mutant="deaf")


async def test_a_paused_job_rests_and_resumes(lab: Lab) -> None:
    """It makes no request while paused and none twice when resumed. The mutant of the cancel proves it: both are read in one place."""
    async with under_way(lab, None, count=80, latency_s=0.5) as (scene, api, job_id):
        assert (await api.steer(job_id, "paused")).status_code == 200
        await _stops(scene)
        [job] = (await scene.rows()).jobs
        assert (job.state, job.finished_at) == ("paused", None)
        assert (await api.steer(job_id, "running")).status_code == 200
        await scene.finished(job_id)
        invariants.asked_as_planned(scene.plan.pages, scene.plan.hits())
        rows = await scene.check(job_id)
        invariants.drained(rows)
        invariants.no_crash(rows)


async def drill_delete(lab: Lab, *, api_mutant: str | None = None) -> None:
    """Delete is refused while the job runs. After a cancel it removes everything, and no row comes back."""
    async with under_way(lab, None, api_mutant) as (scene, api, job_id):
        [job] = (await scene.rows()).jobs
        if (status := (await api.delete(job.dataset_id)).status_code) != 409:
            raise InvariantBroken("refused_at_work", f"the dataset of a running job is deleted with {status}")
        assert (await api.steer(job_id, "cancelled")).status_code == 200
        watch = Stopwatch()
        while (await api.delete(job.dataset_id)).status_code == 409:
            await asyncio.sleep(0.05)
            if watch.elapsed_s > STOP_S + 3:
                raise InvariantBroken("finishes", "the cancelled job cannot be deleted")
        await _stops(scene)
        rows = await scene.rows()
        if rows != Rows():
            raise InvariantBroken("no_write_after_end", f"a deleted dataset has rows: {rows.jobs}, {len(rows.images)} images")
        assert len(scene.fleet.living) == 3


async def test_a_deleted_dataset_stays_deleted(lab: Lab) -> None:
    """Workers that held units of it write nothing, and continue to run."""
    await drill_delete(lab)


async def test_deleting_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """An API that does not check whether a job works on the dataset deletes at once."""
    with breaks("refused_at_work"):
        await drill_delete(lab, api_mutant="deletes_anything")
