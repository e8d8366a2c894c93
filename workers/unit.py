"""What a job function works with: the context of its run, and the unit it has claimed with its fenced transactions and its end.

Knows no stage. :mod:`workers.job` claims units, :mod:`workers.leases` renews their leases.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

import errors
from app.db import Connection, Database, jobs, units
from app.db.rows import Job, NewUnit, Unit
from app.db.takeover import IN_HAND, Evidence
from app.domain import StoredImage
from app.images.pool.pool import DecoderPool
from app.job_states import GATHERING, DesiredState, JobState, UnitState
from app.jobs.dispatch import Dispatcher
from app.queue import ArqQueue
from app.resources import Resources, WorkerResources
from app.settings import Settings
from app.spec import JobSpec
from app.storage import Store
from downloader.client import Downloader
from logging_setup import get_logger, redact

__all__ = [
    "ISOLATED_COMMAND",
    "ClaimedUnit",
    "JobContext",
    "LeaseKeeper",
    "RanIsolated",
    "StopReason",
    "Stopped",
    "Unclaimed",
]

log = get_logger(__name__)

ISOLATED_COMMAND = (sys.executable, "-P", "-m", "workers.isolated_process")


class StopReason(StrEnum):
    """Why a running unit is asked to stop. ``turn``: another user waits for the slot."""

    DRAIN = "drain"
    TURN = "turn"
    PAUSED = "paused"
    FINISHED = "finished"
    TARGET_MET = "target_met"
    CANCELLED = "cancelled"
    LOST = "lost"


class Unclaimed(Exception):
    """The unit is claimed by another worker, finished, or not due; the message is dropped."""


class RanIsolated(Exception):
    """The unit was in quarantine: an isolated process has run it, and it is settled."""


class Stopped(Exception):
    """The unit was stopped at once, because its job was cancelled or its lease lost."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class LeaseKeeper(Protocol):
    """Renews the leases of running units, and asks units to stop."""

    def add(self, unit: "ClaimedUnit") -> None:
        """Renew this unit's lease from now on."""
        ...

    def remove(self, unit: "ClaimedUnit") -> None:
        """Stop renewing this unit's lease."""
        ...


@dataclass(slots=True)
class JobContext:
    """The resources of one worker. Each run of a job gets a copy of its own.

    Attributes:
        run: 1 on the first delivery of a message, more when arq repeats it.
        unit_id: the unit that the message names; empty for crons.
        unit: the claimed unit, from the claim on.
        epoch: set in an isolated process only: the epoch of the unit that its parent process has claimed.
        isolated_command: the command that starts an isolated process.
    """

    resources: Resources
    worker_resources: WorkerResources
    leases: LeaseKeeper
    worker_id: str
    dispatcher: Dispatcher = field(init=False)
    run: int = 1
    unit_id: str = ""
    unit: "ClaimedUnit | None" = None
    epoch: int | None = None
    isolated_command: Sequence[str] = ISOLATED_COMMAND

    def __post_init__(self) -> None:
        self.dispatcher = Dispatcher(self.resources)

    @property
    def settings(self) -> Settings:
        """The settings tree."""
        return self.resources.settings

    @property
    def db(self) -> Database:
        """The database."""
        return self.resources.db

    @property
    def store(self) -> Store:
        """The object store."""
        return self.resources.store

    @property
    def queue(self) -> ArqQueue:
        """The queue."""
        return self.resources.queue

    @property
    def downloader(self) -> Downloader:
        """The downloader."""
        return self.worker_resources.downloader

    @property
    def decoders(self) -> DecoderPool:
        """The decoder processes."""
        return self.worker_resources.decoders

    def for_run(self, run: int, unit_id: str = "") -> "JobContext":
        """Return a copy for one run of one unit; crons have no unit."""
        copied = copy(self)
        copied.run, copied.unit_id, copied.unit = run, unit_id, None
        return copied

    async def dispatch_next(self) -> None:
        """Send the units that this unit's end has made due, without waiting for the sweeper."""
        if self.epoch is not None or self.unit is None:
            return
        try:
            await self.dispatcher.top_up(self.unit.job.user_id)
        except errors.QueueUnavailableError as error:
            log.warning("queue.unavailable", error=str(error))


class ClaimedUnit:
    """A claimed unit. Every write for it goes through :meth:`transaction`, :meth:`finish` or :meth:`release` and is fenced by its epoch.

    Attributes:
        evidence: what earlier deaths of its workers say of it.
        leaves_images: this isolated run leaves the images that are not suspected to an ordinary run.
    """

    def __init__(self, ctx: JobContext, row: Unit) -> None:
        assert row.job is not None, "units.claim and units.adopt load the job"
        self.ctx = ctx
        self.row = row
        self.job: Job = row.job
        self.stop = asyncio.Event()
        self.stop_reason: StopReason | None = None
        self.is_settled = False
        self.lease_deadline = time.monotonic() + ctx.settings.jobs.lease_s
        self.claimed_at = time.monotonic()
        self.evidence = Evidence.of(row)
        self.leaves_images = False
        self._begun: set[int] | None = set() if row.crashes else None
        self._task = asyncio.current_task()
        self._cancelled_by_us = False

    @property
    def spec(self) -> JobSpec:
        """The job's specification."""
        return JobSpec(**self.job.spec)

    @property
    def finishes_early(self) -> bool:
        """Whether the job was to end with what it has when the unit was claimed: nothing more is requested."""
        return self.job.desired_state is DesiredState.FINISHED

    @property
    def is_unneeded(self) -> bool:
        """Whether the unit asks for more although its job had what its target needs when the unit was claimed."""
        return self.job.state is JobState.FINALIZING and self.row.kind in GATHERING and self.spec.max_images is not None

    @property
    def is_quarantined(self) -> bool:
        """Whether one cause explains ``jobs.max_crashes`` deaths of the unit's workers."""
        return self.row.crashes >= self.ctx.settings.jobs.max_crashes

    @property
    def stays_quarantined(self) -> bool:
        """Whether the unit is still to be isolated when this run ends: not if its suspects were processed, and only others are left."""
        return self.is_quarantined and (self.stop.is_set() or not self.leaves_images)

    @property
    def is_isolated(self) -> bool:
        """Whether this is an isolated process, which runs this unit's suspects, one at a time."""
        return self.ctx.epoch is not None

    def require_lease(self) -> None:
        """Raise LeaseLost if the lease has run out by this process's clock: no request and no write beside the next owner's."""
        if self.stop_reason is StopReason.LOST or time.monotonic() >= self.lease_deadline:
            raise units.LeaseLost(self.row.id)

    def request_stop(self, reason: StopReason) -> None:
        """Ask the unit to stop. Drain, turn, pause, finish and a met target let it end in order; cancelled and lost cancel its task."""
        if self.stop_reason in (StopReason.CANCELLED, StopReason.LOST):
            return
        self.stop_reason = reason
        self.stop.set()
        if reason in (StopReason.CANCELLED, StopReason.LOST) and self._task and not self._cancelled_by_us:
            self._cancelled_by_us = True
            self._task.cancel()

    def consume_own_cancel(self) -> bool:
        """Return whether a CancelledError comes from :meth:`request_stop` only; if so, uncancel the task, as ``asyncio.timeout`` does."""
        if not self._cancelled_by_us or self._task is None:
            return False
        return self._task.uncancel() <= 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Open a write transaction that locks the unit's row; raises LeaseLost if the unit has another owner."""
        self.require_lease()
        async with self.ctx.db.write() as connection:
            await units.fence(connection, self.row)
            yield connection

    @property
    def is_incomplete(self) -> bool:
        """Whether this run has left work: it was asked to stop, or left images to an ordinary run."""
        return self.stop.is_set() or self.leaves_images

    async def record_progress(self, connection: Connection) -> None:
        """Reset the unit's crash count, inside a transaction of :meth:`transaction`: it has made progress.

        That of other images does not clear a suspected image.
        """
        if self.row.crashes and not self.evidence.suspects and not self.is_isolated:
            await units.reset_crashes(connection, self.row)
            self.row = replace(self.row, crashes=0)

    async def batches(self, images: Sequence[StoredImage]) -> AsyncIterator[Sequence[StoredImage]]:
        """Yield the images to process together: all of them, those in hand at a death last; in an isolated process see below.

        There each suspect is a batch of its own, and marked in progress first. Where no image is suspected, but the unit itself, the batch
        is all images; where nobody knows what was in hand, every image is suspected.
        """
        suspects = (
            {image.id for image in images} if self.is_isolated and self.evidence.suspects is None else self.evidence.suspects or frozenset()
        )
        others, suspected = [image for image in images if image.id not in suspects], [image for image in images if image.id in suspects]
        if not self.is_isolated or not suspects:
            yield [*others, *suspected]
            return
        self.leaves_images = self.leaves_images or bool(others)
        for image in suspected:
            if self.stop.is_set():
                return
            await self.mark_in_progress(image.id)
            yield [image]

    async def mark_in_progress(self, image_id: int | None) -> None:
        """Write the image that this process works on into the unit's row: if the process dies, that image is the cause."""
        await self._write_in_hand([] if image_id is None else [image_id])

    async def begin(self, images: Sequence[StoredImage]) -> None:
        """Write into the unit's row that these images are in hand, if its last worker died: another death then leaves few suspects."""
        if self._begun is None or (self.is_isolated and self.evidence.suspects != frozenset()):
            return
        self._begun |= {image.id for image in images}
        await self._write_in_hand(sorted(self._begun))

    async def _write_in_hand(self, ids: Sequence[int]) -> None:
        async with self.transaction() as connection:
            await self.change_payload(connection, **{IN_HAND: ids})

    async def change_payload(self, connection: Connection, **values: Any) -> None:
        """Set values of the unit's payload, inside a transaction of :meth:`transaction`."""
        payload = dict(self.row.payload) | values
        await units.set_payload(connection, self.row, payload)
        self.row = replace(self.row, payload=payload)

    async def finish_in(self, connection: Connection, children: Sequence[NewUnit] = ()) -> None:
        """Finish the unit and insert its children, inside a transaction of :meth:`transaction`."""
        await units.finish(connection, self.row, children=children)
        self.is_settled = True

    async def finish(self, children: Sequence[NewUnit] = ()) -> None:
        """Finish the unit in a transaction of its own."""
        async with self.ctx.db.write() as connection:
            await units.finish(connection, self.row, children=children)
        self.is_settled = True

    async def end_as(self, state: UnitState, error: str | None = None) -> None:
        """End the unit in a state other than done."""
        async with self.ctx.db.write() as connection:
            await units.finish(connection, self.row, state=state, error=error and redact(error))
        self.is_settled = True

    async def release(self, *, delay_s: float = 0.0, error: str | None = None, waiting_for: str | None = None) -> None:
        """Return the unit to pending, due after ``delay_s``; ``waiting_for`` is shown on the job."""
        await units.release(self.ctx.db, self.row, delay_s=delay_s, error=error and redact(error), quarantined=self.stays_quarantined)
        self.is_settled = True
        if waiting_for:
            await jobs.wait_for(self.ctx.db, self.job.id, redact(waiting_for))
