"""A chunk's fetched images to verdicts, perceptual hashes and thumbnails; where the job compresses, also to the bytes that leave."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from app.db import images
from app.domain import CompressionRules, ImageState, JobKind, Reason, StoredImage, ValidationRules, Verdict
from app.images.checks import CANNOT_COMPRESS
from app.images.pool.protocol import Answer
from app.observability import families
from app.storage import paths
from logging_setup import get_logger
from workers.stages.compress import as_columns, saved_bytes, told, write
from workers.stages.decode import GONE, answers, each, put_all
from workers.unit import Context, Work

__all__ = ["validate"]

log = get_logger(__name__)

Row = dict[str, Any]

WRITE_EVERY = 50
"""Verdicts written in one transaction."""


async def validate(ctx: Context, work: Work, chunk_id: str) -> None:
    """Judge what is fetched and not judged yet of a chunk. A build that compresses does it here, from the same decoded pixels."""
    rules, compression = work.spec.validation, _compression(work)
    async with ctx.db.read() as connection:
        fetched = await images.chunk_images(connection, chunk_id, [ImageState.FETCHED])
    todo = [image for image in fetched if compression and image.out_sha256 is None]
    with log.contextualize(validation_level=rules.level):
        rows: list[Row] = []
        if compression and todo:
            with told(compression, todo) as tally:
                rows += await _through(ctx, work, todo, rules, compression)
                tally.update(_compressed(todo, rows))
        rows += await _through(ctx, work, [image for image in fetched if not compression or image.out_sha256], rules, None)
        states = Counter(row["state"] for row in rows)
        log.info("chunk.validated", ok=states[ImageState.VALID], rejected=states[ImageState.REJECTED])
    if work.stop.is_set():
        await work.release()


def _compression(work: Work) -> CompressionRules | None:
    """How valid images leave, where this job is one that says so."""
    is_wanted = work.job.kind is JobKind.BUILD and not work.spec.compression.is_identity
    return work.spec.compression if is_wanted else None


def _compressed(todo: Sequence[StoredImage], rows: Sequence[Row]) -> dict[str, int]:
    failed = sum(str(row["detail"]).startswith(CANNOT_COMPRESS) for row in rows)
    return {"ok": sum("out_sha256" in row for row in rows), "failed": failed, "saved_bytes": saved_bytes(todo, rows)}


async def _through(
    ctx: Context, work: Work, chosen: Sequence[StoredImage], rules: ValidationRules, compression: CompressionRules | None
) -> list[Row]:
    """Judge images and write what was found, some at a time; return all that was written."""
    written: list[Row] = []
    rows: list[Row] = []
    async for portion in work.portions(chosen):
        async with aclosing(judged(ctx, work, portion, rules, compression)) as groups:
            async for group in groups:
                rows += group
                if len(rows) >= WRITE_EVERY:
                    written += await _write(work, rows)
        written += await _write(work, rows)
    return written


async def _write(work: Work, rows: list[Row]) -> list[Row]:
    """Write what has gathered, and begin to gather anew."""
    written, rows[:] = list(rows), []
    if written:
        await write(work, written)
    for row in written:
        families.validated.add(row["reason"] or "valid")
    return written


async def judged(
    ctx: Context, work: Work, chosen: Sequence[StoredImage], rules: ValidationRules, compression: CompressionRules | None
) -> AsyncGenerator[list[Row], None]:
    """Judge images, yield their rows by the batch, once thumbnails and outputs are in the store (under ``aclosing``)."""
    async with aclosing(each(ctx, work, chosen, lambda batch: _judge(ctx, batch, rules, compression))) as groups:
        async for rows in groups:
            yield rows


async def _judge(ctx: Context, batch: Sequence[StoredImage], rules: ValidationRules, compression: CompressionRules | None) -> list[Row]:
    as_listed = [image for image in batch if not image.expected_sha256 or image.expected_sha256 == image.sha256]
    given = dict(await answers(ctx, as_listed, rules, compression, validation_level=rules.level))
    rows: list[Row] = []
    objects: list[tuple[str, bytes]] = []
    for image in batch:
        verdict = _verdict(image, given)
        with log.contextualize(image_id=image.id, validation_level=rules.level):
            log.debug("image.judged", reason=verdict.reason, detail=verdict.detail)
        rows.append(_as_row(image, verdict))
        objects += _objects(str(image.sha256), verdict, rows[-1])
    await put_all(ctx, objects)
    return rows


def _verdict(image: StoredImage, given: Mapping[int, Answer | None]) -> Verdict:
    if image.id not in given:
        return Verdict(Reason.CORRUPT, f"sha256 is {image.sha256}, the list says {image.expected_sha256}")
    answer = given[image.id]
    return Verdict(Reason.CORRUPT, GONE) if answer is None else answer.as_verdict()


def _objects(sha256: str, verdict: Verdict, row: Row) -> Iterator[tuple[str, bytes]]:
    """What is to be stored of an image, by key."""
    if verdict.thumbnail is not None:
        yield paths.thumb(sha256), verdict.thumbnail
    if verdict.output is not None:
        yield paths.blob(row["out_sha256"]), verdict.output.body


def _as_row(image: StoredImage, verdict: Verdict) -> Row:
    row = {
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
    return row if verdict.output is None else row | as_columns(verdict.output)


async def digest_of(source: bytes | Path) -> str:
    """SHA-256 of an object, hex; a file is read off the event loop."""
    body = source if isinstance(source, bytes) else await asyncio.to_thread(source.read_bytes)
    return await asyncio.to_thread(lambda: hashlib.sha256(body).hexdigest())
