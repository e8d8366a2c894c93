"""Passes a chunk's images through the decoder processes, in batches and a bounded number of them at a time."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

from app.concurrency import BoundedTasks
from app.domain import StoredImage
from app.images.pool.protocol import Answer
from app.rules import CompressionRules, ValidationRules
from app.storage import MissingObject, paths
from logging_setup import get_logger
from logging_setup.capture import log_remarks
from workers.unit import ClaimedUnit, JobContext

__all__ = ["MISSING", "decode_batch", "image_source", "in_batches", "put_all", "split"]

log = get_logger(__name__)

Result = TypeVar("Result")

MISSING = "its bytes are no longer in the store"
"""Detail of an image that cannot be decoded because its object is missing."""

BATCH = 8
"""Images sent to a decoder at once, so that it never waits for this process between them; a crash repeats one batch at most."""

BATCH_BYTES = 8 << 20
"""Largest size of a batch, bytes: unless the store is a local folder, its images are in memory."""

MAX_BATCHES = 8
"""Largest number of batches of one chunk that wait for a decoder, are in one, or are being stored."""


async def image_source(ctx: JobContext, sha256: str) -> bytes | Path | None:
    """What a decoder gets for an image: its path, which the decoder reads itself, or its bytes. None if the object is missing."""
    key = paths.blob(sha256)
    path = ctx.store.local_path(key)
    if path is not None:
        return path if path.exists() else None
    try:
        return await ctx.store.get(key)
    except MissingObject:
        return None


async def in_batches(
    ctx: JobContext, unit: ClaimedUnit, images: Sequence[StoredImage], step: Callable[[Sequence[StoredImage]], Coroutine[Any, Any, Result]]
) -> AsyncGenerator[Result, None]:
    """Run ``step`` on batches of the images and yield results as they complete (under ``aclosing``); starts no batch after a stop request.

    One batch more runs than there are decoders, so that the decoders have work while results are stored.
    """
    waiting = split(images)
    async with BoundedTasks[Result](min(MAX_BATCHES, ctx.decoders.size + 1)) as tasks:
        while True:
            while not tasks.is_full and not unit.stop.is_set() and (batch := next(waiting, None)) is not None:
                await unit.begin(batch)
                tasks.start(step(batch))
            if not len(tasks):
                return
            for result in await tasks.next_done():
                yield result


def split(images: Sequence[StoredImage]) -> Iterator[Sequence[StoredImage]]:
    """Split images into batches for a decoder, in order."""
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


async def decode_batch(
    ctx: JobContext,
    batch: Sequence[StoredImage],
    rules: ValidationRules | CompressionRules,
    compression: CompressionRules | None = None,
    **context: Any,
) -> list[tuple[int, Answer | None]]:
    """Decode a batch; return the answer for each image id, None where the object is missing.

    Messages of the decoding libraries are logged with the image's id and the given log context.
    """
    found = [(image, await image_source(ctx, str(image.sha256))) for image in batch]
    answers: dict[int, Answer] = {}
    ids = [image.id for image, source in found if source is not None]
    sources = [source for _, source in found if source is not None]
    async with aclosing(ctx.decoders.run_batch(sources, rules, compression)) as groups:
        async for group in groups:
            for answer in group:
                image_id = ids[len(answers)]
                answers[image_id] = answer
                if answer.remarks:
                    with log.contextualize(image_id=image_id, **context):
                        log_remarks(answer.remarks)
    return [(image.id, answers.get(image.id)) for image in batch]


async def put_all(ctx: JobContext, objects: Sequence[tuple[str, bytes]]) -> None:
    """Store the objects of a batch, each body under its key. Raises the first error after all others are stored."""
    for error in await ctx.store.put_many(objects) if objects else ():
        if error is not None:
            raise error
