"""Validates a chunk's fetched images: verdicts, perceptual hashes, thumbnails, and in a build that compresses also the output bytes.

Licences are decided again, by what the files state and what was offered since. Retry: none here. An image that cannot be judged is rejected
with a reason; the unit continues with the images that have no verdict yet.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from app.datasets.stored_bytes import ANY_IMAGE
from app.db import images, offers
from app.discovery.licences import gate as licence_gate
from app.discovery.licences.policy import LicencePolicy
from app.discovery.offers import Offered
from app.domain import ImageState, Reason, StoredImage, Verdict
from app.images.checks import CANNOT_COMPRESS
from app.images.pool.protocol import Answer
from app.job_states import JobKind
from app.observability import metrics
from app.review_actions import Reviewed
from app.rules import CompressionRules, ValidationRules
from app.storage import paths
from errors import as_evidence
from logging_setup import get_logger
from workers.stages import rebuild
from workers.stages.compress import compression_log, output_columns, saved_bytes, write_rows
from workers.stages.decode import MISSING, decode_batch, in_batches, put_all
from workers.unit import ClaimedUnit, JobContext

__all__ = ["judge_images", "validate_chunk"]

log = get_logger(__name__)

Row = dict[str, Any]

WRITE_EVERY = 50
"""Verdicts written in one transaction."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The columns of an image with its verdict, and what its file states of its licence."""

    row: Row
    rights: Sequence[tuple[str, str]]


async def validate_chunk(ctx: JobContext, unit: ClaimedUnit, chunk_id: str) -> None:
    """Judge the fetched images of a chunk that have no verdict yet. A build that compresses does so here, from the same decoded pixels."""
    if unit.spec.lock is not None and unit.job.kind is JobKind.BUILD:
        await rebuild.accept_chunk(ctx, unit, unit.spec.lock, chunk_id)
        return
    rules, compression = unit.spec.validation, _compression(unit)
    async with ctx.db.read() as connection:
        fetched = await images.chunk_images(connection, chunk_id, [ImageState.FETCHED])
    decided = [image for image in fetched if image.reviewed == Reviewed.KEEP]
    fetched = [image for image in fetched if image.reviewed != Reviewed.KEEP]
    to_compress = [image for image in fetched if compression and image.out_sha256 is None]
    with log.contextualize(validation_level=rules.level):
        rows: list[Row] = await _judge_and_write(ctx, unit, decided, ANY_IMAGE, compression)
        if compression and to_compress:
            with compression_log(compression, to_compress) as counts:
                rows += await _judge_and_write(ctx, unit, to_compress, rules, compression)
                counts.update(_compression_counts(to_compress, rows))
        rest = [image for image in fetched if not compression or image.out_sha256]
        rows += await _judge_and_write(ctx, unit, rest, rules, None)
        states = Counter(row["state"] for row in rows)
        log.info("chunk.validated", ok=states[ImageState.VALID], rejected=states[ImageState.REJECTED])
    if unit.is_incomplete:
        await unit.release()


def _compression(unit: ClaimedUnit) -> CompressionRules | None:
    """The compression rules of the job, if it is a build that compresses."""
    is_wanted = unit.job.kind is JobKind.BUILD and not unit.spec.compression.is_identity
    return unit.spec.compression if is_wanted else None


def _compression_counts(before: Sequence[StoredImage], rows: Sequence[Row]) -> dict[str, int]:
    failed = sum(str(row["detail"]).startswith(CANNOT_COMPRESS) for row in rows)
    return {"ok": sum("out_sha256" in row for row in rows), "failed": failed, "saved_bytes": saved_bytes(before, rows)}


async def _judge_and_write(
    ctx: JobContext, unit: ClaimedUnit, chosen: Sequence[StoredImage], rules: ValidationRules, compression: CompressionRules | None
) -> list[Row]:
    """Judge images and write their rows, some at a time; return all written rows."""
    written: list[Row] = []
    judged: list[Judged] = []
    async for batch in unit.batches(chosen):
        async with aclosing(judge_images(ctx, unit, batch, rules, compression)) as groups:
            async for group in groups:
                judged += group
                if len(judged) >= WRITE_EVERY or unit.row.crashes:
                    written += await _flush(unit, judged)
        written += await _flush(unit, judged)
    return written


async def _flush(unit: ClaimedUnit, judged: list[Judged]) -> list[Row]:
    """Write the rows, with the licences as they are by now, empty the list, and return what was written."""
    if not judged:
        return []
    policy = licence_gate.policy_of(unit.spec)
    async with unit.transaction() as connection:
        now = await offers.load(connection, [item.row["id"] for item in judged])
        written = [item.row | _licence_columns(policy, now[item.row["id"]], item) for item in judged]
        await write_rows(connection, written)
        await unit.record_progress(connection)
    judged.clear()
    for row in written:
        metrics.validated.labels(row["reason"] or "valid").inc()
    return written


async def judge_images(
    ctx: JobContext, unit: ClaimedUnit, chosen: Sequence[StoredImage], rules: ValidationRules, compression: CompressionRules | None
) -> AsyncGenerator[list[Judged], None]:
    """Judge images; yield those of each batch once its thumbnails and outputs are in the store (under ``aclosing``)."""
    async with aclosing(in_batches(ctx, unit, chosen, lambda batch: _judge_batch(ctx, batch, rules, compression))) as groups:
        async for judged in groups:
            yield judged


async def _judge_batch(
    ctx: JobContext,
    batch: Sequence[StoredImage],
    rules: ValidationRules,
    compression: CompressionRules | None,
) -> list[Judged]:
    as_listed = [image for image in batch if not image.expected_sha256 or image.expected_sha256 == image.sha256]
    answers = dict(await decode_batch(ctx, as_listed, rules, compression, validation_level=rules.level))
    judged: list[Judged] = []
    objects: list[tuple[str, bytes]] = []
    for image in batch:
        verdict = _verdict(image, answers)
        with log.contextualize(image_id=image.id, validation_level=rules.level):
            log.debug("image.judged", reason=verdict.reason, detail=verdict.detail)
        judged.append(Judged(_as_row(image, verdict), verdict.rights))
        objects += _objects(str(image.sha256), verdict, judged[-1].row)
    await put_all(ctx, objects)
    return judged


def _verdict(image: StoredImage, answers: Mapping[int, Answer | None]) -> Verdict:
    if image.id not in answers:
        return Verdict(Reason.CORRUPT, f"the origin now serves other bytes: expected sha256 {image.expected_sha256}, got {image.sha256}")
    answer = answers[image.id]
    return Verdict(Reason.CORRUPT, MISSING) if answer is None else answer.as_verdict()


def _objects(sha256: str, verdict: Verdict, row: Row) -> Iterator[tuple[str, bytes]]:
    """The objects to store for an image, by key."""
    if verdict.thumbnail is not None:
        yield paths.thumb(sha256), verdict.thumbnail
    if verdict.output is not None and "out_sha256" in row:
        yield paths.blob(row["out_sha256"]), verdict.output.body


def _licence_columns(policy: LicencePolicy, now: Offered, item: Judged) -> Row:
    """The columns that change by what is stated of the licence, in the file or elsewhere; none for most images."""
    found = licence_gate.read_file(policy, now, item.rights) if item.rights else None
    if found is None:
        decision = licence_gate.decide_again(policy, now)
        return {} if decision.is_taken else _refused(decision.words, now.license_raw)
    changed = {"license": found.licence, "license_url": found.url, "license_raw": found.raw, "license_note": found.note}
    changed["license_confidence"] = "asserted"
    return changed if found.refusal is None else changed | _refused(found.refusal, found.evidence)


def _refused(why: str, evidence: str | None) -> Row:
    refused = {"state": ImageState.REJECTED, "reason": Reason.LICENCE, "detail": why}
    return refused | {"evidence": as_evidence(evidence) if evidence else None}


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
        "colour_grid": verdict.colour_grid,
        "measures": dict(verdict.measures),
    }
    if verdict.output is None or image.out_sha256:  # an output that exists is not replaced by a check
        return row
    return row | output_columns(verdict.output)
