"""Reads a folder: its images as pages of candidates, and the bytes of a chunk's images into the store, as links where that can be.

Retry: none here; nothing is requested. A file that cannot be read fails its image, a folder that is gone releases the unit.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import errors
from app.concurrency import to_thread_uncancelled
from app.db import images, reviews
from app.db.copy_images import Original
from app.discovery import SearchPage
from app.discovery.folders.folder import Cursor, FolderReader
from app.discovery.folders.place import Place
from app.discovery.folders.reading import LocalBytes, Reading
from app.discovery.folders.unpacked import TarFiles
from app.domain import Candidate, ImageState, ListProblem, Reason, StoredImage
from app.spec import FolderSpec
from app.storage import LinkableBody, paths
from logging_setup import get_logger
from workers.stages.outcomes import EMPTY_OUTCOME, NO_FORM, changed_columns
from workers.unit import ClaimedUnit, JobContext

__all__ = ["PAGE", "folder_pages", "read_chunk"]

log = get_logger(__name__)

FIRST_PAGE, PAGE = 200, 2_000
"""Images in one page and one transaction, as those of a list: the first is small, so that reading starts early."""

BATCH_BYTES = 8 << 20
"""Bytes read before they are stored and their rows are written."""

Read = tuple[int, LocalBytes | errors.PermanentError]


async def folder_pages(spec: FolderSpec, files: TarFiles, cursor: str | None, *, size: int = PAGE) -> AsyncGenerator[SearchPage, None]:
    """Read a folder as pages, from a cursor on. One page is in memory.

    Raises:
        errors.StorageError: there is no such folder any more.
    """
    reader = FolderReader(spec, files, Cursor.decode(cursor))
    page_size = min(size, FIRST_PAGE)
    is_last = False
    while not is_last:
        found, is_last = await asyncio.to_thread(reader.read, page_size)
        page_size = min(size, 2 * page_size)
        if is_last and reader.left_out:
            log.info("folder.left_out", entries=dict(reader.cursor.left_out))
        yield SearchPage(
            candidates=tuple(item for item in found if isinstance(item, Candidate)),
            cursor=None if is_last else reader.cursor.encode(),
            problems=tuple(item for item in found if isinstance(item, ListProblem)),
            note=reader.left_out if is_last else "",
        )


async def read_chunk(
    ctx: JobContext, unit: ClaimedUnit, folder: FolderSpec, pending: Sequence[StoredImage], originals: Mapping[int, Original]
) -> Counter[str]:
    """Store the bytes of images in a folder; return how many are ``ok`` and how many ``failed``. A file that an update finds as it was
    needs no other verdict."""
    reading = Reading(folder.path, ctx.settings.fetch.max_bytes, ctx.worker_resources.tars)
    counts: Counter[str] = Counter()
    promised = {image.id: str(image.expected_sha256) for image in pending} if unit.spec.lock else {}
    async for batch in unit.batches(pending):
        with closing(reading.read([(image.id, Place.parse(image.url)) for image in batch])) as found:
            while not unit.stop.is_set() and (part := await to_thread_uncancelled(_take, found)):
                counts.update(await _store(ctx, unit, part, promised, originals))
    return counts


def _take(found: Iterator[Read]) -> list[Read]:
    """Read images, about as many as `BATCH_BYTES` hold."""
    part: list[Read] = []
    size_bytes = 0
    for number, outcome in found:
        part.append((number, outcome))
        size_bytes += len(outcome.body) if isinstance(outcome, LocalBytes) else 0
        if size_bytes >= BATCH_BYTES:
            break
    return part


async def _store(
    ctx: JobContext, unit: ClaimedUnit, part: Sequence[Read], promised: Mapping[int, str], originals: Mapping[int, Original]
) -> Mapping[str, int]:
    """Store what was read and write all rows; then raise the first error of the store.

    Args:
        promised: by image id, the digest that a lock promises; other bytes are not stored.
        originals: by image id, what an image was that an update reads again.
    """
    unit.require_lease()
    read = {number: outcome for number, outcome in part if isinstance(outcome, LocalBytes)}
    changed = [_changed(number, read.pop(number), sha256) for number, sha256 in promised.items() if _is_other(read.get(number), sha256)]
    bodies = [LinkableBody(paths.blob(found.sha256), found.body, found.file) for found in read.values()]
    results = dict(zip(read, await ctx.store.link_many(bodies), strict=True))
    now = time.time()
    rows = [_fetched(number, found, now, originals.get(number)) for number, found in read.items() if results[number] is None]
    altered = [row["id"] for row in rows if row["id"] in originals and row["state"] is ImageState.FETCHED]
    failed = [_failed(number, outcome) for number, outcome in part if isinstance(outcome, errors.PermanentError)]
    async with unit.transaction() as connection:
        await images.update_many(connection, [*rows, *failed, *changed])
        if altered:
            await images.update_alike(connection, altered, NO_FORM)
            await reviews.void(connection, altered)
        await unit.record_progress(connection)
    for error in filter(None, results.values()):
        raise error
    return {"ok": len(rows), "failed": len(failed) + len(changed)}


def _fetched(number: int, found: LocalBytes, now: float, original: Original | None) -> dict[str, Any]:
    known = {"sha256": found.sha256, "size_bytes": len(found.body), "media_type": found.media_type, "fetched_at": now}
    if original is not None and original.sha256 == found.sha256:
        known |= {"reason": original.values["reason"], "detail": original.values["detail"]}
        return {"id": number, "state": original.state} | EMPTY_OUTCOME | known
    return {"id": number, "state": ImageState.FETCHED} | EMPTY_OUTCOME | known


def _is_other(found: LocalBytes | None, sha256: str) -> bool:
    return found is not None and found.sha256 != sha256


def _changed(number: int, found: LocalBytes, promised: str) -> dict[str, Any]:
    columns = changed_columns(promised, found.sha256, len(found.body))
    return {"id": number, "state": ImageState.FAILED} | EMPTY_OUTCOME | {"reason": Reason.CHANGED} | columns


def _failed(number: int, error: errors.PermanentError) -> dict[str, Any]:
    return {"id": number, "state": ImageState.FAILED} | EMPTY_OUTCOME | {"reason": error.slug, "detail": str(error)}
