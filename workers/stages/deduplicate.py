"""Checks over a whole dataset: duplicates, and the integrity of what is stored."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from app.db import Connection, exports, images
from app.db.fingerprints import Fingerprint, fingerprints
from app.domain import ImageState, JobKind, Reason
from app.images.dedupe import find_exact, find_near
from app.storage import threads
from logging_setup import get_logger
from workers.stages.decode import source_of
from workers.stages.validate import digest_of
from workers.unit import Context, Work

__all__ = ["find_duplicates", "reread", "write_all"]

log = get_logger(__name__)

REPORTED = 100
"""Findings that a report lists; all are counted."""

WRITE_BATCH = 2_000
"""Rows changed in one transaction."""

ALIKE = 50
"""Rows that change alike, on average, from which on a statement for each kind of change costs less than one for each row."""


async def find_duplicates(ctx: Context, work: Work) -> None:
    """Mark the duplicates of a build; for a check on its own, report them and change nothing unless asked to."""
    is_check = work.job.kind is JobKind.DUPLICATES
    options: Mapping[str, Any] = work.job.spec if is_check else {}
    mode = str(options.get("mode", "near")) if is_check else work.spec.dedupe
    distance = int(options.get("near_distance", ctx.settings.validate_.near_distance)) if is_check else work.spec.near_distance
    states = [ImageState.VALID, ImageState.KEPT] + ([] if is_check else [ImageState.DUPLICATE])
    async with ctx.db.read() as connection:
        found = await fingerprints(connection, work.job.dataset_id, states)
    groups = await asyncio.to_thread(_compare, found, mode, distance)
    changed = 0 if is_check and not options.get("apply") else await write_all(work, _changes(found, groups))
    exact = sum(1 for _, how in groups.values() if how is None)
    log.info("dataset.compared", images=len(found), duplicate_exact=exact, duplicate_near=len(groups) - exact, distance=distance)
    if is_check:
        async with work.transaction() as connection:
            await exports.set_report(connection, work.job.id, _report(found, groups, applied=bool(changed)))
            await work.finish_in(connection)


async def write_all(work: Work, changes: Iterator[dict[str, Any]]) -> int:
    """Change any number of images, a batch at a time; return how many. They are made as they are written, and never all there."""
    written = 0
    async for batch in threads.in_batches(changes, WRITE_BATCH):
        async with work.transaction() as connection:
            await _write(connection, batch)
        written += len(batch)
    return written


async def _write(connection: Connection, batch: Sequence[Mapping[str, Any]]) -> None:
    """Few labels and splits make few kinds of change, and one statement does each; a duplicate's words are its own."""
    kinds: dict[tuple[Any, ...], list[int]] = {}
    for change in batch:
        kinds.setdefault(tuple(item for item in change.items() if item[0] != "id"), []).append(change["id"])
    if len(kinds) * ALIKE > len(batch):
        await images.update_many(connection, batch)
        return
    for kind, ids in kinds.items():
        await images.update_alike(connection, ids, dict(kind))


def _compare(found: Sequence[Fingerprint], mode: str, distance: int) -> dict[int, tuple[int, int | None]]:
    """Duplicate id -> (kept id, distance in bits; ``None`` where the bytes are equal)."""
    if mode == "none":
        return {}
    exact = find_exact(found)
    groups: dict[int, tuple[int, int | None]] = {duplicate: (match.kept_id, None) for duplicate, match in exact.items()}
    if mode == "near":
        near = find_near((item for item in found if item.id not in exact), distance)
        groups |= {duplicate: (match.kept_id, match.distance) for duplicate, match in near.items()}
        groups = {duplicate: (_root(kept, near), how) for duplicate, (kept, how) in groups.items()}
    return groups


def _root(kept: int, near: Mapping[int, Any]) -> int:
    return near[kept].kept_id if kept in near else kept


def _changes(found: Sequence[Fingerprint], groups: Mapping[int, tuple[int, int | None]]) -> Iterator[dict[str, Any]]:
    keepers = {kept for kept, _ in groups.values()}
    digests = {item.id: item.sha256 for item in found if item.id in keepers}
    for item in found:
        if item.id in groups:
            kept, how = groups[item.id]
            words = _words(kept, how, has_its_bytes=item.sha256 == digests[kept])
            reason = Reason.DUPLICATE_EXACT if how is None else Reason.DUPLICATE_NEAR
            yield {"id": item.id, "state": ImageState.DUPLICATE, "reason": reason, "detail": words, "duplicate_of": kept}
        elif item.state is ImageState.DUPLICATE:
            yield {"id": item.id, "state": ImageState.VALID, "reason": None, "detail": None, "duplicate_of": None}


def _words(kept: int, distance: int | None, *, has_its_bytes: bool) -> str:
    if distance is not None:
        return f"differs from image {kept} in {distance} of 64 bits"
    return f"the same bytes as {'' if has_its_bytes else 'a near duplicate of '}image {kept}"


def _report(found: Sequence[Fingerprint], groups: Mapping[int, tuple[int, int | None]], *, applied: bool) -> dict[str, Any]:
    listed = [{"image": image, "kept": kept, "distance": how} for image, (kept, how) in islice(groups.items(), REPORTED)]
    return {"images": len(found), "duplicates": len(groups), "applied": applied, "listed": listed}


async def reread(ctx: Context, work: Work) -> None:
    """Read every object a dataset points to and compare its digest with its row."""
    checked = 0
    problems: list[dict[str, Any]] = []
    last_id = 0
    while True:
        async with ctx.db.read() as connection:
            page = await images.kept_after(connection, work.job.dataset_id, last_id=last_id, limit=500)
        for image in page:
            for digest in filter(None, {image.sha256, image.out_sha256}):
                checked += 1
                problem = await _problem_of(ctx, digest)
                if problem:
                    problems.append({"image": image.id, "sha256": digest, "problem": problem})
            work.require_lease()
        if len(page) < 500:
            break
        last_id = page[-1].id
    async with work.transaction() as connection:
        report = {"checked": checked, "problems": problems[:REPORTED], "problem_count": len(problems)}
        await exports.set_report(connection, work.job.id, report)
        await work.finish_in(connection)
    log.log("ERROR" if problems else "INFO", "dataset.reread", checked=checked, problems=len(problems))


async def _problem_of(ctx: Context, digest: str) -> str | None:
    source = await source_of(ctx, digest)
    if source is None:
        return "missing"
    found = await digest_of(source)
    return None if found == digest else f"bytes differ: sha256 is {found}"
