"""How every export is written: spool the samples, read ahead, write each image, then the sidecars, the manifest last.

While one thread writes images, others read and hash the next ones: hashing and file access release the GIL.
"""

import asyncio
import contextlib
import functools
import hashlib
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import errors
from app import concurrency
from app.domain import Sample
from app.exports import sidecars
from app.exports.cards import CardParts
from app.exports.exporter import ExportOptions, ExportReport, Read
from app.exports.extra_columns import MAX_COLUMNS
from app.exports.hashed_file import FileFacts
from app.exports.provenance import Asked
from app.exports.shard_counter import ShardCounter
from app.exports.spool import DatasetFacts, Spool
from app.rules import DEFAULT_SPLIT_BY
from app.storage import storage_errors
from logging_setup import get_logger

__all__ = ["FormatWriter", "Written", "write_export"]

log = get_logger(__name__)

_BATCH = 32  # images per thread call for reading, checking and writing: on busy cores the return from a call takes up to 1 ms
_BATCH_BYTES = 4_000_000  # a batch of this size is complete: memory is that of three batches, or of three large images
_READ_AHEAD = 1  # batches read while one is written: 32 requests at a time hide an object store's latency

Batch = Sequence[tuple[Sample, bytes]]
"""Samples with their bytes, whose digests were checked."""


@dataclass(frozen=True, slots=True)
class Written:
    """An image that was written, and a file of its own beside it: like the image it is in ``SHA256SUMS``, and not in the manifest."""

    path: str
    beside: str
    beside_facts: FileFacts


class FormatWriter(Protocol):
    """The part of a format that writes images. Blocking; called from one thread at a time."""

    @property
    def card(self) -> CardParts:
        """The parts of the card that depend on the format."""
        ...

    def add(self, sample: Sample, body: bytes) -> "str | Written":
        """Write one image. Returns its path in the export; inside a shard: ``shard.tar/member.jpg``."""
        ...

    def finish(self) -> dict[str, FileFacts]:
        """Close every file. Returns those that are no image, by path."""
        ...

    def abandon(self) -> None:
        """Close every open file after a failure."""
        ...


async def write_export(
    samples: AsyncIterator[Sample],
    read: Read,
    folder: Path,
    options: ExportOptions,
    make_format_writer: Callable[[Path, DatasetFacts, ExportOptions], FormatWriter],
    format_name: str,
    *,
    holds_images: bool = True,
) -> ExportReport:
    """Write an export. Afterwards every file exists, ``manifest.json`` written last, or ``folder`` is empty.

    Where it does not hold the images, they are not read: the writer of the format gets empty bytes.
    """
    with storage_errors.writing("export", format_name):
        await asyncio.to_thread(_prepare_folder, folder)
        async with _delete_contents_on_failure(folder):
            spool = await asyncio.to_thread(Spool, folder, ShardCounter(options.shard_samples, options.shard_bytes))
            with contextlib.closing(spool):
                facts = await spool.fill(samples)
                with _abandon_on_failure(await asyncio.to_thread(make_format_writer, folder, facts, options)) as format_writer:
                    run = _ExportRun(format_writer, facts, options, format_name)
                    return await _write_images(spool, functools.partial(_read, read=read) if holds_images else _read_nothing, folder, run)


@dataclass(frozen=True, slots=True)
class _ExportRun:
    format_writer: FormatWriter
    facts: DatasetFacts
    options: ExportOptions
    format: str


async def _write_images(
    spool: Spool, read_batch: Callable[[Sequence[Sample]], Coroutine[Any, Any, Batch]], folder: Path, run: _ExportRun
) -> ExportReport:
    sidecar_writer = sidecars.SidecarWriter(folder, has_image_files=run.format_writer.card.has_image_files)
    with contextlib.closing(sidecar_writer):
        batches_read = concurrency.map_in_order(_batches(spool.read()), read_batch, _READ_AHEAD)
        async with contextlib.aclosing(batches_read) as batches:
            async for batch in batches:
                await concurrency.to_thread_uncancelled(_add_batch, run.format_writer, sidecar_writer, batch)
        report = await concurrency.to_thread_uncancelled(_finish, folder, run, sidecar_writer)
    if run.facts.absent_labels:
        log.warning("export.classes_absent", splits=sorted(run.facts.absent_labels))
    if run.facts.left_out:
        log.warning("export.columns_left_out", columns=run.facts.left_out, limit=MAX_COLUMNS)
    return report


async def _batches(samples: AsyncIterator[Sample]) -> AsyncIterator[list[Sample]]:
    """The samples in batches by number and size."""
    batch: list[Sample] = []
    size_bytes = 0
    async for sample in samples:
        batch.append(sample)
        size_bytes += sample.size_bytes
        if len(batch) >= _BATCH or size_bytes >= _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


async def _read(batch: Sequence[Sample], read: Read) -> Batch:
    bodies = await read(batch)
    return await concurrency.to_thread_uncancelled(_check_digests, batch, bodies)


async def _read_nothing(batch: Sequence[Sample]) -> Batch:
    return [(sample, b"") for sample in batch]


def _check_digests(batch: Sequence[Sample], bodies: Sequence[bytes]) -> Batch:
    pairs = list(zip(batch, bodies, strict=True))
    for sample, body in pairs:
        if hashlib.sha256(body).hexdigest() != sample.sha256 or len(body) != sample.size_bytes:
            raise errors.ValidationError(f"image {sample.image_id}: the stored bytes do not match the digest {sample.sha256}")
    return pairs


def _add_batch(format_writer: FormatWriter, sidecar_writer: sidecars.SidecarWriter, batch: Batch) -> None:
    for sample, body in batch:
        written = format_writer.add(sample, body)
        if isinstance(written, Written):
            sidecar_writer.add_beside(written.beside, written.beside_facts)
        sidecar_writer.add(sample, written.path if isinstance(written, Written) else written)


def _finish(folder: Path, run: _ExportRun, sidecar_writer: sidecars.SidecarWriter) -> ExportReport:
    files = run.format_writer.finish()
    split_report = run.facts.split_table.report(*_split_options(run.options))
    manifest = sidecars.write_sidecars(
        folder, run.format, run.facts, run.options, run.format_writer.card, files, split_report, sidecar_writer
    )
    sizes = {path: found.size_bytes for path, found in sorted(manifest.items())}
    images = run.facts.image_bytes + sidecar_writer.beside_bytes if run.format_writer.card.has_image_files else 0
    return ExportReport(
        format=run.format,
        samples=run.facts.samples,
        size_bytes=images + sum(sizes.values()),
        splits=run.facts.splits,
        labels=run.facts.labels,
        files=sizes,
        split_report=split_report.to_json(),
    )


def _split_options(options: ExportOptions) -> tuple[int, Sequence[str]]:
    """The distance of near duplicates and what stayed in one split, of the build; the defaults where they are not known."""
    asked = options.provenance.asked if options.provenance is not None else Asked()
    return asked.near_distance, asked.split_by.split(",") if asked.split_by else DEFAULT_SPLIT_BY


@contextlib.asynccontextmanager
async def _delete_contents_on_failure(folder: Path) -> AsyncIterator[None]:
    done = False
    try:
        yield
        done = True
    finally:
        if not done:
            await asyncio.to_thread(_delete_contents, folder)


@contextlib.contextmanager
def _abandon_on_failure(format_writer: FormatWriter) -> Iterator[FormatWriter]:
    done = False
    try:
        yield format_writer
        done = True
    finally:
        if not done:
            format_writer.abandon()


def _prepare_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise errors.ConfigurationError(f"the export folder is not empty: {folder}")


def _delete_contents(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
