"""What a job function is given, and the unit it claims: the claim, its fenced transactions, and its end."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Protocol

import errors
from app.db import Connection, Database, jobs, units
from app.db.rows import Job, NewUnit, Unit
from app.domain import StoredImage, UnitState
from app.jobs.dispatch import Dispatcher
from app.queue import ArqQueue
from app.resources import Resources, Workshop
from app.settings import Settings
from app.spec import JobSpec
from app.storage import Store
from logging_setup import get_logger, redact
from workers import quarantine
from workers.stops import Isolated, Stopped, StopReason, Unclaimed

__all__ = ["ALONE_COMMAND", "Context", "Isolated", "Keeper", "StopReason", "Stopped", "Unclaimed", "Work", "claim", "pass_on"]

log = get_logger(__name__)

ALONE_COMMAND = (sys.executable, "-P", "-m", "workers.isolated_process")


class Keeper(Protocol):
    """Who renews the leases of the units at work, and tells them to stop."""

    def add(self, work: "Work") -> None:
        """Renew this unit's lease from now on."""
        ...

    def remove(self, work: "Work") -> None:
        """Let go of a unit."""
        ...


@dataclass(slots=True)
class Context:
    """One worker's means; each run of a job gets its own copy.

    Attributes:
        run: 1 on the first delivery of a message, more on arq's repeats of it.
        work: the claimed unit, from the claim on.
        epoch: of a unit that another process of this worker claimed, in whose place this one works alone at it.
        alone_command: what runs a unit in quarantine in a process of its own.
    """

    resources: Resources
    workshop: Workshop
    leases: "Keeper"
    worker_id: str
    dispatcher: Dispatcher = field(init=False)
    run: int = 1
    unit_id: str = ""
    work: "Work | None" = None
    epoch: int | None = None
    alone_command: Sequence[str] = ALONE_COMMAND

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

    def for_run(self, run: int, unit_id: str = "") -> "Context":
        """A copy for one run of one unit; crons have none."""
        copied = copy(self)
        copied.run, copied.unit_id, copied.work = run, unit_id, None
        return copied


class Work:
    """One claimed unit. Every write for it goes through :meth:`transaction` or :meth:`finish` and is fenced by its epoch."""

    def __init__(self, ctx: Context, unit: Unit) -> None:
        assert unit.job is not None, "a claim brings its job along"
        self.ctx = ctx
        self.unit = unit
        self.job: Job = unit.job
        self.stop = asyncio.Event()
        self.stop_reason: StopReason | None = None
        self.is_settled = False
        self.lease_deadline = time.monotonic() + ctx.settings.jobs.lease_s
        self.began_at = time.monotonic()
        self._task = asyncio.current_task()
        self._cancelled_by_us = False

    @property
    def spec(self) -> JobSpec:
        """What the job was asked to do: a build, an export, or a validation anew."""
        return JobSpec(**self.job.spec)

    @property
    def is_quarantined(self) -> bool:
        """Whether the unit's workers died too often."""
        return self.unit.crashes >= self.ctx.settings.jobs.max_crashes

    @property
    def is_alone(self) -> bool:
        """Whether this process has nothing but this unit, one image at a time: quarantine."""
        return self.ctx.epoch is not None

    def require_lease(self) -> None:
        """Raise LeaseLost where our own clock says that the lease has run out: no request and no write beside a successor."""
        if self.stop_reason is StopReason.LOST or time.monotonic() >= self.lease_deadline:
            raise units.LeaseLost(self.unit.id)

    def ask_to_stop(self, reason: StopReason) -> None:
        """Drain, turn and pause let the unit end in order; cancelled and lost end it at once."""
        if self.stop_reason in (StopReason.CANCELLED, StopReason.LOST):
            return
        self.stop_reason = reason
        self.stop.set()
        if reason in (StopReason.CANCELLED, StopReason.LOST) and self._task and not self._cancelled_by_us:
            self._cancelled_by_us = True
            self._task.cancel()

    def absorb_cancellation(self) -> bool:
        """Whether a CancelledError is our own doing; if so it is taken back, as ``asyncio.timeout`` does."""
        if not self._cancelled_by_us or self._task is None:
            return False
        return self._task.uncancel() <= 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A write transaction that holds the unit's row locked, or raises LeaseLost."""
        self.require_lease()
        async with self.ctx.db.write() as connection:
            await units.fence(connection, self.unit)
            yield connection

    async def progress(self, connection: Connection) -> None:
        """Say, inside a transaction of :meth:`transaction`, that the unit has come further: its crashes are forgotten."""
        if self.unit.crashes and not self.is_alone:
            await units.progress(connection, self.unit)
            self.unit = replace(self.unit, crashes=0)

    async def portions(self, images: Sequence[StoredImage]) -> AsyncIterator[Sequence[StoredImage]]:
        """What may be in hand at once: everything, or in quarantine one image, whose id is on record before anybody touches it."""
        if not self.is_alone:
            yield images
            return
        for image in images:
            if self.stop.is_set():
                return
            await self.suspect(image.id)
            yield [image]

    async def suspect(self, image_id: int | None) -> None:
        """Put on record which image this process works at: should it die, that one is to blame."""
        async with self.transaction() as connection:
            await units.set_payload(connection, self.unit, {**self.unit.payload, quarantine.SUSPECT: image_id})

    async def finish_in(self, connection: Connection, children: Sequence[NewUnit] = ()) -> None:
        """End the unit, with children, inside a transaction of :meth:`transaction`."""
        await units.finish(connection, self.unit, children=children)
        self.is_settled = True

    async def finish(self, children: Sequence[NewUnit] = ()) -> None:
        """End the unit in a transaction of its own."""
        async with self.ctx.db.write() as connection:
            await units.finish(connection, self.unit, children=children)
        self.is_settled = True

    async def end_as(self, state: UnitState, error: str | None = None) -> None:
        """End the unit otherwise than done."""
        async with self.ctx.db.write() as connection:
            await units.finish(connection, self.unit, state=state, error=error and redact(error))
        self.is_settled = True

    async def release(self, *, delay_s: float = 0.0, error: str | None = None, waiting_for: str | None = None) -> None:
        """Give the unit back for later; the job may say what it waits for."""
        await units.release(self.ctx.db, self.unit, delay_s=delay_s, error=error and redact(error), quarantined=self.is_quarantined)
        self.is_settled = True
        if waiting_for:
            await jobs.wait_for(self.ctx.db, self.job.id, redact(waiting_for))


@asynccontextmanager
async def claim(ctx: Context, unit_id: str) -> AsyncIterator[Work]:
    """Take a unit for the body's time; the end of the body finishes it unless the body did.

    Raises:
        Unclaimed: a duplicate delivery.
        Isolated: the unit was in quarantine, and is settled; the body did not run.
        Stopped: the job was cancelled, or the lease lost, while the body ran.
    """
    work = Work(ctx, await _claimed(ctx, unit_id))
    ctx.work = work
    try:
        ctx.leases.add(work)
        if work.is_quarantined and not work.is_alone:
            await quarantine.run_alone(work)
            raise Isolated(unit_id)
        if work.job.waiting_for:
            await jobs.wait_for(ctx.db, work.job.id, None)
        yield work
        if not work.is_settled:
            await work.finish()
    except asyncio.CancelledError:
        if work.absorb_cancellation() and work.stop_reason is not None:
            raise Stopped(work.stop_reason) from None
        raise
    finally:
        ctx.leases.remove(work)
    await pass_on(ctx)


async def _claimed(ctx: Context, unit_id: str) -> Unit:
    if ctx.epoch is not None:
        return await units.adopt(ctx.db, unit_id, ctx.epoch)
    unit = await units.claim(ctx.db, unit_id, owner=ctx.worker_id, lease_s=ctx.settings.jobs.lease_s)
    if unit is None:
        raise Unclaimed(unit_id)
    return unit


async def pass_on(ctx: Context) -> None:
    """Send what the end of this unit made due, without waiting for the sweeper."""
    if ctx.epoch is not None or ctx.work is None:
        return
    try:
        await ctx.dispatcher.top_up(ctx.work.job.user_id)
    except errors.QueueUnavailableError as error:
        log.warning("queue.unavailable", error=str(error))
