"""Workers of two versions on one queue, and malformed messages: no unit is lost and no worker dies."""

import asyncio
import time
from typing import Any

import orjson
import pytest
from arq.constants import job_key_prefix

from app.queue import QUEUES
from tests.drills import faults, invariants
from tests.drills.conftest import Broken
from tests.drills.invariants import InvariantBroken
from tests.drills.lab import FINISH_S, Lab, Scene, until
from tests.drills.matter import LONG_S, said, told

OLD = 2
"""Number of old workers, which are alone until they have deleted a message."""

TAKEN_S = 2.0
"""Seconds in which workers, who poll several times a second, have taken what was sent."""


async def drill_mixed(lab: Lab, *, forgotten: str, mutant: str | None = None, finish_s: float = LONG_S) -> None:
    """Workers that lack one job function, as before an upgrade: arq deletes the messages that they take."""
    began = time.monotonic()
    mutants = [mutant] if mutant else []
    async with lab.open(40) as scene:
        scene.fleet.environment[faults.FORGOTTEN] = forgotten
        scene.fleet.start_workers(OLD, mutants=["forgetful", *mutants], prefix="worker-old")
        await scene.ready(OLD)
        job_ids = [await scene.submit(scene.plan.urls[:20]), await scene.submit(scene.plan.urls[20:])]
        await until(lambda: _is_sent(scene, forgotten), LONG_S)
        await asyncio.sleep(TAKEN_S)
        scene.fleet.start_workers(1, mutants=mutants, prefix="worker-new")
        await scene.ready(OLD + 1)
        async with scene.fleet.supervised():
            for job_id in job_ids:
                await scene.finished(job_id, finish_s)
        invariants.stays_up(scene.fleet.exits)
        invariants.no_crash(await scene.check(*job_ids))
        invariants.asked_as_planned(scene.plan.pages, scene.plan.hits())
        told(scene, began, moved=len(said(scene, "sweep.moved")))


async def _is_sent(scene: Scene, job: str) -> bool:
    """Whether a message of this job function was sent; only old workers are there to take it."""
    return any(unit.state == "queued" and job.startswith(unit.kind) for unit in (await scene.rows()).units)


@pytest.mark.parametrize("forgotten", ["validate_chunk", "export_dataset"])
async def test_an_older_worker_loses_nothing(lab: Lab, forgotten: str) -> None:
    """A deleted message is sent again until a worker with the function takes it."""
    await drill_mixed(lab, forgotten=forgotten)


async def test_mixed_versions_are_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Without a resend the deleted messages are gone."""
    with breaks("finishes"):
        await drill_mixed(lab, forgotten="validate_chunk", mutant="no_resend", finish_s=20)


GARBAGE: dict[str, bytes | None] = {
    "bytes": b"\x80\x04\x00\xff garbage",
    "nothing": b"",
    "a list": b"[1, 2]",
    "no message": b'{"a": 1}',
    "no payload": None,
    "unknown": orjson.dumps({"t": None, "f": "format_disk", "a": [], "k": {}, "et": 1}),
    "no ids": orjson.dumps({"t": None, "f": "process_chunk", "a": [], "k": {}, "et": 1}),
    "wrong ids": orjson.dumps({"t": 1, "f": "process_chunk", "a": [], "k": {"job_id": "x", "chunk_id": "y", "unit_id": "z"}, "et": 1}),
    "positional": orjson.dumps({"t": 1, "f": "validate_chunk", "a": [1, 2, 3], "k": {}, "et": 1}),
}
"""Payloads by the name of their message."""


async def drill_garbage(lab: Lab, *, mutant: str | None = None) -> None:
    """Malformed messages on both queues, before a job and during it."""
    began = time.monotonic()
    async with lab.open(60, latency_s=0.1, settings={"fetch.per_host": 2}) as scene:
        await _litter(scene, "before")
        scene.fleet.start_workers(2, mutants=[mutant] if mutant else [])
        async with scene.fleet.supervised():
            await _taken_away(scene)
            await scene.ready(2)
            job_id = await scene.submit()
            await until(lambda: scene.plan.hits().total() > 8)
            await _litter(scene, "among")
            await scene.finished(job_id)
            await _taken_away(scene)
        invariants.stays_up(scene.fleet.exits)
        invariants.no_crash(await scene.check(job_id))
        invariants.asked_as_planned(scene.plan.pages, scene.plan.hits())
        told(scene, began, messages=2 * len(QUEUES) * len(GARBAGE))


async def _litter(scene: Scene, when: str) -> None:
    pool = scene.resources.queue.pool
    for kind, queue in QUEUES.items():
        for name, body in GARBAGE.items():
            token = f"{name}-{kind}-{when}"
            if body is not None:
                await pool.set(job_key_prefix + token, body)
            await pool.zadd(queue, {token: 1})


async def _taken_away(scene: Scene) -> None:
    """Wait until no malformed message is left. Breaks the invariant ``stays_up`` if a worker died."""
    deadline = time.monotonic() + FINISH_S
    while left := await _left(scene.resources.queue.pool):
        invariants.stays_up(scene.fleet.exits)
        if time.monotonic() > deadline:
            raise InvariantBroken("taken_away", f"still in the queue: {left}")
        await asyncio.sleep(0.1)


async def _left(pool: Any) -> list[str]:
    members = [str(member) for queue in QUEUES.values() for member in await pool.zrange(queue, 0, -1)]
    return [member for member in members if any(name in member for name in GARBAGE)]


async def test_malformed_messages_are_dropped(lab: Lab) -> None:
    """They are removed; workers stay up, the job ends, and there are no additional requests."""
    await drill_garbage(lab)


async def test_malformed_messages_are_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """A worker that does not handle the error dies."""
    with breaks("stays_up"):
        await drill_garbage(lab, mutant="chokes")
