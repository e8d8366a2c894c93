"""Writes a dataset in an export format under its prefix in the store, and marks it ready once it has been read back.

Retry: none here. A run that is repeated writes the whole export again under the same prefix. So does an export of a dataset that lost
images on request since its rows were read.
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace

import errors
from app import concurrency
from app.boxes import Box, place
from app.datasets import provenance
from app.db import Connection, Database, datasets, images, jobs, tombstones, versions
from app.db.rows import Export, Job, NewUnit
from app.discovery.folders.place import published_url
from app.discovery.licences import stated_terms
from app.discovery.sources.fields import attribution
from app.domain import EXTENSIONS, FOLDER_SOURCE, Sample, StoredImage
from app.export_spec import ExportSpec
from app.exports import formats, publish
from app.exports.exporter import Exporter, ExportOptions, ExportReport, Read
from app.exports.provenance import Provenance
from app.images.pool.pool import load_images
from app.job_states import JobKind, UnitKind
from app.paper_texts import NO_TEXTS
from app.rules import CompressionRules
from app.selection import Test
from app.storage import Store, paths, storage_errors
from logging_setup import get_logger
from workers.stages.derive import Interrupted, NotDerived, Problems, derive
from workers.stages.select import NothingSelected, select_for_export
from workers.unit import ClaimedUnit, JobContext

__all__ = ["boxes_in_export", "count_read", "make_options", "verify_export", "write_export"]

log = get_logger(__name__)
tracer = trace.get_tracer(__name__)

PAGE = 1_000
"""Rows read at once. An export of any size needs the memory of one page and one image."""

PROGRESS_S = 1.0
"""Seconds between two writes of how far an export is."""


async def write_export(ctx: JobContext, unit: ClaimedUnit) -> None:
    """Write the export into the store under its own prefix, with a unit that verifies it before it is published."""
    row = await datasets.get_export(ctx.db, str(unit.row.payload["export_id"]))
    with log.contextualize(user_id=row.user_id, export_format=row.format, storage_tier=row.storage_tier):
        async with ctx.db.read() as connection:
            removed = await tombstones.count_removed(connection, row.dataset_id)
        try:
            report = await _write_and_publish(ctx, unit, row)
        except Interrupted:
            await unit.release()
        except NothingSelected as error:
            await _fail(unit, row.id, str(error), [str(error)])
        except NotDerived as error:
            await _fail(unit, row.id, str(error), error.problems)
            log.error("export.not_derived", images=error.images, problems=error.failed)
        except errors.ValidationError as error:  # a rule of the format, such as the names of its splits, or damaged bytes
            await _fail(unit, row.id, str(error), [str(error)])
            log.error("export.refused", problem=str(error))
        else:
            async with unit.transaction() as connection:
                await datasets.set_export(connection, row.id, state="written", prefix=paths.export(row.id), **_report_columns(report))
                await unit.finish_in(connection, [NewUnit(UnitKind.VERIFY, {"export_id": row.id, "removed": removed})])
            log.info("export.written", samples=report.samples, size_bytes=report.size_bytes, files=len(report.files))


async def _fail(unit: ClaimedUnit, export_id: str, error: str, problems: list[str]) -> None:
    async with unit.transaction() as connection:
        await datasets.set_export(connection, export_id, state="failed", problems=problems, error=error)
        await unit.finish_in(connection)


async def _write_and_publish(ctx: JobContext, unit: ClaimedUnit, row: Export) -> ExportReport:
    spec = _spec_of(row, unit)
    options = make_options(await _provenance_of(ctx, row.dataset_id), spec)
    is_selected = await select_for_export(ctx, row.dataset_id, spec)
    async with ctx.store.scratch() as folder:
        target = folder / row.id
        with tracer.start_as_current_span("export.write", attributes={"export_format": row.format}):
            exporter = formats.get_exporter(row.format)
            samples = _samples(ctx, unit, row.dataset_id, exporter, spec.compression, is_selected)
            report = await exporter.write(samples, count_read(_make_reader(ctx.store), unit, row.id), target, options)
        unit.require_lease()
        sizes = {"files": len(report.files), "size_bytes": report.size_bytes}
        with tracer.start_as_current_span("export.publish", attributes=sizes):
            await ctx.store.publish_tree(target, paths.export(row.id))
    return report


async def _provenance_of(ctx: JobContext, dataset_id: str) -> Provenance:
    """Return the facts that were recorded with the version of a dataset; of a dataset without a version what they are now."""
    async with ctx.db.read() as connection:
        version = await versions.newest_of_dataset(connection, dataset_id)
    if version is None or version.provenance is None:
        return await provenance.gather(ctx.resources, dataset_id)
    return Provenance.from_json(version.provenance)


def make_options(facts: Provenance, spec: ExportSpec) -> ExportOptions:
    """Return the options of an export: everything in them is of the version or of the spec, whose texts replace those of the version."""
    return ExportOptions(
        dataset_name=facts.name,
        dataset_id=facts.dataset_id,
        created_at=facts.created_at,
        shard_samples=spec.shard_samples,
        shard_bytes=spec.shard_bytes,
        captions=spec.captions,
        version=facts.version,
        texts=facts.texts if spec.papers == NO_TEXTS else spec.papers,
        provenance=facts,
        asked=spec.asked,
    )


def _report_columns(report: ExportReport) -> dict[str, Any]:
    return {"samples": report.samples, "size_bytes": report.size_bytes, "report": asdict(report) | {"files": dict(report.files)}}


def _spec_of(row: Export, unit: ClaimedUnit) -> ExportSpec:
    """What was asked for; of an export that an earlier version began, what its job says."""
    return ExportSpec.of_build(unit.spec) if row.options is None else ExportSpec.of_export(row.format, row.storage_tier, row.options)


async def _samples(
    ctx: JobContext, unit: ClaimedUnit, dataset_id: str, exporter: Exporter, asked: CompressionRules | None, is_selected: Test
) -> AsyncIterator[Sample]:
    """The samples of an export, in order; ``asked`` is how each is made of its original, None for images as the dataset has them.

    Raises:
        NotDerived: at their end, if any cannot be derived: an export holds every image, or it fails and names those that it cannot hold.
        Interrupted: the unit was asked to stop.
    """
    last_id = index = 0
    problems = Problems()
    build = await jobs.newest_of_dataset(ctx.db, dataset_id, JobKind.BUILD)
    folder, rules = _folder_of(build), asked or _rules_of(build)
    stated = placed = 0
    while True:
        async with ctx.db.read() as connection:
            page = await images.kept_after(connection, dataset_id, last_id=last_id, limit=PAGE)
        selected = [image for image in page if is_selected(image)]
        leaving, failed = await derive(ctx, unit, selected, asked, exporter.extensions, own=_rules_of(build))
        problems.add(failed)
        for image in leaving:
            sample = _as_sample(index, image, folder, boxes_in_export(image, rules))
            stated, placed = stated + len(image.boxes or ()), placed + len(sample.boxes)
            yield sample
            index += 1
        if len(page) < PAGE:
            break
        last_id = page[-1].id
    if placed < stated:
        log.warning("export.boxes_dropped", boxes=stated - placed, of=stated)
    if problems.failed:
        raise NotDerived(problems, images=index + problems.failed)


def _folder_of(build: Job | None) -> str | None:
    """Return the folder that a dataset was made of."""
    return build.spec["folder"]["path"] if build is not None and build.spec.get("folder") else None


def _rules_of(build: Job | None) -> CompressionRules:
    """Return how the images of a dataset were resized when it was built."""
    return CompressionRules(**build.spec["compression"]) if build is not None else CompressionRules()


def boxes_in_export(image: StoredImage, rules: CompressionRules) -> tuple[Box, ...]:
    """Return the boxes of an image where they are in the exported picture.

    Args:
        rules: by which the picture was resized. Where it has another size and shape, its boxes are not known.
    """
    if not image.boxes or not image.width or not image.height:
        return ()
    picture, exported = (image.width, image.height), (image.out_width or image.width, image.out_height or image.height)
    scaled, canvas = rules.sizes(*picture)
    if canvas != exported:
        if abs(exported[0] * picture[1] - exported[1] * picture[0]) > sum(picture) / 2:  # more than rounding to whole pixels makes
            return ()
        scaled = canvas = exported
    return place((Box(**box) for box in image.boxes), picture, scaled, canvas)


def _media_type(image: StoredImage) -> str:
    return image.out_media_type or image.media_type or "application/octet-stream"


def _as_sample(index: int, image: StoredImage, folder: str | None = None, boxes: Sequence[Box] = ()) -> Sample:
    media_type = _media_type(image)
    url, source = _origin(image, folder)
    labels = image.labels or ()
    return Sample(
        index=index,
        image_id=image.id,
        sha256=str(image.out_sha256 or image.sha256),
        size_bytes=image.out_size_bytes or image.size_bytes or 0,
        media_type=media_type,
        extension=EXTENSIONS[media_type],
        width=image.out_width or image.width or 0,
        height=image.out_height or image.height or 0,
        label=image.label,
        split=image.split or "train",
        caption=image.caption,
        url=url,
        source=source,
        source_sha256=str(image.sha256),
        page_url=image.page_url,
        title=image.title,
        license=image.license,
        license_url=image.license_url,
        creator=image.creator,
        license_raw=image.license_raw,
        license_confidence=image.license_confidence,
        license_note=image.license_note,
        creator_url=image.creator_url,
        attribution=image.attribution or _credit_line(image, url, source),
        phash=image.phash,
        group_id=image.group_id,
        changes=image.changes,
        captions=tuple(image.captions or ()),
        labels=tuple(labels) if image.label in labels else (),  # a label of the job replaces those of the list
        extra=image.extra or {},
        boxes=boxes,
    )


def _credit_line(image: StoredImage, url: str, source: str) -> str | None:
    """Credit in words where the source gave none, but stated a creator, or a licence that asks for credit."""
    terms = stated_terms(image.license)
    if not image.creator and not (terms is not None and terms.attribution):
        return None
    return attribution(image.title, image.creator, urlsplit(image.page_url or url).hostname or source, image.license)


def _origin(image: StoredImage, folder: str | None) -> tuple[str, str]:
    """Return the URL and the source of an image; those that its metadata says where it comes from a folder."""
    if folder is None or image.source != FOLDER_SOURCE:
        return image.url, image.source
    said = image.stated or {}
    return str(said.get("url") or published_url(image.url, folder)), str(said.get("source") or image.source)


def _make_reader(store: Store) -> Read:
    """Make the function that reads samples: files of a folder in one thread call, objects of a bucket concurrently."""

    async def read(samples: Sequence[Sample]) -> Sequence[bytes]:
        if store.root is not None:
            return await concurrency.to_thread_uncancelled(_read_files, store.root, samples)
        return await concurrency.gather_all(store.get(paths.blob(sample.sha256)) for sample in samples)

    return read


def count_read(read: Read, unit: ClaimedUnit, export_id: str, clock: Callable[[], float] = time.monotonic) -> Read:
    """Make a function that reads samples and writes to the export's row, once in `PROGRESS_S`, how many it has read.

    A figure that the database does not take is left out: the export itself needs the database at its end only.
    """
    samples_read, due_at = 0, clock() + PROGRESS_S

    async def counted(samples: Sequence[Sample]) -> Sequence[bytes]:
        nonlocal samples_read, due_at
        bodies = await read(samples)
        samples_read += len(samples)
        if (now := clock()) >= due_at:
            due_at = now + PROGRESS_S
            with suppress(errors.DatabaseConnectionError, errors.StorageError):
                async with unit.transaction() as connection:
                    await datasets.set_export(connection, export_id, samples=samples_read)
        return bodies

    return counted


def _read_files(root: Path, samples: Sequence[Sample]) -> list[bytes]:
    bodies = []
    for key in (paths.blob(sample.sha256) for sample in samples):
        with storage_errors.reading("get", key), FileIO(f"{root}/{key}") as file:  # building a Path would cost as much as reading the file
            bodies.append(file.readall())
    return bodies


async def verify_export(ctx: JobContext, unit: ClaimedUnit) -> None:
    """Read an export back with its format's own reader; mark it ready, or failed with its problems. One with a destination is sent next."""
    row = await datasets.get_export(ctx.db, str(unit.row.payload["export_id"]))
    with log.contextualize(user_id=row.user_id, export_format=row.format, storage_tier=row.storage_tier):
        if await _is_outdated(ctx.db, unit, row):
            await _write_again(ctx, unit, row)
            return
        async with publish.open_folder(ctx.store, str(row.prefix or paths.export(row.id))) as folder:
            result = await formats.get_exporter(row.format).verify(
                folder, ExportReport(**(row.report or {})), partial(load_images, ctx.decoders)
            )
        if await _is_outdated(ctx.db, unit, row):
            await _write_again(ctx, unit, row)
            return
        async with unit.transaction() as connection:
            await _publish(connection, row.id, list(result.problems))
            await datasets.set_report(connection, unit.job.id, {"samples": result.samples, "problems": list(result.problems)})
            is_sent = row.destination is not None and row.job_id == unit.job.id and result.is_good
            await unit.finish_in(connection, [NewUnit(UnitKind.PUBLISH, {"export_id": row.id})] if is_sent else [])
        level = "INFO" if result.is_good else "ERROR"
        log.log(level, "export.verified", samples=result.samples, problems=len(result.problems))


async def _is_outdated(db: Database, unit: ClaimedUnit, row: Export) -> bool:
    """Whether the dataset lost images on request since the rows of the export were read: it may hold them."""
    removed = unit.row.payload.get("removed")  # not where an export is verified once more
    async with db.read() as connection:
        return removed is not None and await tombstones.count_removed(connection, row.dataset_id) != removed


async def _write_again(ctx: JobContext, unit: ClaimedUnit, row: Export) -> None:
    await ctx.store.delete_tree(paths.export(row.id))
    async with unit.transaction() as connection:
        await datasets.set_export(connection, row.id, state="pending", prefix=None, error=None)
        await unit.finish_in(connection, [NewUnit(UnitKind.EXPORT, {"export_id": row.id})])
    log.warning("export.outdated")


async def _publish(connection: Connection, export_id: str, problems: list[str]) -> None:
    error = f"{len(problems)} problem(s): {problems[0]}" if problems else None
    await datasets.set_export(connection, export_id, state="failed" if problems else "ready", problems=problems, error=error)
