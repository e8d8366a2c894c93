"""Workers die: one after the other without a word, all at once, and in order while they are replaced."""

from tests.drills.conftest import Broken
from tests.drills.lab import Lab, until
from tests.drills.recovery import Recovery

SLOW = {"fetch.per_host": 2}
"""Four calm hosts with two places each: a job that lasts longer than the faults."""


async def drill_kills(lab: Lab, *, mutant: str | None = None, kills: int = 6) -> list[float]:
    """SIGKILL a worker at random every second or two; a supervisor restarts it. Returns how long each unit waited for its next run."""
    async with lab.open(120, latency_s=0.6, settings=SLOW) as scene, scene.connection() as connection:
        scene.fleet.start_workers(3, mutants=[mutant] if mutant else [])
        await scene.ready(3)
        recovery = Recovery(connection)
        job_id = await scene.submit()
        await until(lambda: scene.plan.hits().total() > 8)
        async with scene.fleet.supervised():
            for _ in range(kills):
                victim = scene.fleet.pick(scene.dice)
                victim.kill()
                await recovery.follow(victim.pid)
                await recovery.look(scene.dice.uniform(0.8, 1.8))
            await recovery.all_back()
            await scene.finished(job_id)
        await scene.check(job_id)
        assert len(scene.fleet.exits) >= kills
        return recovery.took_s


async def test_killed_workers_lose_nothing(lab: Lab) -> None:
    """After six kills every URL has its one right end, and what a dead worker held ran again within lease, sweep and two seconds."""
    took_s = await drill_kills(lab)
    print(f"units that ran again: {len(took_s)}, after at most {max(took_s, default=0):.2f} s")


async def test_killed_workers_are_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Where nobody takes over from the dead, their units wait for ever."""
    with breaks("takeover"):
        await drill_kills(lab, mutant="no_takeover", kills=4)
