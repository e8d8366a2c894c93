"""Workers are killed one after the other, killed all at once, and replaced one by one with SIGTERM."""

import asyncio

from tests.drills import invariants
from tests.drills.api import Api
from tests.drills.conftest import Broken
from tests.drills.lab import FINISH_S, LEASE_S, SHORT_LEASE, Lab, Scene, until
from tests.drills.recovery import Recovery

SLOW: dict[str, object] = {"fetch.per_host": 2}
"""Two connections to each of four hosts: the job lasts longer than the faults."""

DRAIN_S = 30.0
"""``jobs.drain_s`` of the rolling restarts: enough for the units in hand, on a busy machine too."""

ROLLING = SLOW | {"jobs.drain_s": DRAIN_S, "jobs.lease_s": 15}
"""Settings of the rolling restarts, in which no lease runs out."""


async def drill_kills(lab: Lab, *, mutant: str | None = None, kills: int = 6) -> list[float]:
    """SIGKILL a random worker every second or two; a supervisor restarts it. Return how long each unit waited for its next run."""
    async with lab.open(120, latency_s=0.6, settings=SLOW | SHORT_LEASE) as scene, scene.connection() as connection:
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
    """After six kills every URL has its one right outcome, and a dead worker's units ran again within lease, sweep and two seconds."""
    took_s = await drill_kills(lab)
    print(f"units that ran again: {len(took_s)}, after at most {max(took_s, default=0):.2f} s")


async def test_killed_workers_are_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Without take-over the units of dead workers wait for ever."""
    with breaks("takeover"):
        await drill_kills(lab, mutant="no_takeover", kills=4)


async def drill_all_dead(lab: Lab, *, mutant: str | None = None, finish_s: float = FINISH_S) -> None:
    """Kill every worker; the API still answers and accepts; start workers again."""
    mutants = [mutant] if mutant else []
    async with lab.open(80, latency_s=0.3, settings=SLOW | SHORT_LEASE) as scene, Api.serving(scene) as api:
        workers = scene.fleet.start_workers(2, mutants=mutants)
        await scene.ready(2)
        urls = scene.plan.urls
        first = await api.submit(urls[:40], key="first")
        await until(lambda: scene.plan.hits().total() > 8)
        for worker in workers:
            worker.kill()
            await worker.ended()
        assert [await api.status(path) for path in ("/healthz", "/readyz", f"/v1/jobs/{first}")] == [200, 200, 200]
        second = await api.submit(urls[40:], key="second")
        await asyncio.sleep(LEASE_S)
        for worker in workers:
            scene.fleet.again(worker)
        await scene.finished(first, finish_s)
        await scene.finished(second, finish_s)
        invariants.only([first, second], await scene.check(first, second))


async def test_the_api_outlives_all_workers(lab: Lab) -> None:
    """It answers without workers, and the job that it accepts then is carried out by later workers."""
    await drill_all_dead(lab)


async def test_the_api_without_workers_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Without take-over the first job does not end."""
    with breaks("finishes"):
        await drill_all_dead(lab, mutant="no_takeover", finish_s=12)


async def drill_rolling(lab: Lab, *, mutant: str | None = None, restarts: int = 5) -> None:
    """SIGTERM one worker after the other under load; wait for its successor each time."""
    async with lab.open(150, latency_s=0.15, settings=ROLLING) as scene:
        workers = scene.fleet.start_workers(2, mutants=[mutant] if mutant else [])
        await scene.ready(2)
        job_id = await scene.submit()
        await until(lambda: scene.plan.hits().total() > 8)
        for number in range(restarts):
            await _replace(scene, workers[number % 2].name)
        await scene.finished(job_id)
        rows = await scene.check(job_id)
        invariants.no_crash(rows)
        invariants.drained(rows)
        invariants.asked_as_planned(scene.plan.pages, scene.plan.hits())


async def _replace(scene: Scene, name: str) -> None:
    worker = scene.fleet.processes[name]
    await worker.leaves(DRAIN_S + 2.0)
    scene.fleet.again(worker)
    await scene.ready(2)


async def test_rolling_restarts_cost_nothing(lab: Lab) -> None:
    """Exit code 0 within the drain, every request's outcome on record, and no request more than the origin made necessary."""
    await drill_rolling(lab)


async def test_rolling_restarts_are_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """A worker that exits at once cuts requests off."""
    with breaks("drained", "no_crash"):
        await drill_rolling(lab, mutant="leaves_at_once", restarts=2)
