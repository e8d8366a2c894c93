"""Many things at once, and none of them left running: blocking file work in threads, transfers side by side."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import ParamSpec, TypeVar

__all__ = ["for_each", "in_batches", "run_whole", "together"]

P = ParamSpec("P")
T = TypeVar("T")


async def run_whole(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Like ``asyncio.to_thread``, but a cancelled caller still waits for the thread: what it cleans up then, nobody writes to."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    finally:
        if not work.done():
            await asyncio.wait([work])
            if not work.cancelled():
                work.exception()  # taken, so that nothing warns of it: the cancellation is what the caller sees


async def in_batches(items: Iterator[T], size: int) -> AsyncIterator[list[T]]:
    """What a blocking iterator gives, a list of up to ``size`` at a time, each made in a thread."""
    while batch := await run_whole(lambda: list(itertools.islice(items, size))):
        yield batch


async def together(work: Iterable[Awaitable[T]]) -> list[T]:
    """Wait for a few things side by side; what they give, in their order. The first error ends it; nothing runs on afterwards."""
    running = [asyncio.ensure_future(item) for item in work]
    try:
        return await asyncio.gather(*running)
    finally:
        for future in running:
            future.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def for_each(items: AsyncIterator[T], function: Callable[[T], Awaitable[None]], at_once: int) -> None:
    """Call ``function`` for every item, at most ``at_once`` side by side. The first error ends it; nothing runs on afterwards."""
    running: set[asyncio.Future[None]] = set()
    try:
        async for item in items:
            running.add(asyncio.ensure_future(function(item)))
            if len(running) >= at_once:
                running = await _after_one(running)
        while running:
            running = await _after_one(running)
    finally:
        for future in running:
            future.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _after_one(running: set[asyncio.Future[None]]) -> set[asyncio.Future[None]]:
    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    for future in [future for future in running if future.done()]:
        future.result()
        running.discard(future)
    return running
