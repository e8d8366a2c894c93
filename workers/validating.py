"""A chunk's fetched images to verdicts, perceptual hashes and thumbnails."""

import asyncio
import hashlib
from contextlib import aclosing
from pathlib import Path
from typing import Any

from app.db import images
from app.meters import families
from app.records import ImageState, Reason, StoredImage, ValidationRules, Verdict
from app.storage import paths
from logging_setup import get_logger
from workers.decoding import each, source_of
from workers.work import Context, Work

__all__ = ["validate"]

log = get_logger(__name__)

WRITE_EVERY = 50
"""Verdicts written in one transaction."""


async def validate(ctx: Context, work: Work, chunk_id: str) -> None:
    """Judge what is fetched and not judged yet of a chunk."""
    rules = work.spec.validation
    async with ctx.db.read() as connection:
        fetched = await images.chunk_images(connection, chunk_id, [ImageState.FETCHED])
    tally = {ImageState.VALID: 0, ImageState.REJECTED: 0}
    rows: list[dict[str, Any]] = []
    with log.contextualize(validation_level=rules.level):
        async for portion in work.portions(fetched):
            async with aclosing(each(work, portion, lambda image: _judge(ctx, image, rules))) as verdicts:
                async for image, verdict in verdicts:
                    rows.append(_as_row(image, verdict))
                    tally[rows[-1]["state"]] += 1
                    if len(rows) >= WRITE_EVERY:
                        await _write(work, rows)
            await _write(work, rows)
        log.info("chunk.validated", ok=tally[ImageState.VALID], rejected=tally[ImageState.REJECTED])
    if work.stop.is_set():
        await work.release()


async def _write(work: Work, rows: list[dict[str, Any]]) -> None:
    if rows:
        async with work.transaction() as connection:
            await images.update_many(connection, rows)
            await work.progress(connection)
        for row in rows:
            families.validated.add(row["reason"] or "valid")
        rows.clear()


async def _judge(ctx: Context, image: StoredImage, rules: ValidationRules) -> Verdict:
    with log.contextualize(image_id=image.id, validation_level=rules.level):
        source = await source_of(ctx, str(image.sha256))
        if source is None:
            return Verdict(Reason.CORRUPT, "its bytes are no longer in the store")
        if image.expected_sha256 and image.expected_sha256 != image.sha256:
            return Verdict(Reason.CORRUPT, f"sha256 is {image.sha256}, the list says {image.expected_sha256}")
        verdict = await ctx.workshop.decoders.validate(source, rules)
        if verdict.thumbnail is not None and image.sha256 is not None:
            await ctx.store.put(paths.thumb(image.sha256), verdict.thumbnail)
        log.debug("image.judged", reason=verdict.reason, detail=verdict.detail)
        return verdict


def _as_row(image: StoredImage, verdict: Verdict) -> dict[str, Any]:
    return {
        "id": image.id,
        "state": ImageState.REJECTED if verdict.reason else ImageState.VALID,
        "reason": verdict.reason,
        "detail": verdict.detail or None,
        "media_type": f"image/{verdict.format}" if verdict.format else image.media_type,
        "width": verdict.width,
        "height": verdict.height,
        "phash": verdict.phash,
        "measures": dict(verdict.measures),
    }


async def digest_of(source: bytes | Path) -> str:
    """SHA-256 of an object, hex; a file is read off the event loop."""
    body = source if isinstance(source, bytes) else await asyncio.to_thread(source.read_bytes)
    return await asyncio.to_thread(lambda: hashlib.sha256(body).hexdigest())
