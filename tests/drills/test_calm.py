"""The baseline without faults: the plan's outcomes, with forked workers and with the real command."""

import signal

from tests.drills import invariants
from tests.drills.lab import FINISH_S, Lab


async def test_every_invariant_holds_without_faults(lab: Lab) -> None:
    """Two workers, one job."""
    async with lab.open(60) as scene:
        scene.fleet.start_workers(2)
        await scene.ready(2)
        scene.measure()
        job_id = await scene.submit()
        await scene.finished(job_id)
        await scene.check(job_id)


async def test_the_real_command_behaves_as_the_fork_does(lab: Lab) -> None:
    """``python -m workers all``, without fork and shortened times: the same outcomes, and exit code 0 on SIGTERM."""
    async with lab.open(40) as scene:
        worker = scene.fleet.start_command("worker-real", "-m", "workers", "all")
        await scene.ready(1)
        job_id = await scene.submit()
        await scene.finished(job_id, 5 * FINISH_S)
        await scene.check(job_id)
        worker.send(signal.SIGTERM)
        assert await worker.ended() == 0


async def test_many_jobs_share_a_worker(lab: Lab) -> None:
    """Twelve small jobs, submitted one after the other: each has its right outcomes."""
    async with lab.open(96, latency_s=0.1, settings={"fetch.per_host": 4}) as scene:
        scene.fleet.start_workers(1)
        await scene.ready(1)
        urls = scene.plan.urls
        job_ids = [await scene.submit(urls[start : start + 8]) for start in range(0, 96, 8)]
        for job_id in job_ids:
            await scene.finished(job_id)
        invariants.only(job_ids, await scene.check(*job_ids))
        invariants.asked_as_planned(scene.plan.pages, scene.plan.hits())
