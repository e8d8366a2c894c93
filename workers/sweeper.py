"""The crons: ``sweep`` is the dispatcher and the repair, ``clean_up`` takes away what nothing needs any more.

Whatever was lost, on whichever side, is the same case here: the database says what is open, and the queue is topped up from it.
"""

from dataclasses import asdict

from app.db import exports, fleet, images, jobs, sweeping
from app.domain import UnitState
from app.jobs.dispatch import dispatch, resend_lost
from app.observability import families
from app.storage import paths
from logging_setup import get_logger
from workers.job import INFRASTRUCTURE, job
from workers.unit import Context

__all__ = ["clean_up", "sweep", "sweep_once"]

log = get_logger(__name__)

BLOB_GRACE_S = 24 * 3600.0
"""Seconds that clean-up spares a blob: it may belong to a row that is about to be written."""

IDEMPOTENCY_S = 24 * 3600.0
"""Seconds an Idempotency-Key is remembered."""

WORKER_FORGOTTEN_S = 3600.0
"""Seconds after which a silent worker's row goes."""


@job(retry_on=INFRASTRUCTURE)
async def sweep(ctx: Context) -> None:
    """Bring back what was lost and send what is due. One worker of the fleet at a time.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart; the next sweep comes in any case.
    """
    await sweep_once(ctx)


async def sweep_once(ctx: Context) -> sweeping.Swept:
    """One pass; every step may be repeated, or done by two at once, without harm."""
    settings = ctx.settings.jobs
    was_away = ctx.db.take_failure()
    if not await fleet.take_lock(ctx.db, "sweep", owner=ctx.worker_id, for_s=settings.sweep_interval_s * 0.8, anew=was_away):
        return sweeping.Swept()
    async with ctx.db.write() as connection:
        returned = await sweeping.return_expired(connection, lease_s=settings.lease_s, max_crashes=settings.max_crashes)
    await _tell(ctx, returned)
    finalized = await sweeping.lost_finalizes(ctx.db)
    unsent = await resend_lost(ctx.resources)
    sent = await dispatch(ctx.resources)
    swept = sweeping.Swept(len(returned.pending), len(returned.quarantined), unsent, sent, finalized)
    _count(swept)
    if swept.expired or swept.quarantined or swept.unsent or swept.finalized:
        log.warning("sweep.moved", **asdict(swept))
    return swept


def _count(swept: sweeping.Swept) -> None:
    for what, number in asdict(swept).items():
        families.moved.add(what, by=number)
    families.expired.add(by=swept.expired + swept.quarantined)
    families.quarantines.add(by=swept.quarantined)


async def _tell(ctx: Context, returned: sweeping.Returned) -> None:
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
async def clean_up(ctx: Context) -> None:
    """Remove blobs, exports and lists that no row points to, half-written files, old idempotency keys and the rows of workers long gone.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart.
    """
    if not await fleet.take_lock(ctx.db, "clean_up", owner=ctx.worker_id, for_s=600.0):
        return
    blobs = await _remove_blobs(ctx)
    trees = await _remove_trees(ctx)
    files = await ctx.store.clear_leftovers(BLOB_GRACE_S)
    keys = await fleet.expire_idempotency(ctx.db, older_than_s=IDEMPOTENCY_S)
    workers = await fleet.forget_workers(ctx.db, older_than_s=WORKER_FORGOTTEN_S)
    log.info("cleaned_up", blobs=blobs, trees=trees, files=files, idempotency_keys=keys, workers=workers)


async def _remove_blobs(ctx: Context) -> int:
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


async def _remove_trees(ctx: Context) -> int:
    """Exports and URL lists whose rows are gone."""
    now = await ctx.db.now()
    old: dict[str, float] = {}
    for root in ("exports/", "lists/"):
        async for item in ctx.store.list(root):
            prefix = "/".join(item.key.split("/")[:2])
            old[prefix] = max(old.get(prefix, 0.0), item.modified)
    ripe = [prefix for prefix, modified in old.items() if now - modified >= BLOB_GRACE_S]
    used = await exports.prefixes(ctx.db) | await jobs.list_keys(ctx.db) if ripe else set()
    unused = [prefix for prefix in ripe if prefix not in used]
    for prefix in unused:
        if prefix.startswith("exports/"):
            await ctx.store.delete_tree(prefix)
        else:
            await ctx.store.delete([prefix])
    return len(unused)


async def _remove_unreferenced(ctx: Context, batch: dict[str, str]) -> int:
    if not batch:
        return 0
    used = await images.referenced_blobs(ctx.db, list(batch))
    unused = [digest for digest in batch if digest not in used]
    await ctx.store.delete([batch[digest] for digest in unused] + [paths.thumb(digest) for digest in unused])
    return len(unused)
