"""Finds the duplicates, placeholders and label conflicts of a whole dataset, and writes large sets of changes to image rows.

Retry: none here. A run that is repeated finds the same groups and writes the same rows.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from app import concurrency
from app.db import Connection, datasets, images, jobs
from app.db.image_search import DECIDED, Fingerprint, fingerprints, links
from app.domain import ImageState, LabelConflicts, Reason
from app.formatting import clipped
from app.images import dedupe
from app.images.dedupe import Copy, Mode
from app.images.label_conflicts import Conflict, Resolution, resolve
from app.images.placeholders import Placeholder, find_placeholders, groups_of_one_picture
from app.job_states import JobKind
from app.review_actions import Reviewed
from logging_setup import get_logger
from workers.stages.merge_rows import merge_rows
from workers.stages.remove_tombstoned import remove_tombstoned
from workers.stages.select import find_over_limit, find_unselected
from workers.unit import ClaimedUnit, JobContext

__all__ = ["find_duplicates", "update_images"]

log = get_logger(__name__)

MAX_REPORTED = 100
"""Duplicates that the report lists; all are counted."""

WRITE_BATCH = 2_000
"""Rows changed in one transaction."""

MIN_ALIKE = 50
"""If this many rows on average get the same change, one statement per change costs less than one per row."""

LABEL_CHARS = 60
"""Characters of a label in a detail."""

OUT = DECIDED[Reviewed.REJECT]
"""Rank of an image that a person took out."""


@dataclass(frozen=True, slots=True)
class Options:
    """How images are compared: by a build's spec, or by the options of a check."""

    mode: Mode
    near_distance: int
    label_conflicts: LabelConflicts
    placeholder_min: int
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the comparison found: placeholders by image id, copies of what a person took out, and of the others duplicates and conflicts."""

    placeholders: Mapping[int, Placeholder]
    resolution: Resolution
    taken_out: Mapping[int, Copy] = field(default_factory=dict)


async def find_duplicates(ctx: JobContext, unit: ClaimedUnit) -> None:
    """Mark the duplicates, placeholders and label conflicts of a build. A check only reports them, unless it was asked to apply.

    The whole dataset is decided anew from all of its valid images, also those that were left out for another one before, so that an
    image which comes later meets the same decision, and a repeated run changes nothing.
    """
    is_check = unit.job.kind is JobKind.DUPLICATES
    if not is_check:
        await remove_tombstoned(ctx, unit)
        await merge_rows(unit)
        if changes := await find_unselected(unit):
            await update_images(unit, iter(changes))
    options = _check_options(ctx, unit) if is_check else _build_options(unit)
    states = [ImageState.VALID, ImageState.KEPT] + ([] if is_check else [ImageState.DUPLICATE, ImageState.REJECTED])
    search_labels = await jobs.search_labels(ctx.db, unit.job.dataset_id)
    async with ctx.db.read() as connection:
        found = await fingerprints(connection, unit.job.dataset_id, states, label=options.label, search_labels=search_labels)
    compared = await _compare(ctx, found, options)
    changed = 0 if is_check and not unit.job.spec.get("apply") else await update_images(unit, _changes(found, compared))
    if not is_check and (over := await find_over_limit(unit)):
        await update_images(unit, iter(over))
    _log(found, compared, options)
    if is_check:
        async with unit.transaction() as connection:
            await datasets.set_report(connection, unit.job.id, _report(found, compared, applied=bool(changed)))
            await unit.finish_in(connection)


def _build_options(unit: ClaimedUnit) -> Options:
    spec = unit.spec
    return Options(spec.dedupe, spec.near_distance, spec.label_conflicts, spec.placeholder_min, spec.label)


def _check_options(ctx: JobContext, unit: ClaimedUnit) -> Options:
    asked, rules = unit.job.spec, ctx.settings.validate_
    return Options(
        mode=asked.get("mode", "near"),
        near_distance=int(asked.get("near_distance", rules.near_distance)),
        label_conflicts=asked.get("label_conflicts", rules.label_conflicts),
        placeholder_min=rules.placeholder_min,
    )


async def _compare(ctx: JobContext, found: Sequence[Fingerprint], options: Options) -> Comparison:
    """Find the placeholders, then compare the other images: a placeholder has any label and is a duplicate of nothing.

    What a person decided is no placeholder, and what shows the same picture as an image that a person took out is out as well.
    """
    duplicates = await asyncio.to_thread(dedupe.compare, found, options.mode, options.near_distance)
    out = {item.id for item in found if item.decided == OUT}
    decided = {item.id for item in found if item.decided}
    taken_out = {image_id: copy for image_id, copy in duplicates.items() if copy.kept_id in out}
    all_placeholders = await _find_placeholders(ctx, found, duplicates, options)
    placeholders = {key: value for key, value in all_placeholders.items() if key not in decided and key not in taken_out}
    left_out = placeholders.keys() | taken_out.keys() | out
    rest = [item for item in found if item.id not in left_out]
    known = None if left_out else duplicates
    resolution = await asyncio.to_thread(resolve, rest, options.mode, options.near_distance, options.label_conflicts, known)
    return Comparison(placeholders, resolution, taken_out)


async def _find_placeholders(
    ctx: JobContext, found: Sequence[Fingerprint], duplicates: Mapping[int, Copy], options: Options
) -> dict[int, Placeholder]:
    """Return the placeholders by image id. Only images that share their picture or address with two others are looked at."""
    if options.mode == "none" or not options.placeholder_min:
        return {}
    kept_ids = {image_id: copy.kept_id for image_id, copy in duplicates.items()}
    groups = await asyncio.to_thread(groups_of_one_picture, found, kept_ids)
    async with ctx.db.read() as connection:
        rows = await links(connection, sorted({image_id for group in groups for image_id in group}))
    labels = {item.id: item.label for item in found}
    by_id = {row.id: replace(row, label=labels[row.id]) for row in rows}
    placeholders: dict[int, Placeholder] = {}
    for group in groups:
        for placeholder in find_placeholders([by_id[image_id] for image_id in group], options.placeholder_min):
            placeholders |= dict.fromkeys((link.id for link in placeholder.links), placeholder)
    return placeholders


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


def _changes(found: Sequence[Fingerprint], compared: Comparison) -> Iterator[dict[str, Any]]:
    """The change of each image that is decided, or was and is not any more. Rejected ones point to another image of their picture."""
    resolution = compared.resolution
    kept_ids = {copy.kept_id for copy in resolution.duplicates.values()}
    digests = {item.id: item.sha256 for item in found if item.id in kept_ids}
    for item in found:
        if item.is_settled or item.decided == OUT:
            continue
        if item.id in compared.taken_out:
            copy = compared.taken_out[item.id]
            yield _change(item, ImageState.REJECTED, Reason.REJECTED_BY_REVIEWER, _taken_out_detail(copy), copy.kept_id)
        elif item.id in compared.placeholders:
            placeholder = compared.placeholders[item.id]
            other = next(link.id for link in placeholder.links if link.id != item.id)
            yield _change(item, ImageState.REJECTED, Reason.PLACEHOLDER, _placeholder_detail(placeholder), other)
        elif item.id in resolution.conflicts:
            conflict = resolution.conflicts[item.id]
            yield _change(item, ImageState.REJECTED, Reason.LABEL_CONFLICT, _conflict_detail(conflict), conflict.other_id)
        elif item.id in resolution.duplicates:
            kept, bits = resolution.duplicates[item.id]
            reason = Reason.DUPLICATE_EXACT if bits is None else Reason.DUPLICATE_NEAR
            detail = _copy_detail(kept, bits, has_its_bytes=item.sha256 == digests[kept])
            yield _change(item, ImageState.DUPLICATE, reason, detail, kept)
        elif item.state in (ImageState.DUPLICATE, ImageState.REJECTED):
            yield _change(item, ImageState.VALID, None, None, None)


def _change(item: Fingerprint, state: ImageState, reason: Reason | None, detail: str | None, other_id: int | None) -> dict[str, Any]:
    return {"id": item.id, "state": state, "reason": reason, "detail": detail, "duplicate_of": other_id}


def _copy_detail(kept: int, bits: int | None, *, has_its_bytes: bool) -> str:
    if bits is not None:
        return f"differs from image {kept} in {bits} of 64 bits"
    return f"the same bytes as {'' if has_its_bytes else 'a near duplicate of '}image {kept}"


def _taken_out_detail(copy: Copy) -> str:
    same = "the same bytes as" if copy.bits is None else f"differs in {copy.bits} of 64 bits from"
    return f"{same} image {copy.kept_id}, which a person took out"


def _conflict_detail(conflict: Conflict) -> str:
    same = "the same bytes" if conflict.has_same_bytes else "nearly the same picture"
    mine, other = (f"label {clipped(label, LABEL_CHARS)!r}" if label else "no label" for label in conflict.labels)
    return f"{mine}, but image {conflict.other_id}, {same}, has {other}"


def _placeholder_detail(placeholder: Placeholder) -> str:
    return f"{placeholder.urls} unrelated URLs of {clipped(placeholder.host, 100)} gave this picture or led to its address"


def _log(found: Sequence[Fingerprint], compared: Comparison, options: Options) -> None:
    resolution, exact = compared.resolution, sum(1 for copy in compared.resolution.duplicates.values() if copy.bits is None)
    log.info(
        "dataset.compared",
        images=len(found),
        duplicate_exact=exact,
        duplicate_near=len(resolution.duplicates) - exact,
        placeholder=len(compared.placeholders),
        label_conflict=len(resolution.conflicts),
        taken_out=len(compared.taken_out),
        distance=options.near_distance,
    )
    if resolution.pictures:
        log.warning(
            "dataset.label_conflicts", pictures=resolution.pictures, images=len(resolution.conflicts), policy=options.label_conflicts
        )


def _report(found: Sequence[Fingerprint], compared: Comparison, *, applied: bool) -> dict[str, Any]:
    duplicates = compared.resolution.duplicates
    listed = [{"image": image, "kept": kept, "distance": bits} for image, (kept, bits) in islice(duplicates.items(), MAX_REPORTED)]
    return {
        "images": len(found),
        "duplicates": len(duplicates),
        "placeholders": len(compared.placeholders),
        "label_conflicts": len(compared.resolution.conflicts),
        "applied": applied,
        "listed": listed,
    }
