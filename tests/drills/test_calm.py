"""No fault at all: what the plan foretells is what comes, through forked workers and through the real command."""

import signal

from tests.drills.lab import FINISH_S, Lab


async def test_nothing_goes_wrong_where_nothing_is_done(lab: Lab) -> None:
    """The baseline: every invariant holds after a quiet run of two workers."""
    async with lab.open(60) as scene:
        scene.fleet.start_workers(2)
        await scene.ready(2)
        scene.measure()
        job_id = await scene.submit()
        await scene.finished(job_id)
        await scene.check(job_id)


async def test_the_real_command_behaves_as_the_fork_does(lab: Lab) -> None:
    """``python -m workers all``, no fork and no haste: the same plan, the same end, and 0 on SIGTERM."""
    async with lab.open(40) as scene:
        worker = scene.fleet.start_command("worker-real", "-m", "workers", "all")
        await scene.ready(1)
        job_id = await scene.submit()
        await scene.finished(job_id, 2 * FINISH_S)
        await scene.check(job_id)
        worker.send(signal.SIGTERM)
        assert await worker.ended() == 0
