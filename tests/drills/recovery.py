"""Measures how long the units of a killed worker wait for their next run, from the units' owners and epochs."""

import asyncio
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from tests.drills.invariants import InvariantBroken
from tests.drills.lab import LEASE_S, SWEEP_S
from tests.drills.stopwatch import Stopwatch

__all__ = ["TAKEOVER_S", "Recovery", "held_by"]

TAKEOVER_S = LEASE_S + SWEEP_S + 2.0
"""Seconds from a SIGKILL to the unit's next run, on the drill's :class:`Stopwatch`: the lease, a sweep's interval, and 2 s for the rest."""

LOOK_S = 0.05


async def held_by(connection: "asyncpg.Connection[Any]", pid: int) -> dict[str, int]:
    """The units that a process runs, and their epochs."""
    owners = [row["id"].rpartition("-")[0] for row in await connection.fetch("SELECT id FROM workers WHERE pid = $1", pid)]
    rows = await connection.fetch("SELECT id, epoch FROM units WHERE state = 'running' AND owner = ANY($1)", owners)
    return {row["id"]: row["epoch"] for row in rows}


class Recovery:
    """Watches the units of killed workers until others run them."""

    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self._connection = connection
        self._waiting: dict[str, tuple[int, Stopwatch]] = {}
        self.took_s: list[float] = []

    async def follow(self, pid: int) -> None:
        """Follow the units of a process that has just been killed."""
        since = Stopwatch()
        for unit_id, epoch in (await held_by(self._connection, pid)).items():
            self._waiting[unit_id] = (epoch, since)

    async def look(self, seconds: float) -> None:
        """Watch the units for so long. Breaks the invariant ``takeover`` if one of them takes longer than ``TAKEOVER_S``."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while loop.time() < deadline:
            await self._look_once()
            await asyncio.sleep(LOOK_S)

    async def all_back(self) -> None:
        """Watch until every unit runs again."""
        while self._waiting:
            await self.look(LOOK_S)

    async def _look_once(self) -> None:
        rows = await self._connection.fetch("SELECT id, epoch, state FROM units WHERE id = ANY($1)", list(self._waiting))
        for row in rows:
            epoch, since = self._waiting[row["id"]]
            if row["state"] == "quarantined":  # killed too often without progress: quarantine runs units one after the other
                del self._waiting[row["id"]]
            elif row["epoch"] > epoch:
                self.took_s.append(since.elapsed_s)
                del self._waiting[row["id"]]
        late = [unit_id for unit_id, (_, since) in self._waiting.items() if since.elapsed_s > TAKEOVER_S]
        if late:
            raise InvariantBroken("takeover", f"{len(late)} units of a killed worker do not run again after {TAKEOVER_S:g} s: {late[:3]}")
