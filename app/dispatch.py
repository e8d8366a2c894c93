"""From the database to the queue: due units are marked as sent, and sent. The sweeper's heart, and what follows every submission."""

import errors
from app.db import fleet, sweeping
from app.queue import QUEUES, Envelope
from app.resources import Resources

__all__ = ["BEAT_FRESH_S", "dispatch", "envelope", "resend_lost"]

BEAT_FRESH_S = 30.0
"""Seconds without a sign of life after which a worker's slots no longer count."""

WINDOW_FACTOR = 2
"""Units sent for each slot: one runs, one waits behind it. Small, so that priority, pause and fairness act at once."""

UNSENT_AFTER_S = 10.0
"""Seconds after which a unit that was sent and not claimed is looked for in the queue."""


def envelope(delivery: sweeping.Delivery) -> Envelope:
    """The message for a unit. A message sent again for the same run is the same message."""
    ids = {"job_id": delivery.job_id, "unit_id": delivery.unit_id}
    if delivery.chunk_id:
        ids["chunk_id"] = delivery.chunk_id
    return Envelope(f"{delivery.unit_id}:{delivery.epoch}", delivery.kind, tuple(ids.items()))


async def dispatch(resources: Resources) -> int:
    """Top the queues up from the database; return how many units went out.

    Raises:
        errors.QueueUnavailableError: the units are pending again.
    """
    sent = 0
    for queue in QUEUES:
        slots = await fleet.slots(resources.db, queue, fresh_s=BEAT_FRESH_S)
        deliveries = await sweeping.due(resources.db, queue, window=WINDOW_FACTOR * max(slots, 4))
        await _send(resources, deliveries)
        sent += len(deliveries)
    return sent


async def _send(resources: Resources, deliveries: list[sweeping.Delivery]) -> None:
    try:
        await resources.queue.send([envelope(delivery) for delivery in deliveries])
    except errors.QueueUnavailableError:
        await sweeping.return_unsent(resources.db, [delivery.unit_id for delivery in deliveries])
        raise


async def resend_lost(resources: Resources) -> int:
    """Units that were sent and that the queue no longer holds go back to pending; return how many."""
    waiting = await sweeping.queued(resources.db, older_than_s=UNSENT_AFTER_S)
    if not waiting:
        return 0
    by_token = {envelope(delivery).token: delivery.unit_id for delivery in waiting}
    lost = await resources.queue.missing(list(by_token))
    return await sweeping.return_unsent(resources.db, [by_token[token] for token in lost])
