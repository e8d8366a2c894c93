"""All faults in one job: workers, decoders, Redis and PostgreSQL are killed, frozen and flushed, in an order drawn from a seed."""

import asyncio
import time
from collections import Counter

import pytest

from tests.drills.conftest import Broken
from tests.drills.lab import SHORT_LEASE, Lab, Scene
from tests.drills.matter import calm_urls, ends_as, said
from tests.drills.plan import Page
from tests.drills.soak import SMALL, Storm, Strength, choose_strength
from tests.drills.world import Rows
from tests.services import PostgresServer, RedisServer

SETTINGS = SHORT_LEASE | {"fetch.per_host": 4, "jobs.chunk_size": 25, "jobs.drain_s": 3}


async def drill_soak(lab: Lab, strength: Strength, *, mutant: str | None = None, finish_s: float | None = None) -> None:
    """One job under all faults, and its end after them."""
    with RedisServer(keep=lab.seed % 2 == 0) as redis, PostgresServer() as postgres:
        async with lab.open(strength.urls, latency_s=strength.latency_s, settings=SETTINGS, redis=redis, postgres=postgres) as scene:
            storm = Storm(scene, redis, postgres)
            scene.fleet.start_workers(strength.workers, mutants=[mutant] if mutant else [])
            await scene.ready(strength.workers, 60)
            job_id = await scene.submit(calm_urls(scene))
            began = time.monotonic()
            async with scene.fleet.supervised():
                await storm.run(strength)
                stormy_s, over_at = time.monotonic() - began, time.time()
                await scene.finished(job_id, finish_s or strength.finish_s)
            ended = (await scene.rows()).of(job_id)
            crashed = _spare_the_crashed(scene, ended, storm.done["decoder"])
            _tell(lab, scene, storm, stormy_s, (ended.jobs[0].finished_at or 0.0) - over_at, crashed)
            rows = await scene.check(job_id)
            assert not [image.url for image in rows.images if image.reason == "poison"]


def _spare_the_crashed(scene: Scene, rows: Rows, most: int) -> list[Page]:
    """Accept ``decoder_crash`` for at most one image per killed decoder."""
    crashed = [scene.plan.pages[image.url] for image in rows.images if image.reason == "decoder_crash"]
    assert len(crashed) <= most
    for page in crashed:
        ends_as(scene, page, ("rejected", "decoder_crash"))
    return crashed


def _tell(lab: Lab, scene: Scene, storm: Storm, stormy_s: float, after_s: float, crashed: list[Page]) -> None:
    hits = Counter(scene.plan.hits().values())
    codes = Counter(one.code for one in scene.fleet.exits)
    print(f"soak: seed {lab.seed}, faults {dict(storm.done)} in {stormy_s:.0f} s, processes that ended by exit code {dict(codes)}")
    print(f"soak: the job ended {after_s:.1f} s after the last fault; URLs by requests {dict(sorted(hits.items()))}")
    lines = {event: len(said(scene, event)) for event in ("unit.taken_back", "unit.quarantined", "quarantine.ended", "image.poison")}
    print(f"soak: {lines}, verdicts lost with their decoders {len(crashed)}")


async def test_soak(lab: Lab) -> None:
    """Every URL has its one right outcome; nothing is doubled, blamed or left over."""
    await drill_soak(lab, choose_strength())


@pytest.mark.parametrize("mutant", ["no_takeover"])
async def test_the_soak_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken], mutant: str) -> None:
    """Without take-over the job does not end."""
    with breaks("finishes"):
        await drill_soak(lab, SMALL, mutant=mutant, finish_s=25.0)


async def test_a_seed_repeats_the_soak(lab: Lab) -> None:
    """A failure can be repeated: plan and faults are drawn from the seed only."""
    async with lab.open(20) as one:
        first = (one.plan.urls, one.dice.random())
    await asyncio.sleep(0)
    async with lab.open(20) as other:
        second = (other.plan.urls, other.dice.random())
    assert [url.rpartition("/")[2] for url in first[0]] == [url.rpartition("/")[2] for url in second[0]]
    assert first[1] == second[1]
