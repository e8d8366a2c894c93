"""How long it takes until what a killed worker held runs again: read from the units' owners and epochs."""

import asyncio
import time
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from tests.drills.invariants import InvariantBroken
from tests.drills.lab import LEASE_S, SWEEP_S

__all__ = ["TAKEOVER_S", "Recovery", "held_by"]

TAKEOVER_S = LEASE_S + SWEEP_S + 2.0
"""Seconds from a SIGKILL until the unit runs again: the lease runs out, the sweep comes round, and a busy machine gets two more."""

LOOK_S = 0.05


async def held_by(connection: "asyncpg.Connection[Any]", pid: int) -> dict[str, int]:
    """The units that a process runs, with their epochs."""
    owners = [row["id"].rpartition("-")[0] for row in await connection.fetch("SELECT id FROM workers WHERE pid = $1", pid)]
    rows = await connection.fetch("SELECT id, epoch FROM units WHERE state = 'running' AND owner = ANY($1)", owners)
    return {row["id"]: row["epoch"] for row in rows}


class Recovery:
    """Follows the units of killed workers until others run them."""

    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self._connection = connection
        self._waiting: dict[str, tuple[int, float]] = {}
        self.took_s: list[float] = []

    async def follow(self, pid: int) -> None:
        """A process has just been killed."""
        killed_at = time.monotonic()
        for unit_id, epoch in (await held_by(self._connection, pid)).items():
            self._waiting[unit_id] = (epoch, killed_at)

    async def look(self, seconds: float) -> None:
        """Look for so long, and longer where there is nothing to wait for; none of them may take too long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            await self._look_once()
            await asyncio.sleep(LOOK_S)

    async def all_back(self) -> None:
        """Look until none is missing."""
        while self._waiting:
            await self.look(LOOK_S)

    async def _look_once(self) -> None:
        rows = await self._connection.fetch("SELECT id, epoch, state FROM units WHERE id = ANY($1)", list(self._waiting))
        for row in rows:
            epoch, killed_at = self._waiting[row["id"]]
            if row["state"] == "quarantined":  # killed too often without progress: heard one after the other, it waits its turn
                del self._waiting[row["id"]]
            elif row["epoch"] > epoch:
                self.took_s.append(time.monotonic() - killed_at)
                del self._waiting[row["id"]]
        late = [unit_id for unit_id, (_, killed_at) in self._waiting.items() if time.monotonic() - killed_at > TAKEOVER_S]
        if late:
            raise InvariantBroken("takeover", f"{len(late)} units of a killed worker do not run again after {TAKEOVER_S:g} s: {late[:3]}")
