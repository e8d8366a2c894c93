"""Compresses kept images to the form in which they are exported: resized, re-encoded, without metadata.

A build compresses while it validates and uses the shared functions here; the job compresses what an earlier run or a crash left out.
Retry: none here. An image that cannot be compressed is rejected with a reason.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

import errors
from app.db import Connection, images
from app.domain import MEDIA_TYPES, Compressed, ImageState, StoredImage
from app.images.checks import CANNOT_COMPRESS
from app.images.pool.protocol import Answer
from app.rules import CompressionRules
from app.storage import paths
from logging_setup import get_logger
from workers.stages.decode import MISSING, decode_batch, in_batches, put_all
from workers.unit import ClaimedUnit, JobContext

__all__ = ["compress_chunk", "compression_log", "output_columns", "output_of", "saved_bytes", "write_rows"]

log = get_logger(__name__)

Row = dict[str, Any]


async def compress_chunk(ctx: JobContext, unit: ClaimedUnit, chunk_id: str) -> None:
    """Compress the kept images of a chunk that have no output yet."""
    rules = unit.spec.compression
    async with ctx.db.read() as connection:
        kept = await images.kept_after(connection, unit.job.dataset_id, chunk_id=chunk_id, limit=10_000)
    to_compress = [image for image in kept if image.out_sha256 is None]
    with compression_log(rules, to_compress) as counts:
        async for batch in unit.batches(to_compress):
            async with aclosing(in_batches(ctx, unit, batch, lambda group: _compress_batch(ctx, group, rules))) as groups:
                async for rows in groups:
                    async with unit.transaction() as connection:
                        await write_rows(connection, rows)
                        await unit.record_progress(connection)
                    counts.update(ok=sum("out_sha256" in row for row in rows), failed=sum("state" in row for row in rows))
                    counts.update(saved_bytes=saved_bytes(batch, rows))
    if unit.is_incomplete:
        await unit.release()


@contextmanager
def compression_log(rules: CompressionRules, to_compress: Sequence[StoredImage]) -> Iterator[Counter[str]]:
    """Bind the log context of a chunk's compression; at the end log the counts ``ok``, ``failed`` and ``saved_bytes`` of the body."""
    counts = Counter(ok=0, failed=0, saved_bytes=0)
    with log.contextualize(format=rules.format, compression_level=rules.level, file_count=len(to_compress)):
        yield counts
        log.info("chunk.compressed", ok=counts["ok"], failed=counts["failed"], saved_bytes=counts["saved_bytes"])


def saved_bytes(before: Sequence[StoredImage], rows: Sequence[Row]) -> int:
    """Bytes saved by the outputs in these rows."""
    sizes = {image.id: image.size_bytes or 0 for image in before}
    return sum(sizes[row["id"]] - int(row["out_size_bytes"]) for row in rows if "out_sha256" in row)


async def write_rows(connection: Connection, rows: Sequence[Row]) -> None:
    """Write rows, which may have different columns."""
    for columns in dict.fromkeys(frozenset(row) for row in rows):
        await images.update_many(connection, [row for row in rows if row.keys() == columns])


def output_columns(output: Compressed) -> Row:
    """The columns of an image that describe its output."""
    return {
        "out_sha256": hashlib.sha256(output.body).hexdigest(),
        "out_media_type": MEDIA_TYPES[output.format],
        "out_size_bytes": len(output.body),
        "out_width": output.width,
        "out_height": output.height,
        "changes": output.changes,
    }


async def _compress_batch(ctx: JobContext, batch: Sequence[StoredImage], rules: CompressionRules) -> list[Row]:
    rows: list[Row] = []
    objects: list[tuple[str, bytes]] = []
    for image_id, answer in await decode_batch(ctx, batch, rules):
        try:
            output = output_of(answer)
        except errors.ValidationError as error:
            detail = f"{CANNOT_COMPRESS}: {error}"
            rows.append({"id": image_id, "state": ImageState.REJECTED, "reason": error.slug, "detail": detail})
        else:
            rows.append({"id": image_id} | output_columns(output))
            objects.append((paths.blob(rows[-1]["out_sha256"]), output.body))
    await put_all(ctx, objects)
    return rows


def output_of(answer: Answer | None) -> Compressed:
    """The re-encoded image of an answer. Raises `errors.ValidationError` where it cannot be, also without its bytes."""
    if answer is None:
        raise errors.ValidationError(MISSING)
    return answer.as_output()
