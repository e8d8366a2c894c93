"""Duplicate messages and concurrent sweepers: claim and lock decide, not the messages."""

import asyncio
import json
from dataclasses import replace
from itertools import pairwise

from app.job_states import UnitKind
from app.queue import Envelope
from tests.drills import invariants
from tests.drills.conftest import Broken
from tests.drills.invariants import InvariantBroken
from tests.drills.lab import FINISH_S, Lab, Scene

COPIES = 5
"""Additional messages for each unit."""


async def drill_duplicates(lab: Lab, *, mutant: str | None = None, finish_s: float = FINISH_S) -> None:
    """Send every unit's message five times more under other ids, so that two workers race for each."""
    async with lab.open(60, latency_s=0.1) as scene:
        scene.fleet.start_workers(2, mutants=[mutant] if mutant else [])
        await scene.ready(2)
        sending = asyncio.create_task(_send_copies(scene))
        try:
            job_id = await scene.submit()
            await scene.finished(job_id, finish_s)
            rows = await scene.check(job_id)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        invariants.no_storm(rows, 1)
        invariants.asked_as_planned(scene.plan.pages, scene.plan.hits())


async def _send_copies(scene: Scene) -> None:
    """Copy the message of every unit as soon as its row is there."""
    seen: set[str] = set()
    async with scene.connection() as connection:
        while True:
            units = await connection.fetch("SELECT id, job_id, kind, epoch, payload FROM units WHERE NOT id = ANY($1)", list(seen))
            for unit in units:
                seen.add(unit["id"])
                ids = {"job_id": unit["job_id"], "unit_id": unit["id"]}
                if chunk_id := unit["payload"].get("chunk_id"):
                    ids["chunk_id"] = chunk_id
                message = Envelope("", UnitKind(unit["kind"]), tuple(ids.items()))
                await scene.resources.queue.send([replace(message, token=f"{unit['id']}:copy-{copy}") for copy in range(COPIES)])
            await asyncio.sleep(0.02)


async def test_a_message_that_comes_six_times_counts_once(lab: Lab) -> None:
    """Each unit is claimed once, and each URL requested as often as without duplicates."""
    await drill_duplicates(lab)


async def test_duplicates_are_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """A claim without its condition runs units that are running or done."""
    with breaks("finishes", "conservation", "counted", "hits", "asked_once_settled", "no_storm"):
        await drill_duplicates(lab, mutant="claims_anything", finish_s=12)


async def drill_sweepers(lab: Lab, *, mutants: tuple[str, ...] = (), finish_s: float = FINISH_S) -> None:
    """Two times two workers, each of which tries to sweep all the time."""
    async with lab.open(80, latency_s=0.05, settings={"jobs.sweep_interval_s": INTERVAL_S}) as scene:
        scene.fleet.start_workers(2, mutants=["storm_of_sweeps", *mutants], prefix="worker-one")
        scene.fleet.start_workers(2, mutants=["storm_of_sweeps", *mutants], prefix="worker-two")
        await scene.ready(4)
        job_id = await scene.submit()
        await scene.finished(job_id, finish_s)
        rows = await scene.check(job_id)
        invariants.no_crash(rows)
        invariants.no_storm(rows, 1)
        invariants.asked_as_planned(scene.plan.pages, scene.plan.hits())
        _require_single_flight(scene)


def _require_single_flight(scene: Scene) -> None:
    """Nobody began a sweep while another held the lock, which lasts four fifths of the interval. Its holder may take it again."""
    begun = sorted(sweep for log in scene.fleet.logs for sweep in _sweeps(log.read_text().splitlines()))
    early = [
        later[0] - earlier[0] for earlier, later in pairwise(begun) if later[1] != earlier[1] and later[0] - earlier[0] < 0.5 * INTERVAL_S
    ]
    assert begun
    if len(early) > BUSY:
        raise InvariantBroken("single_flight", f"{len(early)} of {len(begun)} sweeps began beside another's, one after {min(early):.3f} s")


INTERVAL_S = 4.0
"""``jobs.sweep_interval_s`` here. A worker logs its sweep some time after it took the lock, and may be stalled in between."""

BUSY = 3
"""Sweeps that may seem too early all the same. Without the lock there are hundreds."""


def _sweeps(lines: list[str]) -> list[tuple[float, int]]:
    """Time and pid of each sweep in a log."""
    records = [json.loads(line) for line in lines if line.startswith("{")]
    return [(float(record["at"]), int(record["pid"])) for record in records if record.get("event") == "drill.sweep"]


async def test_sweepers_take_turns(lab: Lab) -> None:
    """Only one worker sweeps at a time, and sends each message once."""
    await drill_sweepers(lab)


async def test_sweepers_are_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Without the lock they all sweep."""
    with breaks("single_flight"):
        await drill_sweepers(lab, mutants=("no_lock",))
