"""Kept images to the form in which they leave: resized, re-encoded, stripped of metadata.

A build does this along with its verdicts; here is what both share, and what is done later: images of earlier runs, and what a crash left.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

import errors
from app.db import images
from app.domain import MEDIA_TYPES, Compressed, CompressionRules, ImageState, StoredImage
from app.images.checks import CANNOT_COMPRESS
from app.images.pool.protocol import Answer
from app.storage import paths
from logging_setup import get_logger
from workers.stages.decode import GONE, answers, each, put_all
from workers.unit import Context, Work

__all__ = ["as_columns", "compress", "saved_bytes", "told", "write"]

log = get_logger(__name__)

Row = dict[str, Any]


async def compress(ctx: Context, work: Work, chunk_id: str) -> None:
    """Compress what is not compressed yet of a chunk. An image that cannot be is rejected, with its reason."""
    rules = work.spec.compression
    async with ctx.db.read() as connection:
        kept = await images.kept_after(connection, work.job.dataset_id, chunk_id=chunk_id, limit=10_000)
    todo = [image for image in kept if image.out_sha256 is None]
    with told(rules, todo) as tally:
        async for portion in work.portions(todo):
            async with aclosing(each(ctx, work, portion, lambda batch: _compress(ctx, batch, rules))) as groups:
                async for rows in groups:
                    await write(work, rows)
                    tally.update(ok=sum("out_sha256" in row for row in rows), failed=sum("state" in row for row in rows))
                    tally.update(saved_bytes=saved_bytes(portion, rows))
    if work.stop.is_set():
        await work.release()


@contextmanager
def told(rules: CompressionRules, todo: Sequence[StoredImage]) -> Iterator[Counter[str]]:
    """The context of a chunk's compression, and its line at the end with what was counted: ``ok``, ``failed``, ``saved_bytes``."""
    tally = Counter(ok=0, failed=0, saved_bytes=0)
    with log.contextualize(format=rules.format, compression_level=rules.level, file_count=len(todo)):
        yield tally
        log.info("chunk.compressed", ok=tally["ok"], failed=tally["failed"], saved_bytes=tally["saved_bytes"])


def saved_bytes(before: Sequence[StoredImage], rows: Sequence[Row]) -> int:
    """Bytes less than before, over the rows that have an output."""
    sizes = {image.id: image.size_bytes or 0 for image in before}
    return sum(sizes[row["id"]] - int(row["out_size_bytes"]) for row in rows if "out_sha256" in row)


async def write(work: Work, rows: Sequence[Row]) -> None:
    """Write rows, with an output or without, in one transaction."""
    async with work.transaction() as connection:
        for has_output in (False, True):
            await images.update_many(connection, [row for row in rows if ("out_sha256" in row) is has_output])
        await work.progress(connection)


def as_columns(output: Compressed) -> Row:
    """What a row says of its output."""
    return {
        "out_sha256": hashlib.sha256(output.body).hexdigest(),
        "out_media_type": MEDIA_TYPES[output.format],
        "out_size_bytes": len(output.body),
        "out_width": output.width,
        "out_height": output.height,
    }


async def _compress(ctx: Context, batch: Sequence[StoredImage], rules: CompressionRules) -> list[Row]:
    rows: list[Row] = []
    objects: list[tuple[str, bytes]] = []
    for image_id, answer in await answers(ctx, batch, rules):
        try:
            output = _output_of(answer)
        except errors.ValidationError as error:
            words = f"{CANNOT_COMPRESS}: {error}"
            rows.append({"id": image_id, "state": ImageState.REJECTED, "reason": error.slug, "detail": words})
        else:
            rows.append({"id": image_id} | as_columns(output))
            objects.append((paths.blob(rows[-1]["out_sha256"]), output.body))
    await put_all(ctx, objects)
    return rows


def _output_of(answer: Answer | None) -> Compressed:
    if answer is None:
        raise errors.ValidationError(GONE)
    return answer.as_output()
