"""Attempts and outcomes of one chunk, made durable in groups: attempts before their requests, outcomes within a second after."""

import asyncio
import contextvars
import functools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import errors
from app.db import attempts, images
from app.domain import ImageState, Reason, StoredImage
from downloader import Attempt, Deferred, Fetched, FetchFailed, FetchRequest, Outcome
from logging_setup import get_logger
from workers.counting import Ended, count_attempt, ended
from workers.unit import Work

__all__ = ["Ledger"]

log = get_logger(__name__)

WINDOW = 32
"""URLs whose next attempt is reserved in one statement."""

FLUSH_S = 0.5
"""Longest time an outcome waits to be written, seconds; half of what the design promises."""


class Ledger:
    """Implements :class:`downloader.AttemptLog` for the chunk of one unit of work.

    Use as a context; leaving it writes what is still unwritten and takes back reservations that were not used.
    """

    def __init__(self, work: Work, waiting: Sequence[StoredImage], made: Mapping[int, tuple[int, int]]) -> None:
        self._work = work
        self._order = [image.id for image in waiting]
        self._images = {image.id: image for image in waiting}
        self._made = made
        self._row = {image.id: made.get(image.id, (0, 0))[1] for image in waiting}
        self._reserved: dict[tuple[int, int], int] = {}  # (image, downloader's number) -> row number
        self._sent: set[tuple[int, int]] = set()
        self._next = len(waiting) if _has_lost(made) else 0
        self._wanted: list[tuple[tuple[int, int], asyncio.Future[None]]] = []
        self._serving: list[tuple[tuple[int, int], asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._finished: list[tuple[int, int, Attempt]] = []
        self._changes: list[dict[str, Any]] = []
        self._ended: list[Ended] = []  # counted when the changes are written
        self._flusher: asyncio.Task[None] | None = None
        self._context = contextvars.copy_context()
        self.deferred_until: list[float] = []
        self.ok = self.failed = 0

    def requests(self) -> list[FetchRequest]:
        """What is still to fetch, with the attempts it already cost."""
        return [FetchRequest(image.url, key=image.id, attempts_made=self._made.get(image.id, (0, 0))[0]) for image in self._images.values()]

    async def __aenter__(self) -> "Ledger":
        self._flusher = asyncio.create_task(self._flush_regularly())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._flusher is not None
        self._flusher.cancel()
        await asyncio.gather(self._flusher, *([self._writer] if self._writer else []), return_exceptions=True)
        closing = asyncio.create_task(self._close())
        closing.add_done_callback(_heard)
        await asyncio.shield(closing)

    async def _close(self) -> None:
        await self._while_leased(self.flush)
        unused = [(image_id, row) for (image_id, number), row in self._reserved.items() if (image_id, number) not in self._sent]
        if unused:
            async with self._work.transaction() as connection:
                await attempts.drop_reserved(connection, self._work.unit, unused)

    async def _while_leased(self, step: Callable[[], Awaitable[None]]) -> None:
        """A database that is away for less than the lease is waited for: that costs no request in hand, and none a second time."""
        while True:
            try:
                return await step()
            except errors.DatabaseConnectionError as error:
                log.warning("outcomes.not_written", error=str(error))
                await asyncio.sleep(FLUSH_S)
                self._work.require_lease()

    async def _flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.flush()
            except errors.DatabaseConnectionError as error:
                log.warning("outcomes.not_written", error=str(error))

    async def reserve(self, request: FetchRequest, number: int) -> None:
        """See :class:`downloader.AttemptLog`. The first to ask takes a window of URLs along; retries share a statement."""
        self._work.require_lease()
        key = (int(str(request.key)), number)
        if key not in self._reserved:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._wanted.append((key, done))
            if self._writer is None or self._writer.done():
                self._writer = asyncio.create_task(self._reserve_all(), context=self._context)  # for many URLs, not for the one that asks
                self._writer.add_done_callback(self._fail_waiting)
            await done
        self._work.require_lease()
        self._sent.add(key)

    async def _reserve_all(self) -> None:
        """Serve those who wait, group by group. A task of its own: one URL's deadline must not break another's reservation."""
        while self._wanted:
            self._serving, self._wanted = self._wanted, []
            fresh = {key: self._take_row(key[0]) for key, _ in self._serving if key not in self._reserved}
            if fresh:
                fresh |= self._window(fresh)
                await self._while_leased(functools.partial(self._put_on_record, fresh))
                self._reserved |= fresh
            for _, future in self._serving:
                if not future.done():
                    future.set_result(None)

    async def _put_on_record(self, fresh: Mapping[tuple[int, int], int]) -> None:
        async with self._work.transaction() as connection:
            await attempts.reserve(connection, self._work.unit, [(key[0], row) for key, row in fresh.items()])

    def _fail_waiting(self, writer: asyncio.Task[None]) -> None:
        """A reservation that failed fails everyone who waits for one: no request goes out unrecorded, and nobody waits for ever."""
        if writer.cancelled() or writer.exception() is None:
            return
        waiting, self._serving, self._wanted = self._serving + self._wanted, [], []
        for _, future in waiting:
            if not future.done():
                future.set_exception(writer.exception() or asyncio.CancelledError())

    def _take_row(self, image_id: int) -> int:
        self._row[image_id] += 1
        return self._row[image_id]

    def _window(self, fresh: Mapping[tuple[int, int], int]) -> dict[tuple[int, int], int]:
        """First attempts of the URLs that come next, reserved along with the ones asked for."""
        ahead: dict[tuple[int, int], int] = {}
        while self._next < len(self._order) and len(ahead) < WINDOW:
            image_id = self._order[self._next]
            self._next += 1
            key = (image_id, self._made.get(image_id, (0, 0))[0] + 1)
            if key not in fresh and key not in self._reserved:
                ahead[key] = self._take_row(image_id)
        return ahead

    def record(self, request: FetchRequest, attempt: Attempt) -> None:
        """See :class:`downloader.AttemptLog`."""
        image_id = int(str(request.key))
        row = self._reserved.get((image_id, attempt.number))
        if row is not None:
            self._finished.append((image_id, row, attempt))
            count_attempt(attempt)

    def fetched(self, outcome: Fetched) -> None:
        """The bytes are in the store."""
        self.ok += 1
        self._ended.append(ended(outcome))
        image = self._images[int(str(outcome.request.key))]
        self._change(
            image,
            ImageState.FETCHED,
            sha256=outcome.sha256,
            size_bytes=len(outcome.body),
            media_type=outcome.media_type,
            final_url=outcome.final_url,
            fetched_at=time.time(),
            **_decided(outcome),
        )

    def failed_for_good(self, outcome: FetchFailed) -> None:
        """No image, one reason."""
        image = self._images[int(str(outcome.request.key))]
        self._ended.append(ended(outcome))
        self._fail(image, outcome.reason, outcome.message, final_url=outcome.final_url, **_grounds(outcome))

    def deferred(self, outcome: Deferred, *, give_up_after_s: float) -> None:
        """Not now; for good once the first deferral lies too far back."""
        image = self._images[int(str(outcome.request.key))]
        since = image.deferred_at or time.time()
        for_good = outcome.until - since > give_up_after_s
        self._ended.append(ended(outcome, for_good=for_good))
        if for_good:
            words = f"deferred since {time.time() - since:.0f} s, longer than retry.defer_max_s"
            self._fail(image, outcome.reason, words, **_grounds(outcome))
            return
        self.deferred_until.append(outcome.until)
        self._change(image, ImageState.DEFERRED, reason=outcome.reason, **_grounds(outcome), not_before=outcome.until, deferred_at=since)

    def _fail(self, image: StoredImage, reason: Reason, detail: str, **values: Any) -> None:
        self.failed += 1
        self._change(image, ImageState.FAILED, reason=reason, detail=detail, **values)

    def _change(self, image: StoredImage, state: ImageState, **values: Any) -> None:
        empty = dict.fromkeys(
            ("reason", "detail", "evidence", "sha256", "size_bytes", "media_type", "final_url", "fetched_at", "not_before", "deferred_at")
        )
        self._changes.append({"id": image.id, "state": state} | empty | values)

    async def flush(self) -> None:
        """Write what has gathered, in one transaction."""
        finished, self._finished = self._finished, []
        changes, self._changes = self._changes, []
        told, self._ended = self._ended, []
        if not finished and not changes:
            return
        try:
            async with self._work.transaction() as connection:
                await attempts.record(connection, self._work.unit, finished)
                await images.update_many(connection, changes)
                if changes:
                    await self._work.progress(connection)
        except BaseException:
            self._finished = finished + self._finished
            self._changes = changes + self._changes
            self._ended = told + self._ended
            raise
        for end in told:
            end.count()


def _heard(closing: asyncio.Task[None]) -> None:
    """Of a ledger whose unit was cut off meanwhile nobody asks how it closed; the unit's own end is the news."""
    if not closing.cancelled():
        closing.exception()


def _has_lost(made: Mapping[int, tuple[int, int]]) -> bool:
    """Whether a run of this chunk died with reservations open. From then on none is made ahead: a URL never asked loses no attempt."""
    return any(last > counted for counted, last in made.values())


def _decided(outcome: Outcome) -> dict[str, str]:
    """What the site's own words made of the URL."""
    return {"robots": outcome.decisions.robots.value, "opt_out": outcome.decisions.opt_out.value}


def _grounds(outcome: FetchFailed | Deferred) -> dict[str, str | None]:
    return {"evidence": _kept(outcome.evidence), **_decided(outcome)}


def _kept(evidence: str | None) -> str | None:
    """As long and as clean as a row may hold it, whoever made the outcome; PostgreSQL takes no NUL."""
    return None if evidence is None else errors.as_evidence(evidence)
