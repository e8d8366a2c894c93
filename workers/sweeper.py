"""The crons: ``sweep`` dispatches units and repairs what crashes left, ``clean_up`` removes what nothing refers to any more.

The database says which units are open, and the queue is filled from it, so a loss in either is repaired in the same way.
"""

from dataclasses import asdict

from app.db import fleet, jobs, outbox
from app.db.takeover import Evidence
from app.job_states import UnitState
from app.jobs import cleaning
from app.jobs.dispatch import dispatch, resend_lost
from app.observability import metrics
from logging_setup import get_logger
from workers.job import INFRASTRUCTURE, job
from workers.unit import JobContext

__all__ = ["clean_up", "sweep", "sweep_once"]

log = get_logger(__name__)


@job(retry_on=INFRASTRUCTURE)
async def sweep(ctx: JobContext) -> None:
    """Reclaim expired units and dispatch due ones. One worker of the fleet at a time.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. The next sweep runs in any case.
    """
    await sweep_once(ctx)


async def sweep_once(ctx: JobContext) -> outbox.Swept:
    """Sweep once. Every step is idempotent and safe to run concurrently."""
    settings = ctx.settings.jobs
    had_outage = ctx.db.take_failure()
    if not await fleet.take_lock(ctx.db, "sweep", owner=ctx.worker_id, for_s=settings.sweep_interval_s * 0.8, anew=had_outage):
        return outbox.Swept()
    async with ctx.db.write() as connection:
        returned = await outbox.return_expired(connection, lease_s=settings.lease_s, max_crashes=settings.max_crashes)
    await _log_returned(ctx, returned)
    finalized = await outbox.lost_finalizes(ctx.db)
    unsent = await resend_lost(ctx.resources)
    sent = await dispatch(ctx.resources)
    swept = outbox.Swept(len(returned.pending), len(returned.quarantined), unsent, sent, finalized)
    _count(swept)
    if swept.expired or swept.quarantined or swept.unsent or swept.finalized:
        log.warning("sweep.moved", **asdict(swept))
    return swept


def _count(swept: outbox.Swept) -> None:
    for kind, number in asdict(swept).items():
        metrics.units_moved.labels(kind).inc(number)
    metrics.leases_expired.inc(swept.expired + swept.quarantined)
    metrics.units_quarantined.inc(swept.quarantined)


async def _log_returned(ctx: JobContext, returned: outbox.Returned) -> None:
    units = (*returned.pending, *returned.quarantined)
    if not units:
        return
    owners = await jobs.get_many(ctx.db, [unit.job_id for unit in units])
    for unit in units:
        traced = owners[unit.job_id].traced if unit.job_id in owners else {}
        suspects = Evidence.of(unit).count
        with log.contextualize(job_id=unit.job_id, unit_id=unit.id, **traced):
            if unit.state is UnitState.QUARANTINED:
                log.error("unit.quarantined", kind=unit.kind.value, crashes=unit.crashes, suspects=suspects)
            else:
                log.warning("unit.taken_back", kind=unit.kind.value, crashes=unit.crashes, suspects=suspects)


@job(retry_on=INFRASTRUCTURE)
async def clean_up(ctx: JobContext) -> None:
    """Remove blobs, exports and lists that no row refers to, partly written files, old idempotency keys and rows of workers that ended.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. Every step is idempotent.
    """
    if not await fleet.take_lock(ctx.db, "clean_up", owner=ctx.worker_id, for_s=600.0):
        return
    thumbnail_bytes = ctx.settings.storage.thumbnail_bytes
    log.info("cleaned_up", **asdict(await cleaning.clean(ctx.db, ctx.store, thumbnail_bytes=thumbnail_bytes)))
