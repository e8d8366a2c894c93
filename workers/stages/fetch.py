"""Fetches the URLs of one chunk whose bytes are not stored yet: bytes go to the store, every outcome goes to the image's row.

Retry: none here. The downloader retries URLs; a URL with an outcome is not requested again when the unit runs again.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from app.concurrency import BoundedTasks
from app.db import attempts, candidates, images, lifecycle, tombstones, units
from app.db.attempts import Used
from app.db.copy_images import Original
from app.db.rows import NewUnit
from app.domain import FOLDER_SOURCE, ImageState, StoredImage
from app.job_states import UnitKind
from app.storage import paths
from downloader import Deferred, Fetched, FetchFailed, NotModified
from logging_setup import get_logger
from workers.stages.outcomes import OutcomeRecorder
from workers.stages.read_folder import read_chunk
from workers.stages.reuse import Prepared, prepare
from workers.stages.update import as_they_were, load_originals
from workers.unit import ClaimedUnit, JobContext

__all__ = ["BlobWriter", "fetch_chunk", "settle_chunk"]

log = get_logger(__name__)

MAX_BODIES = 16
"""Bodies of one chunk that may be on their way to the store at once; bounds memory."""

BATCH_BODIES = 8
"""Bodies stored in one call; in a folder a batch costs little more than one body."""

LINGER_S = 0.1
"""Longest time a body waits for its batch to fill, seconds. Rows are written every half second, so the wait is invisible."""

FINISHED_EARLY = "the build was finished with what it had"

MIN_FREE_BYTES = 1 << 20
"""Bytes that the store must accept before a chunk that met a storage error continues."""


async def fetch_chunk(ctx: JobContext, unit: ClaimedUnit, chunk_id: str) -> Counter[str]:
    """Fetch what is still missing of a chunk; an image with an outcome is not requested again.

    Returns:
        How many images are ``ok``, ``reused``, ``not_modified``, ``failed`` and ``deferred``.
    """
    if unit.finishes_early:
        async with unit.transaction() as connection:
            await images.update_many(connection, as_they_were(await load_originals(connection, unit, chunk_id)))
            return Counter(failed=await images.fail_open(connection, chunk_id, FINISHED_EARLY))
    if unit.is_unneeded:
        async with unit.transaction() as connection:
            await candidates.put_back(connection, [chunk_id])
        return Counter()
    if unit.row.error:  # an error of ours released it: each request counts, so send none that cannot arrive or whose bytes cannot be stored
        await ctx.store.check(MIN_FREE_BYTES)
        await ctx.downloader.check_proxy()
    async with unit.transaction() as connection:
        pending = await images.chunk_images(connection, chunk_id, [ImageState.PENDING, ImageState.DEFERRED], due_only=True)
        used = await attempts.used(connection, unit.row, [image.id for image in pending])
        originals = await load_originals(connection, unit, chunk_id)
    pending.sort(key=lambda image: used[image.id].lost if image.id in used else 0)  # what was in hand at a death is requested last
    counts: Counter[str] = Counter()
    if (folder := unit.spec.folder) is not None:
        counts += await read_chunk(ctx, unit, folder, [image for image in pending if image.source == FOLDER_SOURCE], originals)
        pending = [image for image in pending if image.source != FOLDER_SOURCE]
        if not pending:
            return counts
    prepared = await prepare(ctx, unit, chunk_id, pending)
    counts.update(reused=prepared.reused, failed=prepared.tombstoned)
    async for batch in unit.batches(prepared.to_fetch):
        counts.update(await _fetch(ctx, unit, batch, used, prepared, originals))
    return counts


async def _fetch(
    ctx: JobContext,
    unit: ClaimedUnit,
    batch: Sequence[StoredImage],
    used: Mapping[int, Used],
    prepared: Prepared,
    originals: Mapping[int, Original],
) -> Counter[str]:
    recorder = OutcomeRecorder(unit, batch, used, prepared.stored, originals)

    async def store(bodies: Sequence[Fetched]) -> None:
        if prepared.has_tombstones:
            bodies = await _without_tombstoned(ctx, unit, recorder, bodies)
        await _store(ctx, recorder, bodies)

    async with recorder, BlobWriter(store) as blobs:
        async with aclosing(ctx.downloader.fetch_many(recorder.requests(), log=recorder, stop=unit.stop)) as outcomes:
            async for outcome in outcomes:
                match outcome:
                    case Fetched() if recorder.is_changed(outcome):
                        recorder.add_changed(outcome)
                    case Fetched():
                        await blobs.add(outcome)
                    case NotModified():
                        recorder.add_not_modified(outcome)
                    case FetchFailed():
                        recorder.add_failed(outcome)
                    case Deferred():
                        recorder.add_deferred(outcome, ctx.settings.retry)
    if recorder.not_confirmed:
        log.warning("chunk.not_confirmed", images=recorder.not_confirmed)
    return Counter(ok=recorder.ok, not_modified=recorder.not_modified, failed=recorder.failed, deferred=recorder.deferred)


async def _without_tombstoned(
    ctx: JobContext, unit: ClaimedUnit, recorder: OutcomeRecorder, bodies: Sequence[Fetched]
) -> Sequence[Fetched]:
    """Record the bodies that were removed on request under another URL, and return the others: the former are never stored."""
    async with ctx.db.read() as connection:
        named = await tombstones.by_digest(connection, unit.job.user_id, [body.sha256 for body in bodies])
    forgotten = {tombstone.sha256: tombstone for tombstone in named}
    for body in bodies:
        if body.sha256 in forgotten:
            recorder.add_tombstoned(body, forgotten[body.sha256])
    return [body for body in bodies if body.sha256 not in forgotten]


async def _store(ctx: JobContext, recorder: OutcomeRecorder, bodies: Sequence[Fetched]) -> None:
    """Store bodies and record those that are stored; then raise the first error."""
    results = await ctx.store.put_many([(paths.blob(outcome.sha256), outcome.body) for outcome in bodies])
    for outcome, error in zip(bodies, results, strict=True):
        if error is None:
            recorder.add_fetched(outcome)
    for error in filter(None, results):
        raise error


class BlobWriter:
    """Writes bodies to the store in batches, a bounded number at a time. A failure is raised by a later call or by the exit."""

    def __init__(self, store: Callable[[Sequence[Fetched]], Coroutine[Any, Any, None]]) -> None:
        self._store = store
        self._waiting: list[Fetched] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: BoundedTasks[None] = BoundedTasks(MAX_BODIES // BATCH_BODIES)

    async def __aenter__(self) -> "BlobWriter":
        return self

    async def add(self, body: Fetched) -> None:
        """Add a body to the next batch; waits while too many batches are being stored."""
        self._waiting.append(body)
        if len(self._waiting) >= BATCH_BODIES:
            self._start_batch()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER_S, self._start_batch)
        await self._tasks.wait_for_slot()

    def _start_batch(self) -> None:
        if batch := self._take_waiting():
            self._tasks.start(self._store(batch))

    def _take_waiting(self) -> list[Fetched]:
        if self._timer is not None:
            self._timer.cancel()
        taken, self._waiting, self._timer = self._waiting, [], None
        return taken

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        async with self._tasks:
            if kind is None:
                self._start_batch()
                await self._tasks.wait_all()
            else:
                self._take_waiting()


async def settle_chunk(unit: ClaimedUnit, chunk_id: str) -> None:
    """Finish the unit, or release it for what is deferred or was stopped. Fetched images go on to validation either way."""
    async with unit.transaction() as connection:
        states = await images.chunk_states(connection, chunk_id)
        children = [NewUnit(UnitKind.VALIDATE, {"chunk_id": chunk_id})] if ImageState.FETCHED in states else []
        if not states.keys() & {ImageState.PENDING, ImageState.DEFERRED}:
            await unit.finish_in(connection, children)
            return
        await lifecycle.add_units(connection, unit.job.id, children)
        until = 0.0 if ImageState.PENDING in states else states[ImageState.DEFERRED]
        stays = unit.is_quarantined and unit.stop.is_set()
        await units.release_in(connection, unit.row, until=until, quarantined=stays)
        unit.is_settled = True
