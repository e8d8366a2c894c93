"""Blocking file work off the event loop, for callers that clean up after it."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["run_whole"]

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
