"""The leases of one worker: renewed by a task of their own, which also brings the units the news of pause, cancel, and another's turn."""

import asyncio
import time

import errors
from app.db import Database, sending, units
from app.db.fairness import Holding, gives_way
from app.domain import JobState, UnitKind
from logging_setup import get_logger
from workers.stops import StopReason
from workers.unit import Work

__all__ = ["Leases"]

log = get_logger(__name__)

GIVES_WAY = frozenset({UnitKind.FETCH, UnitKind.VALIDATE, UnitKind.COMPRESS})
"""Units that end in order between two images and go on there."""

LOOK_S = 2.0
"""Seconds between two looks at what is wanted of the jobs at work."""


class Leases:
    """The units that one worker holds."""

    def __init__(self, db: Database, *, owner: str, lease_s: float, look_s: float = LOOK_S) -> None:
        self._db = db
        self._owner = owner
        self._lease_s = lease_s
        self._look_s = min(look_s, lease_s / 3)
        self._held: dict[str, Work] = {}
        self._draining = False
        self._renewed_at = self.turned_at = time.monotonic()

    def add(self, work: Work) -> None:
        """Renew this unit's lease from now on."""
        self._held[work.unit.id] = work
        if self._draining:
            work.ask_to_stop(StopReason.DRAIN)

    def remove(self, work: Work) -> None:
        """Let go of a unit."""
        if self._held.get(work.unit.id) is work:
            del self._held[work.unit.id]

    def __len__(self) -> int:
        return len(self._held)

    def drain(self) -> None:
        """Ask every unit to end in order, those that come yet as well."""
        self._draining = True
        for work in list(self._held.values()):
            work.ask_to_stop(StopReason.DRAIN)

    async def keep(self) -> None:
        """Renew and look, until cancelled. A database that cannot answer is waited for; leases that run out meanwhile are lost."""
        while True:
            self.turned_at = time.monotonic()
            await asyncio.sleep(self._look_s)
            try:
                await self.tend()
            except (errors.DatabaseConnectionError, errors.StorageError) as error:
                log.warning("leases.not_renewed", error=str(error))
            self._drop_overdue()

    async def tend(self) -> None:
        """One round."""
        if not self._held:
            return
        if time.monotonic() - self._renewed_at >= self._lease_s / 3 - self._look_s / 2:
            await self._renew()
        await self._look()
        await self._give_way()

    async def _renew(self) -> None:
        held = dict(self._held)
        asked_at = time.monotonic()
        kept = await units.renew(self._db, self._owner, [(unit_id, work.unit.epoch) for unit_id, work in held.items()], self._lease_s)
        self._renewed_at = asked_at
        for unit_id, work in held.items():
            if unit_id in kept:
                work.lease_deadline = asked_at + self._lease_s
            elif self._held.get(unit_id) is work and not work.is_settled:
                work.ask_to_stop(StopReason.LOST)

    async def _look(self) -> None:
        asked_for = list(self._held.values())  # of what begins meanwhile the answer says nothing
        wanted = await units.held(self._db, [work.unit.job_id for work in asked_for])
        for work in asked_for:
            if self._held.get(work.unit.id) is not work:
                continue
            state = wanted.get(work.unit.job_id, JobState.CANCELLED)  # a job that was deleted is not wanted
            if state is JobState.CANCELLED:
                work.ask_to_stop(StopReason.CANCELLED)
            elif state is JobState.PAUSED:
                work.ask_to_stop(StopReason.PAUSED)

    async def _give_way(self) -> None:
        """Where a user waits for a slot and has none, one unit at most that another user has too many of ends its turn in order."""
        able = [work for work in self._held.values() if work.unit.kind in GIVES_WAY and not work.stop.is_set()]
        if not able or any(work.stop_reason is StopReason.TURN for work in self._held.values()):
            return
        shares = await sending.shares(self._db)
        for queue in {work.unit.kind.queue for work in able}:
            holdings = [_holding(work) for work in able if work.unit.kind.queue == queue]
            chosen = self._held.get(gives_way(shares.get(queue, ()), holdings) or "")
            if chosen is not None:
                chosen.ask_to_stop(StopReason.TURN)

    def _drop_overdue(self) -> None:
        for work in list(self._held.values()):
            if time.monotonic() >= work.lease_deadline:
                work.ask_to_stop(StopReason.LOST)


def _holding(work: Work) -> Holding:
    return Holding(work.unit.id, work.job.user_id, time.monotonic() - work.began_at)
