"""Writes the attempts and outcomes of one chunk in groups: attempts before their requests, outcomes within a second after.

Implements the downloader's attempt log. Outcomes are counted in the metrics once they are written.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import errors
from app.concurrency import BatchWriter
from app.db import attempts, images, reviews
from app.db.attempts import Used
from app.db.copy_images import Original
from app.db.earlier_fetches import EarlierFetch
from app.db.tombstones import Tombstone
from app.domain import ImageState, Reason, Reuse, StoredImage
from app.formatting import duration
from app.settings import RetrySettings
from downloader import Attempt, Deferred, Fetched, FetchFailed, FetchRequest, NotModified, Outcome
from logging_setup import get_logger
from workers.stages.fetch_metrics import UrlResult, count_attempt, result_of
from workers.stages.reuse import stored_columns, validators_of
from workers.stages.update import keeps_bytes
from workers.unit import ClaimedUnit

__all__ = ["EMPTY_OUTCOME", "NO_FORM", "OutcomeRecorder", "changed_columns"]

log = get_logger(__name__)

RESERVE_AHEAD = 32
"""URLs whose next attempt is reserved in one statement."""

FLUSH_S = 0.5
"""Longest time an outcome waits to be written, seconds; half of what the design promises."""

AttemptKey = tuple[int, int]
"""Image id, and the downloader's number of the attempt."""


class OutcomeRecorder:
    """Implements :class:`downloader.AttemptLog` for the chunk of one claimed unit.

    Use it as a context: on exit it writes what is unwritten and deletes reservations that were not used.
    """

    def __init__(
        self,
        unit: ClaimedUnit,
        pending: Sequence[StoredImage],
        used: Mapping[int, Used],
        stored: Mapping[int, EarlierFetch] | None = None,
        originals: Mapping[int, Original] | None = None,
    ) -> None:
        """Record for the images of a chunk that have no outcome yet.

        Args:
            unit: the claimed unit.
            pending: the images.
            used: by image id, the attempts that it has used. Images are requested in the order of ``pending``.
            stored: by image id, the bytes whose validators are sent with its request.
            originals: by image id, what an image was that is asked for again, and is again where its bytes have not changed.
        """
        self._unit = unit
        self._order = [image.id for image in pending]
        self._images = {image.id: image for image in pending}
        self._used = {image.id: used.get(image.id, Used()) for image in pending}
        self._stored = stored or {}
        self._is_locked = unit.spec.lock is not None
        self._originals = originals or {}
        self._last_row = {image.id: self._used[image.id].last for image in pending}
        self._reserved: dict[AttemptKey, int] = {}  # the row number of each reserved attempt
        self._sent: set[AttemptKey] = set()
        self._next = 0
        self._reservations = BatchWriter(self._reserve_keys)  # logs in this context, the chunk's, not in one URL's
        self._late: list[tuple[int, int]] = []  # reserved with their outcome
        self._finished: list[tuple[int, int, Attempt]] = []
        self._changes: list[dict[str, Any]] = []
        self._altered: list[int] = []  # asked for again, with other bytes than before
        self._results: list[UrlResult] = []  # counted when the changes are written
        self._flusher: asyncio.Task[None] | None = None
        self.ok = self.not_modified = self.failed = self.deferred = self.not_confirmed = 0

    def requests(self) -> list[FetchRequest]:
        """The URLs still to fetch, each with the number of attempts already made."""
        return [self._request(image) for image in self._images.values()]

    def _request(self, image: StoredImage) -> FetchRequest:
        stored = self._stored.get(image.id)
        validators = validators_of(stored) if stored else None
        return FetchRequest(image.url, key=image.id, attempts_made=self._used[image.id].counted, validators=validators)

    async def __aenter__(self) -> "OutcomeRecorder":
        self._flusher = asyncio.create_task(self._flush_regularly())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._flusher is not None
        self._flusher.cancel()
        await asyncio.gather(self._flusher, return_exceptions=True)
        await self._reservations.finish()
        closing = asyncio.create_task(self._close())
        closing.add_done_callback(_retrieve_exception)
        await asyncio.shield(closing)

    async def _close(self) -> None:
        await self._while_leased(self.flush)
        unused = [(image_id, row) for (image_id, number), row in self._reserved.items() if (image_id, number) not in self._sent]
        if unused:
            async with self._unit.transaction() as connection:
                await attempts.drop_reserved(connection, self._unit.row, unused)

    async def _while_leased(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat a step while the database is unavailable and the lease holds, so that a short outage loses no outcome and no request."""
        while True:
            try:
                return await step()
            except errors.DatabaseConnectionError as error:
                log.warning("outcomes.not_written", error=str(error))
                await asyncio.sleep(FLUSH_S)
                self._unit.require_lease()

    async def _flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.flush()
            except errors.DatabaseConnectionError as error:
                log.warning("outcomes.not_written", error=str(error))

    async def reserve(self, request: FetchRequest, number: int) -> None:
        """See :class:`downloader.AttemptLog`. The first request also reserves for the URLs after it; retries share a statement."""
        self._unit.require_lease()
        key = (int(str(request.key)), number)
        if key not in self._reserved:
            await self._reservations.add(key)
        self._unit.require_lease()
        self._sent.add(key)

    async def _reserve_keys(self, keys: Sequence[AttemptKey]) -> None:
        """Write the reservations of these attempts and of some that come next, in one statement."""
        fresh = {key: self._next_row(key[0]) for key in keys if key not in self._reserved}
        if fresh:
            fresh |= self._reserve_ahead(fresh)
            await self._while_leased(functools.partial(self._write_reservations, fresh))
            self._reserved |= fresh

    async def _write_reservations(self, fresh: Mapping[AttemptKey, int]) -> None:
        async with self._unit.transaction() as connection:
            await attempts.reserve(connection, self._unit.row, [(key[0], row) for key, row in fresh.items()])

    def _next_row(self, image_id: int) -> int:
        self._last_row[image_id] += 1
        return self._last_row[image_id]

    def _reserve_ahead(self, fresh: Mapping[AttemptKey, int]) -> dict[AttemptKey, int]:
        """First attempts of the URLs that come next, reserved in the same statement as the requested ones.

        A URL with a lost attempt is not reserved ahead: a process that dies again would cost it an attempt without a request.
        """
        ahead: dict[AttemptKey, int] = {}
        while self._next < len(self._order) and len(ahead) < RESERVE_AHEAD:
            image_id = self._order[self._next]
            self._next += 1
            key = (image_id, self._used[image_id].counted + 1)
            if key not in fresh and key not in self._reserved and not self._used[image_id].lost:
                ahead[key] = self._next_row(image_id)
        return ahead

    def record(self, request: FetchRequest, attempt: Attempt) -> None:
        """See :class:`downloader.AttemptLog`. An attempt that failed over its robots.txt is reserved here, and counts like any other."""
        image_id = int(str(request.key))
        key = (image_id, attempt.number)
        if key not in self._reserved:
            self._reserved[key] = self._next_row(image_id)
            self._late.append((image_id, self._reserved[key]))
        self._sent.add(key)
        self._finished.append((image_id, self._reserved[key], attempt))
        count_attempt(attempt)

    def add_fetched(self, outcome: Fetched) -> None:
        """Record an image whose bytes are in the store."""
        self.ok += 1
        self._results.append(result_of(outcome))
        image = self._images[int(str(outcome.request.key))]
        self._came(
            image,
            sha256=outcome.sha256,
            size_bytes=len(outcome.body),
            media_type=outcome.media_type,
            final_url=outcome.final_url,
            fetched_at=time.time(),
            etag=outcome.validators.etag if outcome.validators else None,
            last_modified=outcome.validators.last_modified if outcome.validators else None,
            **self._circumstances(outcome),
        )

    def add_tombstoned(self, outcome: Fetched, tombstone: Tombstone) -> None:
        """Record an image whose bytes were removed on request; they are not stored."""
        self.failed += 1
        self._results.append(result_of(outcome))
        image = self._images[int(str(outcome.request.key))]
        state, reason, detail = (tombstone.change[name] for name in ("state", "reason", "detail"))
        self._change(image, state, reason=reason, detail=detail, final_url=outcome.final_url, **_decisions(outcome))

    def add_not_modified(self, outcome: NotModified) -> None:
        """Record an image whose stored bytes its origin has confirmed."""
        self.not_modified += 1
        self._results.append(result_of(outcome))
        image = self._images[int(str(outcome.request.key))]
        now = {"final_url": outcome.final_url, "fetched_at": time.time(), "reuse": Reuse.NOT_MODIFIED} | self._circumstances(outcome)
        self._came(image, **stored_columns(self._stored[image.id]) | now)

    def _came(self, image: StoredImage, *, sha256: str, **values: Any) -> None:
        """Record the bytes of an image. Those that it had before need no other verdict."""
        original = self._originals.get(image.id)
        if original is not None and original.sha256 == sha256:
            known = {"reason": original.values["reason"], "detail": original.values["detail"]}
            self._change(image, original.state, **known, sha256=sha256, **values)
            return
        if original is not None:
            self._altered.append(image.id)
        self._change(image, ImageState.FETCHED, sha256=sha256, **values)

    def _circumstances(self, outcome: Fetched | NotModified) -> dict[str, str]:
        """The columns by which a later job decides whether it may use the bytes."""
        return {"exempt_networks": " ".join(self._unit.ctx.settings.fetch.allow_networks), **_decisions(outcome)}

    def is_changed(self, outcome: Fetched) -> bool:
        """Whether the bytes are others than a lock promises. What a list promises is checked with the image."""
        return self._is_locked and outcome.sha256 != self._images[int(str(outcome.request.key))].expected_sha256

    def add_changed(self, outcome: Fetched) -> None:
        """Record an image whose origin has other bytes than the lock promises; they are dropped."""
        image = self._images[int(str(outcome.request.key))]
        self._results.append(replace(result_of(outcome), outcome="failed", reason=Reason.CHANGED))
        columns = changed_columns(image.expected_sha256, outcome.sha256, len(outcome.body))
        self._fail(image, Reason.CHANGED, **columns, final_url=outcome.final_url, **_decisions(outcome))

    def add_failed(self, outcome: FetchFailed) -> None:
        """Record a URL that failed for good, with its reason."""
        image = self._images[int(str(outcome.request.key))]
        self._results.append(result_of(outcome))
        is_interrupted = outcome.reason is Reason.INTERRUPTED
        detail = _describe_interruptions(self._used[image.id]) if is_interrupted else outcome.message
        self._fail(image, outcome.reason, detail, final_url=outcome.final_url, **_evidence(outcome))

    def add_deferred(self, outcome: Deferred, rules: RetrySettings) -> None:
        """Record a URL to be requested later. It fails where it would wait too long, or its host has never answered for too long."""
        image = self._images[int(str(outcome.request.key))]
        since = image.deferred_at or time.time()
        detail = _why_given_up(outcome, since, self._unit.job.started_at or self._unit.job.created_at, rules)
        self._results.append(result_of(outcome, is_final=detail is not None))
        if detail is not None:
            self._fail(image, outcome.reason, detail, **_evidence(outcome))
            return
        self.deferred += 1
        self._change(image, ImageState.DEFERRED, reason=outcome.reason, **_evidence(outcome), not_before=outcome.until, deferred_at=since)

    def _fail(self, image: StoredImage, reason: Reason, detail: str, **values: Any) -> None:
        original = self._originals.get(image.id)
        if original is not None and keeps_bytes(reason):
            log.debug("image.not_confirmed", image_id=image.id, reason=reason.value, detail=detail)
            self.not_confirmed += 1
            self._change(image, original.state, **original.values)
            return
        self.failed += 1
        self._change(image, ImageState.FAILED, reason=reason, detail=detail, **values)

    def _change(self, image: StoredImage, state: ImageState, **values: Any) -> None:
        self._changes.append({"id": image.id, "state": state} | EMPTY_OUTCOME | values)

    async def flush(self) -> None:
        """Write the attempts and outcomes recorded so far, in one transaction."""
        late, self._late = self._late, []
        finished, self._finished = self._finished, []
        changes, self._changes = self._changes, []
        altered, self._altered = self._altered, []
        results, self._results = self._results, []
        if not finished and not changes:
            return
        try:
            async with self._unit.transaction() as connection:
                if late:
                    await attempts.reserve(connection, self._unit.row, late)
                await attempts.record(connection, self._unit.row, finished)
                await images.update_many(connection, changes)
                if altered:
                    await images.update_alike(connection, altered, NO_FORM)
                    await reviews.void(connection, altered)
                if changes:
                    await self._unit.record_progress(connection)
        except BaseException:
            self._late = late + self._late
            self._finished = finished + self._finished
            self._changes = changes + self._changes
            self._altered = altered + self._altered
            self._results = results + self._results
            raise
        for result in results:
            result.count()


EMPTY_OUTCOME: dict[str, Any] = dict.fromkeys(
    (
        *("reason", "detail", "evidence", "sha256", "size_bytes", "media_type", "final_url", "fetched_at", "not_before", "deferred_at"),
        *("etag", "last_modified", "exempt_networks", "reuse", "reused_from"),
    )
)
"""Columns that every outcome sets, so that all changes have the same columns."""


NO_FORM: dict[str, None] = dict.fromkeys(
    ("out_sha256", "out_media_type", "out_size_bytes", "out_width", "out_height", "changes", "phash", "colour_grid", "measures")
)
"""Columns that were derived from the bytes that an image had before."""


def changed_columns(promised: str | None, found: str, size_bytes: int) -> dict[str, str]:
    """The columns that say of an image that its bytes are others than its lock promises."""
    detail = f"its origin has other bytes than the lock promises: {size_bytes} bytes with another digest"
    return {"detail": detail, "evidence": f"sha256 promised {promised}, found {found}"}


def _retrieve_exception(closing: asyncio.Task[None]) -> None:
    """Retrieve the close task's exception so that asyncio does not warn; the unit's failure is reported elsewhere."""
    if not closing.cancelled():
        closing.exception()


def _describe_interruptions(used: Used) -> str:
    """Say of a URL why none of its requests led to an outcome."""
    if not used.lost:
        return "its requests were answered, but this machine stopped or failed each time before their outcome was kept"
    return f"{used.lost} of its {used.last} requests were cut off by the end of their process, before an outcome was kept"


def _why_given_up(outcome: Deferred, since: float, job_started_at: float, rules: RetrySettings) -> str | None:
    """Return why a deferred URL fails now; None where it is worth the wait.

    Args:
        since: when the URL was first deferred, Unix time.
        job_started_at: Unix time; an answer of the host from before it does not count.
    """
    now, silence = time.time(), outcome.silence
    if silence is not None and outcome.retry_after_s is None and silence.answered_at < job_started_at:
        silent_since = max(silence.since, job_started_at)
        if outcome.until - silent_since > rules.dead_host_s:
            answer = "answered nothing but errors" if outcome.status or outcome.evidence else "never answered"
            return f"{silence.name} {answer}; gave up after {duration(now - silent_since)}"
    if outcome.until - since > rules.defer_max_s:
        return f"deferred for {duration(now - since)}, longer than retry.defer_max_s"
    return None


def _decisions(outcome: Outcome) -> dict[str, str]:
    """The columns for what robots.txt and the opt-out headers said of the URL."""
    return {"robots": outcome.decisions.robots.value, "opt_out": outcome.decisions.opt_out.value}


def _evidence(outcome: FetchFailed | Deferred) -> dict[str, str | None]:
    """The columns for why there is no image. The evidence is cut to the column's size and cleaned; PostgreSQL takes no NUL."""
    evidence = None if outcome.evidence is None else errors.as_evidence(outcome.evidence)
    return {"evidence": evidence, **_decisions(outcome)}
