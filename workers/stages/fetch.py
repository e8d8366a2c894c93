"""One chunk's URLs to bytes in the store, with every outcome on its row."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any

from app.db import attempts, images, units
from app.db.rows import NewUnit
from app.domain import ImageState, UnitKind
from app.storage import paths
from downloader import Deferred, Fetched, FetchFailed, Outcome
from workers.stages.outcomes import Ledger
from workers.unit import Context, Work

__all__ = ["fetch_chunk", "settle_chunk"]

PUTS_IN_HAND = 16
"""Bodies of one chunk that may be on their way to the store at once; bounds memory."""

PUTS_TOGETHER = 8
"""Bodies that are stored in one call: it costs a folder little more than one of them."""

LINGER_S = 0.1
"""A body waits no longer for others to be stored with it. Rows are written once a second, so nobody sees it later."""

ROOM_BYTES = 1 << 20
"""What the store must take before a chunk that had to rest goes on."""


async def fetch_chunk(ctx: Context, work: Work, chunk_id: str) -> Counter[str]:
    """Fetch what is still missing of a chunk. What has an outcome is not requested again, whatever happened in between.

    Returns:
        How many images are ``ok``, ``failed`` and ``deferred``.
    """
    if work.unit.error:  # it rested: bytes that cannot be kept are not asked for again, since each request counts
        await ctx.store.check(ROOM_BYTES)
    async with work.transaction() as connection:
        waiting = await images.chunk_images(connection, chunk_id, [ImageState.PENDING, ImageState.DEFERRED], due_only=True)
        made = await attempts.made(connection, work.unit, [image.id for image in waiting])
    tally: Counter[str] = Counter(ok=0, failed=0, deferred=0)
    async for portion in work.portions(waiting):
        tally.update(await _fetch(ctx, Ledger(work, portion, made), work.stop))
    return tally


async def _fetch(ctx: Context, book: Ledger, stop: asyncio.Event) -> Counter[str]:
    async with book as ledger, Puts(lambda batch: _store(ctx, ledger, batch)) as puts:
        async with aclosing(ctx.workshop.downloader.fetch_many(ledger.requests(), log=ledger, stop=stop)) as outcomes:
            async for outcome in outcomes:
                await _take(ctx, ledger, puts, outcome)
    return Counter(ok=ledger.ok, failed=ledger.failed, deferred=len(ledger.deferred_until))


async def _take(ctx: Context, ledger: Ledger, puts: "Puts", outcome: Outcome) -> None:
    match outcome:
        case Fetched():
            await puts.add(outcome)
        case FetchFailed():
            ledger.failed_for_good(outcome)
        case Deferred():
            ledger.deferred(outcome, give_up_after_s=ctx.settings.retry.defer_max_s)


async def _store(ctx: Context, ledger: Ledger, batch: Sequence[Fetched]) -> None:
    """Store bodies and enter those that are; then raise what kept another out."""
    found = await ctx.store.put_many([(paths.blob(outcome.sha256), outcome.body) for outcome in batch])
    for outcome, error in zip(batch, found, strict=True):
        if error is None:
            ledger.fetched(outcome)
    for error in filter(None, found):
        raise error


class Puts:
    """A bounded number of writes to the store, of some bodies each; the first failure is raised by a later call, or by the end."""

    def __init__(self, store: Callable[[Sequence[Fetched]], Coroutine[Any, Any, None]]) -> None:
        self._store = store
        self._waiting: list[Fetched] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Puts":
        return self

    async def add(self, body: Fetched) -> None:
        """Take a body, which is stored with the next ones, or soon; waits while too many are under way."""
        self._waiting.append(body)
        if len(self._waiting) >= PUTS_TOGETHER:
            self._begin()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER_S, self._begin)
        while len(self._tasks) >= PUTS_IN_HAND // PUTS_TOGETHER:
            await self._some(asyncio.FIRST_COMPLETED)

    def _begin(self) -> None:
        if batch := self._taken():
            self._tasks.add(asyncio.create_task(self._store(batch)))

    def _taken(self) -> list[Fetched]:
        """What waits, which it does no longer."""
        if self._timer is not None:
            self._timer.cancel()
        taken, self._waiting, self._timer = self._waiting, [], None
        return taken

    async def _some(self, when: str) -> None:
        done, _ = await asyncio.wait(self._tasks, return_when=when)
        self._tasks -= done
        faults = [fault for task in done if (fault := task.exception())]
        if faults:
            raise faults[0]

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._begin()
            if self._tasks:
                await self._some(asyncio.ALL_COMPLETED)
            return
        self._taken()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def settle_chunk(work: Work, chunk_id: str) -> None:
    """End the unit, or give it back for what is deferred or was stopped; what has come goes on to validation either way."""
    async with work.transaction() as connection:
        found = await images.chunk_states(connection, chunk_id)
        children = [NewUnit(UnitKind.VALIDATE, {"chunk_id": chunk_id})] if ImageState.FETCHED in found else []
        if not found.keys() & {ImageState.PENDING, ImageState.DEFERRED}:
            await work.finish_in(connection, children)
            return
        await units.add(connection, work.job.id, children)
        until = 0.0 if ImageState.PENDING in found else found[ImageState.DEFERRED]
        stays = work.is_quarantined and work.stop.is_set()
        await units.release_in(connection, work.unit, until=until, quarantined=stays)
        work.is_settled = True
