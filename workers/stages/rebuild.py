"""Rebuilds a dataset from its lock: the images are those of the lock, with its labels, splits and licences; no check decides again.

Only the forms that are exported are derived here, and compared with the lock's. Retry: none here; nothing is requested from the network.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from app import encoders
from app.datasets.forget import TombstoneIndex
from app.datasets.lock_format import Form, LockedImage, LockedRejection, LockHeader
from app.datasets.lock_reading import read_images, read_rejections
from app.datasets.stored_bytes import ANY_IMAGE
from app.db import images, jobs, lifecycle, locked_images, new_id, tombstones
from app.db.image_search import Likeness
from app.db.rows import NewUnit, Search
from app.discovery.folders.place import file_url
from app.domain import ImageState, Reason, StoredImage, Verdict
from app.images.pool.protocol import Answer
from app.inputs import LockSpec
from app.job_states import UnitKind
from app.rules import CompressionRules
from app.storage import paths
from downloader.url_guard import normalise
from errors import as_evidence
from logging_setup import get_logger
from workers.stages.compress import output_columns, write_rows
from workers.stages.decode import MISSING, decode_batch, in_batches, put_all
from workers.stages.remove_tombstoned import remove_tombstoned
from workers.unit import ClaimedUnit, JobContext

__all__ = ["accept_chunk", "accepted_row", "as_pending", "keep_images", "list_images"]

log = get_logger(__name__)

Row = dict[str, Any]

PAGE = 1_000
"""Images of a lock in one transaction."""


async def list_images(unit: ClaimedUnit, search: Search, lock: LockSpec) -> None:
    """Insert the images of a lock, page by page, with the units that fetch them. A page is stored with its cursor.

    What was removed on request here, or shows the same picture, is inserted as removed, and never fetched.
    """
    skip = int(search.cursor or 0)
    folder = unit.spec.folder.path if unit.spec.folder else ""
    forgotten = TombstoneIndex(await tombstones.of_user(unit.ctx.db, unit.job.user_id), unit.spec.near_distance)
    async with unit.ctx.store.as_local_file(lock.key) as path:
        with closing(read_images(path, lock.packing, skip=skip)) as found:
            while page := await asyncio.to_thread(_take, found, folder, forgotten):
                skip += len(page)
                await _insert(unit, search.id, page, skip)
                await unit.ctx.dispatch_next()
                if unit.stop.is_set():
                    await unit.release()
                    return
        await _insert_rejected(unit, search.id, path, lock, skip, folder)
    async with unit.transaction() as connection:
        await jobs.advance_search(connection, search.id, cursor=str(skip), is_exhausted=True, found=0, new=0, bad=0, note=None)


async def _insert_rejected(unit: ClaimedUnit, search_id: str, path: Path, lock: LockSpec, images_read: int, folder: str) -> None:
    """Insert what a person took out before the lock was written, so that no later version takes it in."""
    job = unit.job
    with closing(read_rejections(path, lock.packing, skip=images_read)) as found:
        while page := await asyncio.to_thread(lambda: [as_rejected(one, folder) for one in islice(found, PAGE)]):
            async with unit.transaction() as connection:
                await locked_images.add_rejected(connection, dataset_id=job.dataset_id, job_id=job.id, search_id=search_id, rows=page)
            log.info("lock.rejected", images=len(page))


def as_rejected(found: LockedRejection, folder: str) -> Row:
    """Return the columns of an image that a person took out; see `as_pending`."""
    url = found.url or f"{file_url(folder)}/{found.path}"
    key = images.url_digest(normalise(found.url) if found.url is not None else url)
    values = found.model_dump(exclude={"url", "path", "at"})
    return values | {"url": url, "url_key": key, "rank": 0, "reviewed_at": found.at}


def _take(found: Iterator[LockedImage], folder: str, forgotten: TombstoneIndex) -> list[Row]:
    page = [as_pending(image, folder) for image in islice(found, PAGE)]
    names = ("url_key", "expected_sha256", "phash", "out_sha256", "state")
    for match in forgotten.find([Likeness(at, "", *(row[name] for name in names)) for at, row in enumerate(page)]):
        row = page[match.image.id]
        row |= {name: value for name, value in match.change.items() if name in row}
    return page


_PENDING: Row = {"state": ImageState.PENDING, "reason": None, "detail": None}


def as_pending(image: LockedImage, folder: str) -> Row:
    """Return the columns of an image as the lock has it, before it is fetched.

    Args:
        folder: absolute path of the one that images without a URL lie in.
    """
    values = image.model_dump(exclude={"index", "url", "path", "form", "review", "sha256", "size_bytes", "media_type"})
    review = image.review
    values |= {"reviewed": review and review.decision, "reviewed_at": review and review.at, "reviewed_label": review and review.label}
    form = image.form.model_dump() if image.form else dict.fromkeys(Form.model_fields)
    url = image.url or f"{file_url(folder)}/{image.path}"
    values |= {f"out_{name}": value for name, value in form.items() if name != "changes"} | {"changes": form["changes"]}
    values |= {"url": url, "url_key": images.url_digest(url if image.url is None else image.place), "expected_sha256": image.sha256}
    return values | _PENDING | {"line": image.index + 2, "rank": image.index}


async def _insert(unit: ClaimedUnit, search_id: str, page: Sequence[Row], cursor: int) -> None:
    job, size = unit.job, unit.ctx.settings.jobs.chunk_size
    chunks = {new_id("chunk"): page[start : start + size] for start in range(0, len(page), size)}
    async with unit.transaction() as connection:
        new = await locked_images.add(connection, dataset_id=job.dataset_id, job_id=job.id, search_id=search_id, chunks=chunks)
        await lifecycle.add_units(connection, job.id, [NewUnit(UnitKind.FETCH, {"chunk_id": chunk_id}) for chunk_id in chunks])
        await jobs.advance_search(connection, search_id, cursor=str(cursor), is_exhausted=False, found=len(page), new=new, bad=0, note=None)
        await unit.record_progress(connection)
    log.info("lock.page", images=len(page), read=cursor)


async def accept_chunk(ctx: JobContext, unit: ClaimedUnit, lock: LockSpec, chunk_id: str) -> None:
    """Accept the fetched images of a chunk, whose digests are the lock's; derive their thumbnails and the forms that are exported."""
    header = LockHeader(**lock.header)
    async with ctx.db.read() as connection:
        fetched = await images.chunk_images(connection, chunk_id, [ImageState.FETCHED])
    with_form = [image for image in fetched if image.out_sha256 is not None]
    as_fetched = [image for image in fetched if image.out_sha256 is None]
    counts = await _accept(ctx, unit, header, with_form, None if header.recipe.is_identity else header.recipe)
    counts += await _accept(ctx, unit, header, as_fetched, None)
    log.info("chunk.accepted", ok=counts[None], other_forms=counts[Reason.CHANGED])
    if unit.is_incomplete:
        await unit.release()


async def _accept(
    ctx: JobContext, unit: ClaimedUnit, header: LockHeader, chosen: Sequence[StoredImage], recipe: CompressionRules | None
) -> Counter[Reason | None]:
    """Derive and write the rows of images that leave by one recipe; count them by their reason."""
    counts: Counter[Reason | None] = Counter()
    async for batch in unit.batches(chosen):
        derive = partial(_derive, ctx, header, recipe)
        async with aclosing(in_batches(ctx, unit, batch, derive)) as groups:
            async for rows in groups:
                async with unit.transaction() as connection:
                    await write_rows(connection, rows)
                    await unit.record_progress(connection)
                counts.update(row["reason"] for row in rows)
    return counts


async def _derive(ctx: JobContext, header: LockHeader, recipe: CompressionRules | None, batch: Sequence[StoredImage]) -> list[Row]:
    answers = dict(await decode_batch(ctx, batch, ANY_IMAGE, recipe))
    rows: list[Row] = []
    objects: list[tuple[str, bytes]] = []
    for image in batch:
        verdict = _verdict(answers.get(image.id))
        rows.append(accepted_row(image, verdict, header.libraries))
        if verdict.thumbnail is not None:
            objects.append((paths.thumb(str(image.sha256)), verdict.thumbnail))
        if verdict.output is not None and image.out_sha256 is not None:
            objects.append((paths.blob(output_columns(verdict.output)["out_sha256"]), verdict.output.body))
    await put_all(ctx, objects)
    return rows


def _verdict(answer: Answer | None) -> Verdict:
    return Verdict(Reason.CORRUPT, MISSING) if answer is None else answer.as_verdict()


def accepted_row(image: StoredImage, verdict: Verdict, libraries: Mapping[str, str]) -> Row:
    """Return the columns of an image that came with the digest of its lock.

    It is valid whatever this machine makes of it. Where its form is another than the lock's, it has that form, and the reason ``changed``;
    one whose form cannot be derived at all is rejected.

    Args:
        libraries: versions that the lock was made with.
    """
    media_type = f"image/{verdict.format}" if verdict.format else image.media_type
    row: Row = {"id": image.id, "state": ImageState.VALID, "reason": None, "detail": None, "evidence": None, "media_type": media_type}
    row |= {"measures": dict(verdict.measures), "colour_grid": verdict.colour_grid}
    row["expected_sha256"] = None  # the promise is kept; an update may take what the origin has then
    if image.out_sha256 is None:
        return row
    if verdict.output is None:
        why = verdict.detail or "this version derives none"
        return row | {
            "state": ImageState.REJECTED,
            "reason": verdict.reason or Reason.CHANGED,
            "detail": f"its form cannot be derived: {why}",
            "evidence": _differing_versions(libraries),
        }
    columns = output_columns(verdict.output)
    if columns["out_sha256"] == image.out_sha256:
        return row
    evidence = as_evidence(_differing_versions(libraries))
    detail = f"form differs: sha256 {columns['out_sha256']}, the lock has {image.out_sha256}"
    return row | columns | {"reason": Reason.CHANGED, "detail": detail, "evidence": evidence}


def _differing_versions(libraries: Mapping[str, str]) -> str:
    found = encoders.differences(libraries, encoders.versions())
    return found or "every library has the lock's version; another processor or build of one of them"


async def keep_images(ctx: JobContext, unit: ClaimedUnit) -> None:
    """Keep what came, with the labels and splits of the lock, but for what was removed on request meanwhile."""
    await remove_tombstoned(ctx, unit)
    async with unit.transaction() as connection:
        kept = await locked_images.keep_valid(connection, unit.job.dataset_id)
    log.info("dataset.rebuilt", kept=kept)
