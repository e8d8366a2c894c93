"""Fairness: a small job beside one with very many URLs on a slow host takes about as long as alone."""

import asyncio
import time

import pytest

from app.jobs.settle import resolve_spec, store_urls
from app.jobs.submit import Caller, submit_build
from app.spec import JobRequest
from tests.drills import invariants
from tests.drills.conftest import Broken
from tests.drills.invariants import InvariantBroken
from tests.drills.lab import Lab, Scene, until
from tests.drills.matter import LONG_S, told
from tests.drills.plan import Kind, Page
from tests.drills.stopwatch import Stopwatch
from tests.images.samples import encode, photo
from tests.origin import Exchange, Step, image

GREEDY = 600
"""URLs of the big job, on one host that takes four seconds for each, two at a time: a chunk of it takes more than a minute."""

FLOOR_S = 12.0
"""Seconds below which a time is mostly noise on a busy machine. Behind the big job the small one waits for more than a minute."""

TIMES = 2.0
"""Factor by which the small job may be slower beside the big one."""


class SlowHost:
    """A host that takes ``seconds`` for each answer."""

    def __init__(self) -> None:
        self.seconds = 4.0

    def add_pages(self, scene: Scene, count: int) -> list[str]:
        """Add URLs on this host, all with the same bytes; return them."""
        body = encode(photo(96, 96, seed=5001))
        urls = []
        for number in range(count):
            path = f"/greedy-{number}.jpg"
            scene.plan.origin.script(path, self._step(body))
            url = scene.plan.origin.url(path, "127.0.0.20")
            scene.plan.pages[url] = Page(url, path, Kind.DUPLICATE, body, "", frozenset({("kept", None), ("duplicate", "duplicate_exact")}))
            urls.append(url)
        return urls

    def _step(self, body: bytes) -> Step:
        async def step(exchange: Exchange) -> None:
            await exchange.rest(self.seconds)
            await image(body)(exchange)

        return step


async def submit_as(scene: Scene, user: str, urls: list[str]) -> str:
    """Submit URLs as a user; return the job's id."""
    request = JobRequest(urls=urls, validation_level="basic", dedupe="exact", export_format="files")
    spec = resolve_spec(scene.resources, request, url_list=await store_urls(scene.resources, urls))
    job_id = (await submit_build(scene.resources, spec, name=user, caller=Caller(user))).job_id
    scene.submitted[job_id] = urls
    return job_id


async def drill_greedy(lab: Lab, *, mutant: str | None = None) -> None:
    """Run a small job alone, then one like it beside the big one. At the end the slow host becomes fast, so that the big job ends."""
    began = time.monotonic()
    settings = {"fetch.per_host": 2, "jobs.builder_slots": 4, "jobs.validator_slots": 2, "validate.placeholder_min": 0}
    async with lab.open(60, latency_s=0.02, settings=settings) as scene:
        small = [url for url, page in scene.plan.pages.items() if page.costs == 1]
        half = len(small) // 2
        slow_host = SlowHost()
        big = slow_host.add_pages(scene, GREEDY)
        scene.fleet.start_workers(1, mutants=[mutant] if mutant else [])
        await scene.ready(1)
        alone_s = await _time(scene, await submit_as(scene, "small", small[:half]), LONG_S)
        greedy = await submit_as(scene, "greedy", big)
        await until(lambda: _running(scene, greedy, 4), 60)
        limit_s = TIMES * max(alone_s, FLOOR_S)
        beside = await submit_as(scene, "small", small[half:])
        beside_s = await _time(scene, beside, limit_s)
        hits = sum("/greedy-" in url for url in scene.plan.hits())
        slow_host.seconds = 0.0
        told(scene, began, alone_s=round(alone_s, 1), beside_s=round(beside_s, 1), greedy_hits=hits)
        await scene.finished(greedy, LONG_S)
        rows = await scene.rows()
        invariants.conservation(scene.pages_of(greedy), rows.of(greedy))
        invariants.counted(rows)
        invariants.no_crash(rows)
        invariants.asked_as_planned(scene.pages_of(greedy), scene.plan.hits())


async def _running(scene: Scene, job_id: str, count: int) -> bool:
    units = (await scene.rows()).of(job_id).units
    return sum(unit.kind == "fetch" and unit.state == "running" for unit in units) >= count


async def _time(scene: Scene, job_id: str, within_s: float) -> float:
    """Seconds until a job's end, on a :class:`Stopwatch`. Breaks the invariant ``fair`` if it takes longer than that."""
    watch = Stopwatch()
    waiting = asyncio.create_task(scene.finished(job_id, LONG_S))
    try:
        while not waiting.done():
            if watch.elapsed_s > within_s:
                raise InvariantBroken("fair", f"a small job still runs after {within_s:.1f} s")
            await asyncio.wait([waiting], timeout=0.1)
        await waiting
        return watch.elapsed_s
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_small_job_is_not_held_up_by_a_big_one(lab: Lab) -> None:
    """It ends within twice its time alone; the big one loses nothing and requests nothing twice."""
    await drill_greedy(lab)


@pytest.mark.parametrize("mutant", ["first_come", "never_gives_way"])
async def test_fairness_is_proved_by_mutants(lab: Lab, breaks: type[Broken], mutant: str) -> None:
    """If the older job gets every free slot, or keeps its slots, the small one waits for minutes."""
    with breaks("fair"):
        await drill_greedy(lab, mutant=mutant)
