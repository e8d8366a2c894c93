"""Zombies: a worker that is frozen past its lease and continues. Its unit belongs to another worker, and none of its writes may count."""

import asyncio
import json
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from tests.drills.conftest import Broken
from tests.drills.fleet import Process
from tests.drills.lab import SHORT_LEASE, Lab, Scene, until
from tests.drills.plan import Kind
from tests.drills.recovery import held_by
from tests.drills.world import Rows
from tests.origin import Exchange, image

STOPS = frozenset({"unit.stopped", "unit.lease_lost"})
"""Events of a worker that notices that it has lost its unit."""


async def drill_zombie(lab: Lab, *, mutant: str | None = None) -> Process:
    """Freeze a worker that waits for an answer, let its successor finish the job, then thaw it: the answer is there."""
    async with lab.open(30, settings=SHORT_LEASE | {"jobs.builder_slots": 1}) as scene:
        gate = _hold_first_request(scene)
        zombie = scene.fleet.start("worker-zombie", "workers", ["all"], mutants=[mutant] if mutant else [])
        await scene.ready(1)
        job_id = await scene.submit()
        await asyncio.wait_for(gate.asked.wait(), 90)
        async with scene.connection() as connection:
            await until(lambda: held_by(connection, zombie.pid))
            await _freeze(connection, zombie)
            gate.answer.set()
            scene.fleet.start_workers(1, prefix="worker-successor")
            rows = await scene.finished(job_id)
        zombie.cont()
        await until(lambda: _has_acted(scene, zombie, rows))
        await asyncio.sleep(1.0)  # for what it writes next
        await scene.check(job_id)
        return zombie


async def _freeze(connection: "asyncpg.Connection[Any]", zombie: Process) -> None:
    """Stop it outside of any transaction: a frozen process keeps its locks, and the sweeper would wait for them."""
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    while True:
        zombie.stop()
        await asyncio.sleep(0.2)  # for what PostgreSQL has received and not begun
        if not await connection.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {others} AND xact_start IS NOT NULL"):
            return
        zombie.cont()
        await asyncio.sleep(0.05)


async def _has_acted(scene: Scene, zombie: Process, rows: Rows) -> bool:
    """Whether it has noticed its loss, or has changed what its successor finished."""
    return bool(STOPS & set(events_of(zombie))) or await scene.rows() != rows


class Gate:
    """Holds the first answer of one URL back until ``answer`` is set."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()


def _hold_first_request(scene: Scene) -> Gate:
    gate = Gate()
    page = next(page for page in scene.plan.pages.values() if page.kind is Kind.OK)

    async def held(exchange: Exchange) -> None:
        gate.asked.set()
        await asyncio.wait_for(gate.answer.wait(), 90)
        await image(page.body)(exchange)

    scene.plan.origin.script(page.path, held, image(page.body))
    return gate


def events_of(process: Process) -> list[str]:
    """Names of the events in a process's log."""
    lines = process.log_file.read_text().splitlines()
    return [str(json.loads(line).get("event")) for line in lines if line.startswith("{")]


async def test_a_zombie_stops_by_itself(lab: Lab) -> None:
    """It notices by its own clock that its lease has run out."""
    zombie = await drill_zombie(lab)
    assert STOPS & set(events_of(zombie))


async def test_the_database_refuses_a_zombie_that_does_not_notice(lab: Lab) -> None:
    """Without the check of its clock and renewals the fence is enough: every write names its epoch."""
    zombie = await drill_zombie(lab, mutant="blind")
    assert "unit.lease_lost" in events_of(zombie)


async def test_a_zombie_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Without the fence the rows of the finished job change."""
    with breaks("conservation", "counted"):
        await drill_zombie(lab, mutant="no_fence")
