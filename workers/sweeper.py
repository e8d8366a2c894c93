"""The crons: ``sweep`` dispatches units and repairs what crashes left, ``clean_up`` removes what nothing refers to any more.

The database says which units are open, and the queue is filled from it, so a loss in either is repaired in the same way.
"""

from dataclasses import asdict

from app.db import api_keys, datasets, fleet, images, jobs, outbox
from app.domain import UnitState
from app.jobs.dispatch import dispatch, resend_lost
from app.observability import metrics
from app.storage import paths
from logging_setup import get_logger
from workers.job import INFRASTRUCTURE, job
from workers.unit import JobContext

__all__ = ["clean_up", "sweep", "sweep_once"]

log = get_logger(__name__)

BLOB_GRACE_S = 24 * 3600.0
"""Age below which a blob is not removed, seconds: its row may not be written yet."""

IDEMPOTENCY_S = 24 * 3600.0
"""Seconds an Idempotency-Key is kept."""

WORKER_FORGOTTEN_S = 3600.0
"""Seconds without a heartbeat after which a worker's row is removed."""


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
        with log.contextualize(job_id=unit.job_id, unit_id=unit.id, **traced):
            if unit.state is UnitState.QUARANTINED:
                log.error("unit.quarantined", kind=unit.kind.value, crashes=unit.crashes)
            else:
                log.warning("unit.taken_back", kind=unit.kind.value, crashes=unit.crashes)


@job(retry_on=INFRASTRUCTURE)
async def clean_up(ctx: JobContext) -> None:
    """Remove blobs, exports and lists that no row refers to, partly written files, old idempotency keys and rows of workers that ended.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. Every step is idempotent.
    """
    if not await fleet.take_lock(ctx.db, "clean_up", owner=ctx.worker_id, for_s=600.0):
        return
    blobs = await _remove_blobs(ctx)
    trees = await _remove_trees(ctx)
    files = await ctx.store.clear_leftovers(BLOB_GRACE_S)
    keys = await api_keys.expire_idempotency(ctx.db, older_than_s=IDEMPOTENCY_S)
    workers = await fleet.forget_workers(ctx.db, older_than_s=WORKER_FORGOTTEN_S)
    log.info("cleaned_up", blobs=blobs, trees=trees, files=files, idempotency_keys=keys, workers=workers)


async def _remove_blobs(ctx: JobContext) -> int:
    removed = 0
    batch: dict[str, str] = {}
    now = await ctx.db.now()
    async for item in ctx.store.list("blobs/"):
        digest = paths.blob_digest(item.key)
        if digest is None or now - item.modified < BLOB_GRACE_S:
            continue
        batch[digest] = item.key
        if len(batch) >= 500:
            removed += await _remove_unreferenced(ctx, batch)
            batch = {}
    return removed + await _remove_unreferenced(ctx, batch)


async def _remove_trees(ctx: JobContext) -> int:
    """Remove exports and URL lists that have no row."""
    now = await ctx.db.now()
    last_modified: dict[str, float] = {}
    for root in ("exports/", "lists/"):
        async for item in ctx.store.list(root):
            prefix = "/".join(item.key.split("/")[:2])
            last_modified[prefix] = max(last_modified.get(prefix, 0.0), item.modified)
    expired = [prefix for prefix, modified in last_modified.items() if now - modified >= BLOB_GRACE_S]
    used = await datasets.prefixes(ctx.db) | await jobs.list_keys(ctx.db) if expired else set()
    unused = [prefix for prefix in expired if prefix not in used]
    for prefix in unused:
        if prefix.startswith("exports/"):
            await ctx.store.delete_tree(prefix)
        else:
            await ctx.store.delete([prefix])
    return len(unused)


async def _remove_unreferenced(ctx: JobContext, batch: dict[str, str]) -> int:
    if not batch:
        return 0
    used = await images.referenced_blobs(ctx.db, list(batch))
    unused = [digest for digest in batch if digest not in used]
    await ctx.store.delete([batch[digest] for digest in unused] + [paths.thumb(digest) for digest in unused])
    return len(unused)
