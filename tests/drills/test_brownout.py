"""An origin that answers 503 to everything gets few retries, and deferred URLs are fetched once it recovers."""

import contextlib
import time

from tests.drills import invariants
from tests.drills.conftest import Broken
from tests.drills.invariants import InvariantBroken
from tests.drills.lab import Lab, Scene, until
from tests.drills.matter import LONG_S, calm_urls, told
from tests.drills.plan import Kind, Page
from tests.origin import Exchange, Step, image, reply

MOST_RETRIES = 0.1
"""Most retries for each first attempt during the brown-out. A URL that comes back from its deferral makes a first attempt again."""

BROWN_OUT_S = 20.0
"""Longest brown-out: shorter than the 30 s of refusals after which the circuit breaker opens."""

SETTINGS = {"retry.budget": 0.1, "retry.budget_floor": 1}

MOST_HITS = 3


class Brownout:
    """Answers 503 to every request while ``is_bad``."""

    def __init__(self, scene: Scene) -> None:
        self.is_bad = True
        for url in calm_urls(scene):
            page = scene.plan.pages[url]
            scene.plan.origin.script(page.path, self._step(page))

    def _step(self, page: Page) -> Step:
        well = reply(404) if page.kind is Kind.MISSING else image(page.body)

        async def step(exchange: Exchange) -> None:
            await exchange.rest(0.02)
            with contextlib.suppress(ConnectionError):
                await (reply(503) if self.is_bad else well)(exchange)

        return step


async def drill_brown_out(lab: Lab, *, mutant: str | None = None) -> None:
    """Answer 503 until each URL was requested once, or for `BROWN_OUT_S`, then answer normally."""
    began = time.monotonic()
    async with lab.open(70, settings=SETTINGS) as scene:
        brownout = Brownout(scene)
        scene.fleet.start_workers(1, mutants=["impatient", *([mutant] if mutant else [])])
        await scene.ready(1)
        urls = calm_urls(scene)
        job_id = await scene.submit(urls)
        async with scene.fleet.supervised():
            ends_at = time.monotonic() + BROWN_OUT_S
            await until(lambda: len(scene.plan.hits()) == len(urls) or time.monotonic() > ends_at, LONG_S)
            requests = scene.plan.hits().total()
            brownout.is_bad, ended_at = False, time.time()
            deferred = [image for image in (await scene.rows()).images if image.state == "deferred"]
            await scene.finished(job_id, LONG_S)
        retries = await _retries_before(scene, job_id, ended_at)
        if retries > MOST_RETRIES * (requests - retries) + 1:
            raise InvariantBroken("amplification", f"{retries} of {requests} requests during the brown-out were retries")
        invariants.no_crash(await scene.check(job_id))
        invariants.hits(scene.plan.hits(), MOST_HITS)
        told(scene, began, urls=len(urls), requests=requests, deferred=len(deferred), in_all=scene.plan.hits().total())
        assert deferred


async def _retries_before(scene: Scene, job_id: str, ended_at: float) -> int:
    """Count the attempts that were followed by a wait in place, and so by a retry, before this time."""
    query = "SELECT count(*) FROM attempts WHERE job_id = $1 AND started_at + wait_s < $2 AND wait_cause IN ('backoff', 'retry_after')"
    async with scene.connection() as connection:
        return int(await connection.fetchval(query, job_id, ended_at))


async def test_a_brown_out_gets_few_retries(lab: Lab) -> None:
    """There are few retries while it lasts; every URL has its right outcome afterwards, after at most three requests."""
    await drill_brown_out(lab)


async def test_a_brown_out_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Without the retry budget every URL is retried at once."""
    with breaks("amplification"):
        await drill_brown_out(lab, mutant="no_budget")
