"""A chunk's images through the decoder children, a bounded number at a time, with results written in groups."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from app.records import StoredImage
from app.storage import MissingObject, paths
from workers.work import Context, Work

__all__ = ["each", "source_of"]

Result = TypeVar("Result")

IN_HAND = 8
"""Images of one chunk that wait for a decoder or are in one."""


async def source_of(ctx: Context, sha256: str) -> bytes | Path | None:
    """Where a decoder finds an image: its path, which the child reads itself, or its bytes. ``None`` if the object is gone."""
    key = paths.blob(sha256)
    path = ctx.store.local_path(key)
    if path is not None:
        return path if path.exists() else None
    try:
        return await ctx.store.get(key)
    except MissingObject:
        return None


async def each(
    work: Work, images: Sequence[StoredImage], step: Callable[[StoredImage], Awaitable[Result]]
) -> AsyncGenerator[tuple[StoredImage, Result], None]:
    """Run ``step`` on every image, yield results as they come (under ``aclosing``); a unit that is told to stop begins no further one."""
    waiting = iter(images)
    running: dict[asyncio.Task[Result], StoredImage] = {}
    try:
        while True:
            while len(running) < IN_HAND and not work.stop.is_set() and (image := next(waiting, None)) is not None:
                running[asyncio.create_task(_call(step, image))] = image
            if not running:
                return
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield running.pop(task), task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _call(step: Callable[[StoredImage], Awaitable[Result]], image: StoredImage) -> Result:
    return await step(image)
