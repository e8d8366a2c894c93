"""Finds the exact and near duplicates of a whole dataset, and writes large sets of changes to image rows.

Retry: none here. A run that is repeated finds the same groups and writes the same rows.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from app import concurrency
from app.db import Connection, datasets, images
from app.db.image_search import Fingerprint, fingerprints
from app.domain import ImageState, JobKind, Reason
from app.images.dedupe import find_exact, find_near
from logging_setup import get_logger
from workers.stages.merge_rows import merge_rows
from workers.unit import ClaimedUnit, JobContext

__all__ = ["find_duplicates", "update_images"]

log = get_logger(__name__)

MAX_REPORTED = 100
"""Duplicates that the report lists; all are counted."""

WRITE_BATCH = 2_000
"""Rows changed in one transaction."""

MIN_ALIKE = 50
"""If this many rows on average get the same change, one statement per change costs less than one per row."""

Group = tuple[int, int | None]
"""The kept image's id, and the distance to it in bits; None where the bytes are equal."""


async def find_duplicates(ctx: JobContext, unit: ClaimedUnit) -> None:
    """Mark the duplicates of a build. A check of its own only reports them, unless it was asked to apply."""
    is_check = unit.job.kind is JobKind.DUPLICATES
    options: Mapping[str, Any] = unit.job.spec if is_check else {}
    mode = str(options.get("mode", "near")) if is_check else unit.spec.dedupe
    distance = int(options.get("near_distance", ctx.settings.validate_.near_distance)) if is_check else unit.spec.near_distance
    if not is_check:
        await merge_rows(unit)
    states = [ImageState.VALID, ImageState.KEPT] + ([] if is_check else [ImageState.DUPLICATE])
    async with ctx.db.read() as connection:
        found = await fingerprints(connection, unit.job.dataset_id, states)
    groups = await asyncio.to_thread(_compare, found, mode, distance)
    changed = 0 if is_check and not options.get("apply") else await update_images(unit, _changes(found, groups))
    exact = sum(1 for _, bits in groups.values() if bits is None)
    log.info("dataset.compared", images=len(found), duplicate_exact=exact, duplicate_near=len(groups) - exact, distance=distance)
    if is_check:
        async with unit.transaction() as connection:
            await datasets.set_report(connection, unit.job.id, _report(found, groups, applied=bool(changed)))
            await unit.finish_in(connection)


async def update_images(unit: ClaimedUnit, changes: Iterator[dict[str, Any]]) -> int:
    """Update any number of images, a batch at a time; return how many. Only one batch of changes is in memory."""
    written = 0
    async for batch in concurrency.in_batches(changes, WRITE_BATCH):
        async with unit.transaction() as connection:
            await _update_batch(connection, batch)
        written += len(batch)
    return written


async def _update_batch(connection: Connection, batch: Sequence[Mapping[str, Any]]) -> None:
    """Group rows by change where few labels and splits make few changes; a duplicate's detail is different for every row."""
    ids_by_change: dict[tuple[Any, ...], list[int]] = {}
    for change in batch:
        ids_by_change.setdefault(tuple(item for item in change.items() if item[0] != "id"), []).append(change["id"])
    if len(ids_by_change) * MIN_ALIKE > len(batch):
        await images.update_many(connection, batch)
        return
    for items, ids in ids_by_change.items():
        await images.update_alike(connection, ids, dict(items))


def _compare(found: Sequence[Fingerprint], mode: str, distance: int) -> dict[int, Group]:
    """The group of each duplicate, by its image id."""
    if mode == "none":
        return {}
    exact = find_exact(found)
    groups: dict[int, Group] = {duplicate: (match.kept_id, None) for duplicate, match in exact.items()}
    if mode == "near":
        near = find_near((item for item in found if item.id not in exact), distance)
        groups |= {duplicate: (match.kept_id, match.distance) for duplicate, match in near.items()}
        groups = {duplicate: (_root(kept, near), bits) for duplicate, (kept, bits) in groups.items()}
    return groups


def _root(kept: int, near: Mapping[int, Any]) -> int:
    return near[kept].kept_id if kept in near else kept


def _changes(found: Sequence[Fingerprint], groups: Mapping[int, Group]) -> Iterator[dict[str, Any]]:
    kept_ids = {kept for kept, _ in groups.values()}
    digests = {item.id: item.sha256 for item in found if item.id in kept_ids}
    for item in found:
        if item.id in groups:
            kept, bits = groups[item.id]
            detail = _detail(kept, bits, has_its_bytes=item.sha256 == digests[kept])
            reason = Reason.DUPLICATE_EXACT if bits is None else Reason.DUPLICATE_NEAR
            yield {"id": item.id, "state": ImageState.DUPLICATE, "reason": reason, "detail": detail, "duplicate_of": kept}
        elif item.state is ImageState.DUPLICATE:
            yield {"id": item.id, "state": ImageState.VALID, "reason": None, "detail": None, "duplicate_of": None}


def _detail(kept: int, bits: int | None, *, has_its_bytes: bool) -> str:
    if bits is not None:
        return f"differs from image {kept} in {bits} of 64 bits"
    return f"the same bytes as {'' if has_its_bytes else 'a near duplicate of '}image {kept}"


def _report(found: Sequence[Fingerprint], groups: Mapping[int, Group], *, applied: bool) -> dict[str, Any]:
    listed = [{"image": image, "kept": kept, "distance": bits} for image, (kept, bits) in islice(groups.items(), MAX_REPORTED)]
    return {"images": len(found), "duplicates": len(groups), "applied": applied, "listed": listed}
