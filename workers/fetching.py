"""One chunk's URLs to bytes in the store, with every outcome on its row."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any

from app.db import attempts, images, units
from app.db.rows import NewUnit
from app.records import ImageState, UnitKind
from downloader import Deferred, Fetched, FetchFailed, Outcome
from workers.ledger import Ledger
from workers.work import Context, Work

__all__ = ["fetch_chunk", "settle_chunk"]

PUTS_IN_HAND = 16
"""Bodies of one chunk that may be on their way to the store at once; bounds memory."""

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
    async with book as ledger, Puts() as puts:
        async with aclosing(ctx.workshop.downloader.fetch_many(ledger.requests(), log=ledger, stop=stop)) as outcomes:
            async for outcome in outcomes:
                await _take(ctx, ledger, puts, outcome)
    return Counter(ok=ledger.ok, failed=ledger.failed, deferred=len(ledger.deferred_until))


async def _take(ctx: Context, ledger: Ledger, puts: "Puts", outcome: Outcome) -> None:
    match outcome:
        case Fetched():
            await puts.add(_store(ctx, ledger, outcome))
        case FetchFailed():
            ledger.failed_for_good(outcome)
        case Deferred():
            ledger.deferred(outcome, give_up_after_s=ctx.settings.retry.defer_max_s)


async def _store(ctx: Context, ledger: Ledger, outcome: Fetched) -> None:
    await ctx.store.put_blob(outcome.body, outcome.sha256)
    ledger.fetched(outcome)


class Puts:
    """A bounded set of writes to the store; the first failure is raised by the next call, or by the end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Puts":
        return self

    async def add(self, write: Coroutine[Any, Any, None]) -> None:
        """Start a write; waits while too many are under way."""
        self._tasks.add(asyncio.create_task(write))
        while len(self._tasks) >= PUTS_IN_HAND:
            await self._some(asyncio.FIRST_COMPLETED)

    async def _some(self, when: str) -> None:
        done, self._tasks = await asyncio.wait(self._tasks, return_when=when)
        for task in done:
            task.result()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        elif self._tasks:
            await self._some(asyncio.ALL_COMPLETED)


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
