"""A chunk's images through the decoder children, in batches and a bounded number of them at a time."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

from app.domain import CompressionRules, StoredImage, ValidationRules
from app.images.pool.protocol import Answer
from app.storage import MissingObject, paths
from logging_setup import get_logger
from logging_setup.capture import log_remarks
from workers.unit import Context, Work

__all__ = ["GONE", "answers", "each", "put_all", "source_of"]

log = get_logger(__name__)

Result = TypeVar("Result")

GONE = "its bytes are no longer in the store"
"""Why an image has no answer."""

BATCH = 8
"""Images that a child gets at once: it never waits for us between them, and what was done of them is redone if we die."""

BATCH_BYTES = 8 << 20
"""What the images of a batch may be together: of a store that is no local folder, their bytes are in memory."""

MOST_IN_HAND = 8
"""Batches of one chunk at most that wait for a decoder, are in one, or are on their way to the store."""


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
    ctx: Context, work: Work, images: Sequence[StoredImage], step: Callable[[Sequence[StoredImage]], Awaitable[Result]]
) -> AsyncGenerator[Result, None]:
    """Run ``step`` on batches of the images, yield results as they come (under ``aclosing``); one told to stop begins no further batch.

    There is one batch more in hand than there are decoders, so that they have work while results are stored.
    """
    waiting, in_hand = _batches(images), min(MOST_IN_HAND, ctx.workshop.decoders.size + 1)
    running: set[asyncio.Task[Result]] = set()
    try:
        while True:
            while len(running) < in_hand and not work.stop.is_set() and (batch := next(waiting, None)) is not None:
                running.add(asyncio.create_task(_call(step, batch)))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _batches(images: Sequence[StoredImage]) -> Iterator[Sequence[StoredImage]]:
    """Cut into batches, in order."""
    batch: list[StoredImage] = []
    size_bytes = 0
    for image in images:
        if batch and (len(batch) == BATCH or size_bytes + (image.size_bytes or 0) > BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(image)
        size_bytes += image.size_bytes or 0
    if batch:
        yield batch


async def _call(step: Callable[[Sequence[StoredImage]], Awaitable[Result]], batch: Sequence[StoredImage]) -> Result:
    return await step(batch)


async def answers(
    ctx: Context,
    batch: Sequence[StoredImage],
    rules: ValidationRules | CompressionRules,
    compression: CompressionRules | None = None,
    **context: Any,
) -> list[tuple[int, Answer | None]]:
    """By image id what the decoders say to a batch, ``None`` where the bytes are gone. What libraries said is logged in its context."""
    found = [(image, await source_of(ctx, str(image.sha256))) for image in batch]
    given: dict[int, Answer] = {}
    ids = [image.id for image, source in found if source is not None]
    sources = [source for _, source in found if source is not None]
    async with aclosing(ctx.workshop.decoders.run_batch(sources, rules, compression)) as groups:
        async for group in groups:
            for answer in group:
                image_id = ids[len(given)]
                given[image_id] = answer
                if answer.remarks:
                    with log.contextualize(image_id=image_id, **context):
                        log_remarks(answer.remarks)
    return [(image.id, given.get(image.id)) for image in batch]


async def put_all(ctx: Context, objects: Sequence[tuple[str, bytes]]) -> None:
    """Store what was made of a batch, each body under its key. All that can be are stored before the first error is raised."""
    for error in await ctx.store.put_many(objects) if objects else ():
        if error is not None:
            raise error
