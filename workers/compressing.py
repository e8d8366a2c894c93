"""Kept images to the form in which they leave: resized, re-encoded, stripped of metadata."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import errors
from app.db import images
from app.records import MEDIA_TYPES, Compressed, CompressionRules, ImageState, StoredImage
from logging_setup import get_logger
from workers.decoding import each, source_of
from workers.work import Context, Work

__all__ = ["compress"]

log = get_logger(__name__)


async def compress(ctx: Context, work: Work, chunk_id: str) -> None:
    """Compress what is not compressed yet of a chunk. An image that cannot be is rejected, with its reason."""
    rules = work.spec.compression
    async with ctx.db.read() as connection:
        kept = await images.kept_after(connection, work.job.dataset_id, chunk_id=chunk_id, limit=10_000)
    todo = [image for image in kept if image.out_sha256 is None]
    tally: Counter[str] = Counter(ok=0, failed=0, saved_bytes=0)
    with log.contextualize(format=rules.format, compression_level=rules.level, file_count=len(todo)):
        async for portion in work.portions(todo):
            tally.update(await _compress(ctx, work, portion, rules))
        log.info("chunk.compressed", ok=tally["ok"], failed=tally["failed"], saved_bytes=tally["saved_bytes"])
    if work.stop.is_set():
        await work.release()


async def _compress(ctx: Context, work: Work, todo: Sequence[StoredImage], rules: CompressionRules) -> Counter[str]:
    tally: Counter[str] = Counter()
    async with aclosing(each(work, todo, lambda image: _compress_one(ctx, image, rules))) as results:
        async for image, result in results:
            saved_bytes = (image.size_bytes or 0) - int(result.get("out_size_bytes", 0))
            tally.update(ok="out_sha256" in result, failed="state" in result, saved_bytes=saved_bytes)
            async with work.transaction() as connection:
                await images.update_many(connection, [{"id": image.id} | result])
                await work.progress(connection)
    return tally


async def _compress_one(ctx: Context, image: StoredImage, rules: CompressionRules) -> dict[str, Any]:
    source = await source_of(ctx, str(image.sha256))
    try:
        if source is None:
            raise errors.ValidationError("its bytes are no longer in the store")
        result = await ctx.workshop.decoders.compress(source, rules)
    except errors.ValidationError as error:
        return {"state": ImageState.REJECTED, "reason": error.slug, "detail": f"cannot be compressed: {error}"}
    return await _store(ctx, result)


async def _store(ctx: Context, result: Compressed) -> dict[str, Any]:
    digest = hashlib.sha256(result.body).hexdigest()
    await ctx.store.put_blob(result.body, digest)
    return {
        "out_sha256": digest,
        "out_media_type": MEDIA_TYPES[result.format],
        "out_size_bytes": len(result.body),
        "out_width": result.width,
        "out_height": result.height,
    }
