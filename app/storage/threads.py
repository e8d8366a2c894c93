"""Blocking file work in threads and transfers in parallel, so that nothing continues after the caller has returned."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import ParamSpec, TypeVar

__all__ = ["for_each", "gather_all", "in_batches", "to_thread_uncancelled"]

P = ParamSpec("P")
T = TypeVar("T")


async def to_thread_uncancelled(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``asyncio.to_thread``, but a cancelled caller still waits for the thread, so that it can clean up files safely."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    finally:
        if not work.done():
            await asyncio.wait([work])
            if not work.cancelled():
                work.exception()  # retrieved, so that asyncio does not warn; the caller raises CancelledError


async def in_batches(items: Iterator[T], size: int) -> AsyncIterator[list[T]]:
    """Lists of up to ``size`` items of a blocking iterator, each list made in a thread."""
    while batch := await to_thread_uncancelled(lambda: list(itertools.islice(items, size))):
        yield batch


async def gather_all(work: Iterable[Awaitable[T]]) -> list[T]:
    """Await a few things in parallel; their results in their order. The first error cancels the others and waits for them."""
    running = [asyncio.ensure_future(item) for item in work]
    try:
        return await asyncio.gather(*running)
    finally:
        for future in running:
            future.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def for_each(items: AsyncIterator[T], function: Callable[[T], Awaitable[None]], max_running: int) -> None:
    """Call ``function`` for every item, at most ``max_running`` in parallel. The first error cancels the others and waits for them."""
    running: set[asyncio.Future[None]] = set()
    try:
        async for item in items:
            running.add(asyncio.ensure_future(function(item)))
            if len(running) >= max_running:
                running = await _wait_for_one(running)
        while running:
            running = await _wait_for_one(running)
    finally:
        for future in running:
            future.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _wait_for_one(running: set[asyncio.Future[None]]) -> set[asyncio.Future[None]]:
    """Those that still run after at least one has ended; raises its error."""
    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    for future in [future for future in running if future.done()]:
        future.result()
        running.discard(future)
    return running
