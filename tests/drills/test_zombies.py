"""A worker that is frozen past its lease and goes on: its work is another's by then, and nothing it writes may count."""

import asyncio
import json

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
    """Freeze the worker that waits for an answer until its successor has finished the job, let the answer come, thaw it."""
    async with lab.open(30, settings=SHORT_LEASE | {"jobs.builder_slots": 1}) as scene:
        gate = _hold_first_request(scene)
        zombie = scene.fleet.start("worker-zombie", "workers", ["all"], mutants=[mutant] if mutant else [])
        await scene.ready(1)
        job_id = await scene.submit()
        await asyncio.wait_for(gate.asked.wait(), 90)
        async with scene.connection() as connection:
            await until(lambda: held_by(connection, zombie.pid))
            zombie.stop()
            gate.answer.set()
            scene.fleet.start_workers(1, prefix="worker-successor")
            rows = await scene.finished(job_id)
        zombie.cont()
        await until(lambda: _has_acted(scene, zombie, rows))
        await asyncio.sleep(1.0)  # for what it writes next
        await scene.check(job_id)
        return zombie


async def _has_acted(scene: Scene, zombie: Process, rows: Rows) -> bool:
    """Whether it has noticed its loss, or has changed what its successor finished."""
    return bool(STOPS & set(events_of(zombie))) or await scene.rows() != rows


class Gate:
    """Holds one URL's first answer back."""

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
    """The names of the events in a process's log."""
    lines = process.log_file.read_text().splitlines()
    return [str(json.loads(line).get("event")) for line in lines if line.startswith("{")]


async def test_a_zombie_stops_by_itself(lab: Lab) -> None:
    """It sees by its own clock that its lease has run out, and says so."""
    zombie = await drill_zombie(lab)
    assert STOPS & set(events_of(zombie))


async def test_a_zombie_that_does_not_know_is_refused_by_the_database(lab: Lab) -> None:
    """Without its own clock and renewals the fence alone holds: every write names its epoch."""
    zombie = await drill_zombie(lab, mutant="blind")
    assert "unit.lease_lost" in events_of(zombie)


async def test_a_zombie_is_proved_by_a_mutant(lab: Lab, breaks: type[Broken]) -> None:
    """Where the database believes whoever writes, the finished job's rows change."""
    with breaks("conservation", "counted"):
        await drill_zombie(lab, mutant="no_fence")
