"""From the database to the queue: due units are marked as sent, and sent. The sweeper's heart, and what follows every submission."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextvars import Context
from dataclasses import replace
from typing import TypeVar

import errors
from app.concurrency import BatchWriter
from app.db import Connection, Database, fleet, outbox
from app.domain import TRACED
from app.jobs.fairness import Turn, turns
from app.queue import QUEUES, Envelope
from app.resources import Resources

__all__ = ["BEAT_FRESH_S", "Dispatcher", "dispatch", "envelope", "mark_due", "resend_lost"]

OfJob = TypeVar("OfJob", Turn, outbox.Delivery)

BEAT_FRESH_S = 30.0
"""Seconds without a sign of life after which a worker's slots no longer count."""

WINDOW_FACTOR = 2
"""Units sent for each slot: one runs, one waits behind it. Small, so that priority, pause and fairness act at once."""

NEWCOMERS = 8
"""Users with nothing under way whose first unit goes out at once, however full the window is."""

UNSENT_AFTER_S = 10.0
"""Seconds after which a unit that was sent and not claimed is looked for in the queue."""


def envelope(delivery: outbox.Delivery) -> Envelope:
    """The message for a unit. A message sent again for the same run is the same message."""
    ids = {name: getattr(delivery, name) for name in ("job_id", "unit_id", "chunk_id", *TRACED)}
    told = tuple((name, value) for name, value in ids.items() if value)
    return Envelope(f"{delivery.unit_id}:{delivery.epoch}", delivery.kind, told, rank=delivery.rank)


async def dispatch(resources: Resources, *, in_passing_for: Collection[str] | None = None) -> int:
    """Top the queues up from the database; return how many units went out.

    Args:
        in_passing_for: users of whom a unit has just ended. A window of which less than a quarter is free is left alone, so that one look
            serves many units that end, unless one of these users has nothing in it.

    Raises:
        errors.QueueUnavailableError: the units are pending again.
    """
    max_crashes = resources.settings.jobs.max_crashes
    chosen = await mark_due(resources.db, max_crashes=max_crashes, in_passing_for=in_passing_for)
    try:
        await resources.queue.send([envelope(delivery) for delivery in chosen])
    except errors.QueueUnavailableError:
        await outbox.return_unsent(resources.db, [delivery.unit_id for delivery in chosen], max_crashes=max_crashes)
        raise
    return len(chosen)


async def mark_due(
    db: Database, windows: Mapping[str, int] | None = None, *, max_crashes: int, in_passing_for: Collection[str] | None = None
) -> list[outbox.Delivery]:
    """Mark what fits into the windows as sent, fairly among users and their jobs. Reads first: mostly there is nothing to send.

    Args:
        windows: units of each queue that may be sent or running at once; by default as the slots of the living workers say.
    """
    async with db.read() as connection:
        sizes = await _windows(connection) if windows is None else windows
        under_way = await outbox.under_way(connection, max_crashes=max_crashes)
        rooms = {queue: size - under_way[queue].units for queue, size in sizes.items()}
        wanted = [
            await outbox.demand(connection, queue, under_way[queue])
            for queue, room in rooms.items()
            if in_passing_for is None or room >= sizes[queue] // 4 or any(user not in under_way[queue].users for user in in_passing_for)
        ]
    if not any(demand.claimants or demand.has_quarantined for demand in wanted):
        return []
    async with db.write() as connection:
        return [delivery for demand in wanted for delivery in await _take(connection, demand, room=rooms[demand.queue])]


async def _windows(connection: Connection) -> dict[str, int]:
    slots = await fleet.slots(connection, fresh_s=BEAT_FRESH_S)
    return {queue: WINDOW_FACTOR * max(slots.get(queue, 0), 4) for queue in QUEUES}


async def _take(connection: Connection, demand: outbox.Demand, *, room: int) -> list[outbox.Delivery]:
    alone = await outbox.take_quarantined(connection, demand.queue) if demand.has_quarantined else []
    return alone + await _take_turns(connection, demand, room=room - len(alone))


async def _take_turns(connection: Connection, demand: outbox.Demand, *, room: int) -> list[outbox.Delivery]:
    """Take what each job's turns allow; what a job does not have falls to the others."""
    taken: list[outbox.Delivery] = []
    busy = dict(demand.busy)
    claimants = {claimant.job_id: claimant for claimant in demand.claimants}
    newcomers = NEWCOMERS
    while claimants:
        shares = _by_job(turns(claimants.values(), busy, room - len(taken), newcomers=newcomers))
        if not shares:
            break
        newcomers = 0
        got = _by_job(await outbox.take(connection, demand.queue, {job_id: len(share) for job_id, share in shares.items()}))
        for job_id, share in shares.items():
            claimant, deliveries = claimants[job_id], got.get(job_id, [])
            taken += [replace(delivery, rank=turn.rank) for delivery, turn in zip(deliveries, share, strict=False)]
            busy[claimant.user_id] = busy.get(claimant.user_id, 0) + len(deliveries)
            claimants[job_id] = replace(claimant, under_way=claimant.under_way + len(deliveries))
            if len(deliveries) < len(share):
                del claimants[job_id]
    return sorted(taken, key=lambda delivery: delivery.rank)


def _by_job(items: Iterable[OfJob]) -> dict[str, list[OfJob]]:
    table: dict[str, list[OfJob]] = defaultdict(list)
    for item in items:
        table[item.job_id].append(item)
    return table


async def resend_lost(resources: Resources) -> int:
    """Units that were sent and that the queue no longer holds wait again; return how many."""
    waiting = await outbox.queued(resources.db, older_than_s=UNSENT_AFTER_S)
    if not waiting:
        return 0
    by_token = {envelope(delivery).token: delivery.unit_id for delivery in waiting}
    lost = await resources.queue.missing(list(by_token))
    max_crashes = resources.settings.jobs.max_crashes
    return await outbox.return_unsent(resources.db, [by_token[token] for token in lost], max_crashes=max_crashes)


class Dispatcher:
    """Dispatches after units that end. Units that end while a dispatch runs share the next one."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._writer = BatchWriter(self._dispatch_for, context=Context())  # empty: a dispatch serves many jobs, and logs for none

    async def top_up(self, user_id: str) -> None:
        """Send what is due by now; a unit of this user has just ended.

        Raises:
            errors.QueueUnavailableError: see :func:`dispatch`.
        """
        await self._writer.add(user_id)

    async def _dispatch_for(self, user_ids: Sequence[str]) -> None:
        await dispatch(self._resources, in_passing_for=frozenset(user_ids))

    async def finish(self) -> None:
        """Wait for the dispatches in progress, whose callers may have been cancelled."""
        await self._writer.finish()
