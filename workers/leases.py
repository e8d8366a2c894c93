"""The leases of one worker: a task renews them, checks whether the units' jobs were paused or cancelled, and preempts for waiting users."""

import asyncio
import time

import errors
from app.db import Database, outbox, units
from app.job_states import GATHERING, DesiredState, JobState, UnitKind
from app.jobs.fairness import Holding, should_preempt
from logging_setup import get_logger
from workers.unit import ClaimedUnit, StopReason

__all__ = ["Leases"]

log = get_logger(__name__)

PREEMPTIBLE = frozenset({UnitKind.FETCH, UnitKind.VALIDATE, UnitKind.COMPRESS})
"""Units that can stop in order between two images and continue there later."""

CHECK_S = 2.0
"""Seconds between two checks of the running units' jobs."""


class Leases:
    """The units that one worker has claimed. Implements :class:`workers.unit.LeaseKeeper`.

    Attributes:
        iterated_at: when :meth:`run` began its last iteration, monotonic seconds.
    """

    def __init__(self, db: Database, *, owner: str, lease_s: float, check_s: float = CHECK_S) -> None:
        self._db = db
        self._owner = owner
        self._lease_s = lease_s
        self._check_s = min(check_s, lease_s / 3)
        self._held: dict[str, ClaimedUnit] = {}
        self._draining = False
        self._renewed_at = self.iterated_at = time.monotonic()

    def add(self, unit: ClaimedUnit) -> None:
        """Renew this unit's lease from now on."""
        self._held[unit.row.id] = unit
        if self._draining:
            unit.request_stop(StopReason.DRAIN)

    def remove(self, unit: ClaimedUnit) -> None:
        """Stop renewing this unit's lease."""
        if self._held.get(unit.row.id) is unit:
            del self._held[unit.row.id]

    def __len__(self) -> int:
        return len(self._held)

    def drain(self) -> None:
        """Ask every unit to stop in order, including units that are claimed later."""
        self._draining = True
        for unit in list(self._held.values()):
            unit.request_stop(StopReason.DRAIN)

    async def run(self) -> None:
        """Renew and check until cancelled. During a database outage it retries; leases that run out meanwhile are lost."""
        while True:
            self.iterated_at = time.monotonic()
            await asyncio.sleep(self._check_s)
            try:
                await self.renew_and_check()
            except (errors.DatabaseConnectionError, errors.StorageError) as error:
                log.warning("leases.not_renewed", error=str(error))
            self._drop_overdue()

    async def renew_and_check(self) -> None:
        """One iteration of :meth:`run`."""
        if not self._held:
            return
        if time.monotonic() - self._renewed_at >= self._lease_s / 3 - self._check_s / 2:
            await self._renew()
        await self._check_jobs()
        await self._preempt()

    async def _renew(self) -> None:
        held = dict(self._held)
        asked_at = time.monotonic()
        renewed = await units.renew(self._db, self._owner, [(unit_id, unit.row.epoch) for unit_id, unit in held.items()], self._lease_s)
        self._renewed_at = asked_at
        for unit_id, unit in held.items():
            if unit_id in renewed:
                unit.lease_deadline = asked_at + self._lease_s
            elif self._held.get(unit_id) is unit and not unit.is_settled:
                unit.request_stop(StopReason.LOST)

    async def _check_jobs(self) -> None:
        held = list(self._held.values())  # the answer does not cover units that are claimed meanwhile
        states = await units.job_states(self._db, [unit.row.job_id for unit in held])
        for unit in held:
            if self._held.get(unit.row.id) is not unit:
                continue
            desired, state = states.get(unit.row.job_id, (DesiredState.CANCELLED, JobState.CANCELLED))  # a deleted job counts as cancelled
            if desired is DesiredState.CANCELLED:
                unit.request_stop(StopReason.CANCELLED)
            elif desired is DesiredState.PAUSED:
                unit.request_stop(StopReason.PAUSED)
            elif desired is DesiredState.FINISHED and unit.row.kind in GATHERING and not unit.finishes_early:
                unit.request_stop(StopReason.FINISHED)
            elif state is JobState.FINALIZING and unit.row.kind in GATHERING and not unit.is_unneeded:
                unit.request_stop(StopReason.TARGET_MET)

    async def _preempt(self) -> None:
        """If a user waits for a slot and has none, ask at most one unit of a user with more than their share to stop in order."""
        candidates = [unit for unit in self._held.values() if unit.row.kind in PREEMPTIBLE and not unit.stop.is_set()]
        if not candidates or any(unit.stop_reason is StopReason.TURN for unit in self._held.values()):
            return
        shares = await outbox.shares(self._db)
        for queue in {unit.row.kind.queue for unit in candidates}:
            holdings = [_holding(unit) for unit in candidates if unit.row.kind.queue == queue]
            chosen = self._held.get(should_preempt(shares.get(queue, ()), holdings) or "")
            if chosen is not None:
                chosen.request_stop(StopReason.TURN)

    def _drop_overdue(self) -> None:
        for unit in list(self._held.values()):
            if time.monotonic() >= unit.lease_deadline:
                unit.request_stop(StopReason.LOST)


def _holding(unit: ClaimedUnit) -> Holding:
    return Holding(unit.row.id, unit.job.user_id, time.monotonic() - unit.claimed_at)
