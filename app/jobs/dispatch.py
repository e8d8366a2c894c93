"""Dispatch units from the database to the queue: mark due units as queued, and send their messages.

Called by the sweeper, after every submission, and when units finish.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import replace
from typing import TypeVar

import errors
from app.concurrency import BatchWriter, finish_despite_cancel
from app.db import Connection, Database, fleet, outbox
from app.job_states import TRACED
from app.jobs.fairness import Turn, allocate_turns
from app.queue import QUEUES, Envelope
from app.resources import Resources
from app.workspace import Workspace
from logging_setup import get_logger

__all__ = ["Dispatcher", "dispatch", "dispatch_requests", "envelope", "mark_due", "resend_lost"]

log = get_logger(__name__)

OfJob = TypeVar("OfJob", Turn, outbox.Delivery)

WINDOW_FACTOR = 2
"""Active units for each slot: one runs, one waits. Small, so that priority, pause and fairness take effect soon."""

NEWCOMERS = 8
"""Users without an active unit whose first unit is sent at once, even if the window is full."""

UNSENT_AFTER_S = 10.0
"""Seconds after which the message of a queued unit is looked up in the queue."""


def envelope(delivery: outbox.Delivery) -> Envelope:
    """Return the message for a unit. Its token is the same whenever the message is sent again for the same run."""
    ids = {name: getattr(delivery, name) for name in ("job_id", "unit_id", "chunk_id", *TRACED)}
    fields = tuple((name, value) for name, value in ids.items() if value)
    return Envelope(f"{delivery.unit_id}:{delivery.epoch}", delivery.kind, fields, rank=delivery.rank)


async def dispatch(resources: Resources, *, finished_users: Collection[str] | None = None) -> int:
    """Fill the windows of the queues from the database; return how many units were sent.

    Of an embedded workspace only units of the jobs that this process works on are sent.

    Args:
        finished_users: users of units that have just finished. Then a window of which less than a quarter is free is skipped, so that one
            dispatch serves many finished units, unless one of these users has no unit in it.

    Raises:
        errors.QueueUnavailableError: the units are pending again.
    """
    max_crashes = resources.settings.jobs.max_crashes
    only = None if resources.workspace is None else resources.workspace.job_ids
    chosen = await mark_due(resources.db, max_crashes=max_crashes, finished_users=finished_users, only=only)
    try:
        await resources.queue.send([envelope(delivery) for delivery in chosen])
    except errors.QueueUnavailableError:
        unsent = [delivery.unit_id for delivery in chosen]
        await finish_despite_cancel(outbox.return_unsent(resources.db, unsent, max_crashes=max_crashes))
        raise
    return len(chosen)


async def mark_due(
    db: Database,
    windows: Mapping[str, int] | None = None,
    *,
    max_crashes: int,
    finished_users: Collection[str] | None = None,
    only: Collection[str] | None = None,
) -> list[outbox.Delivery]:
    """Mark due units that fit into the windows as queued, fairly among users and their jobs. Reads first, as often nothing is due.

    Args:
        windows: active units that each queue may have; by default derived from the slots of the live workers.
        only: units of these jobs; ``None`` for all.
    """
    if only is not None and not only:
        return []
    async with db.read() as connection:
        sizes = await _windows(connection) if windows is None else windows
        under_way = await outbox.under_way(connection, max_crashes=max_crashes)
        rooms = {queue: size - under_way[queue].units for queue, size in sizes.items()}
        wanted = [
            await outbox.demand(connection, queue, under_way[queue], only)
            for queue, room in rooms.items()
            if finished_users is None or room >= sizes[queue] // 4 or any(user not in under_way[queue].users for user in finished_users)
        ]
    if not any(demand.jobs or demand.has_quarantined for demand in wanted):
        return []
    async with db.write() as connection:
        return [delivery for demand in wanted for delivery in await _take(connection, demand, only, room=rooms[demand.queue])]


async def _windows(connection: Connection) -> dict[str, int]:
    slots = await fleet.slots(connection, fresh_s=fleet.BEAT_FRESH_S)
    return {queue: WINDOW_FACTOR * max(slots.get(queue, 0), 4) for queue in QUEUES}


async def _take(connection: Connection, demand: outbox.Demand, only: Collection[str] | None, *, room: int) -> list[outbox.Delivery]:
    alone = await outbox.take_quarantined(connection, demand.queue, only) if demand.has_quarantined else []
    return alone + await _take_turns(connection, demand, room=room - len(alone))


async def _take_turns(connection: Connection, demand: outbox.Demand, *, room: int) -> list[outbox.Delivery]:
    """Mark the units that each job's turns allow; turns that a job cannot use go to the other jobs."""
    taken: list[outbox.Delivery] = []
    busy = dict(demand.busy)
    demands = {job.job_id: job for job in demand.jobs}
    newcomers = NEWCOMERS
    while demands:
        shares = _by_job(allocate_turns(demands.values(), busy, room - len(taken), newcomers=newcomers))
        if not shares:
            break
        newcomers = 0
        got = _by_job(await outbox.take(connection, demand.queue, {job_id: len(share) for job_id, share in shares.items()}))
        for job_id, share in shares.items():
            job, deliveries = demands[job_id], got.get(job_id, [])
            taken += [replace(delivery, rank=turn.rank) for delivery, turn in zip(deliveries, share, strict=False)]
            busy[job.user_id] = busy.get(job.user_id, 0) + len(deliveries)
            demands[job_id] = replace(job, under_way=job.under_way + len(deliveries))
            if len(deliveries) < len(share):
                del demands[job_id]
    return sorted(taken, key=lambda delivery: delivery.rank)


def _by_job(items: Iterable[OfJob]) -> dict[str, list[OfJob]]:
    table: dict[str, list[OfJob]] = defaultdict(list)
    for item in items:
        table[item.job_id].append(item)
    return table


async def resend_lost(resources: Resources) -> int:
    """Make queued units pending again whose messages the queue no longer has; return how many."""
    waiting = await outbox.queued(resources.db, older_than_s=UNSENT_AFTER_S)
    if not waiting:
        return 0
    by_token = {envelope(delivery).token: delivery.unit_id for delivery in waiting}
    lost = await resources.queue.missing(list(by_token))
    max_crashes = resources.settings.jobs.max_crashes
    return await outbox.return_unsent(resources.db, [by_token[token] for token in lost], max_crashes=max_crashes)


class Dispatcher:
    """Dispatches after units finish. Units that finish during a dispatch share the next one."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._writer = BatchWriter(self._dispatch_for, context=Context())  # empty: a dispatch serves many jobs, and logs for none

    async def top_up(self, user_id: str) -> None:
        """Send due units after a unit of this user has finished.

        Raises:
            errors.QueueUnavailableError: see :func:`dispatch`.
        """
        await self._writer.add(user_id)

    async def _dispatch_for(self, user_ids: Sequence[str]) -> None:
        await dispatch(self._resources, finished_users=frozenset(user_ids))

    async def finish(self) -> None:
        """Wait for the dispatches in progress, whose callers may have been cancelled."""
        await self._writer.finish()


@asynccontextmanager
async def dispatch_requests(resources: Resources, workspace: Workspace) -> AsyncIterator[None]:
    """For the body's time, work on the jobs that other processes ask the holder of the workspace for, without waiting for a sweep."""
    has_due = asyncio.Event()

    def on_job(job_id: str) -> None:
        workspace.request(job_id)
        has_due.set()

    task = asyncio.create_task(_dispatch_when(has_due, resources))
    try:
        with workspace.listen(on_job):
            yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _dispatch_when(has_due: asyncio.Event, resources: Resources) -> None:
    while True:
        await has_due.wait()
        has_due.clear()
        try:
            await dispatch(resources)
        except (errors.QueueUnavailableError, errors.InfrastructureError, errors.StorageError) as error:  # the next sweep dispatches
            log.warning("dispatch.failed", error_type=type(error).__name__, error=str(error))
