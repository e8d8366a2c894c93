"""From a request to what a job carries: defaults are filled in, and lists go to the store."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import errors
from app import discovery, selection
from app.db import new_id
from app.discovery import urls as url_reading
from app.discovery.licences.policy import policy_for
from app.domain import ExportFormat
from app.export_spec import ExportRequest, ExportSpec
from app.exports import formats
from app.quotas import default_total
from app.resources import Resources, source_options
from app.rules import DEFAULT_SPLIT_BY, SPLIT_KINDS, CompressionRules
from app.settings import Settings
from app.spec import FolderSpec, JobRequest, JobSpec, ListedImage, ListSpec
from app.storage import paths

__all__ = ["parse_selection", "resolve_spec", "settle_export", "settle_spec", "store_list", "store_urls"]


def resolve_spec(
    resources: Resources,
    request: JobRequest,
    *,
    url_list: ListSpec | None = None,
    folder: FolderSpec | None = None,
) -> JobSpec:
    """Fill in every default from the settings, so that all workers decide the same.

    Raises:
        errors.PermanentError: a source cannot be searched, see `app.discovery.check_source`; or a keyword or licence is none.
    """
    if request.keywords:
        for name in request.sources:
            discovery.check_source(name, source_options(resources.settings, name))
    return settle_spec(resources.settings, request, url_list=url_list, folder=folder)


def settle_spec(
    settings: Settings,
    request: JobRequest,
    *,
    url_list: ListSpec | None = None,
    folder: FolderSpec | None = None,
) -> JobSpec:
    """As `resolve_spec`, whether or not the sources can be searched.

    Raises:
        errors.ConfigurationError: the export format needs an extra that is not installed.
    """
    rules = settings.validate_.rules()
    chosen: dict[str, Any] = {"level": request.validation_level, "min_width": request.min_width, "min_height": request.min_height}
    compression = (request.compression or settings.compress).rules()
    export_format = request.export_format or settings.export.format
    asked = discovery.keywords.settle(request.asked)
    labels = [request.label or item.label or discovery.keywords.slug(item.keyword) for item in asked]
    numbers = [item.max_images for item in asked]
    parse_selection(request.where, is_build=True)
    per_label = min(filter(None, (request.per_label, request.max_per_label)), default=None) if asked else None
    licences = policy_for(request.license, request.license_unknown, is_search=bool(asked))
    return JobSpec(
        keywords=[item.keyword for item in asked],
        keyword_labels={item.keyword: label for item, label in zip(asked, labels, strict=True)},
        keyword_targets={item.keyword: item.max_images for item in asked if item.max_images is not None},
        url_list=url_list,
        pages=request.pages and request.pages.model_copy(update={"urls": url_reading.read_each(request.pages.urls, "pages")}),
        folder=folder,
        sources=request.sources,
        expand=request.expand,
        lang=request.lang,
        license=list(licences.words),
        license_unknown=licences.unknown,
        label=request.label,
        max_images=request.max_images or (max(request.least_images, default_total(labels, numbers, per_label)) if asked else None),
        per_label=per_label,
        min_images=request.min_images,
        min_images_per_label=request.min_images_per_label,
        where=request.where,
        max_per_label=request.max_per_label,
        balance=request.balance,
        validation=replace(rules, **{name: value for name, value in chosen.items() if value is not None}),
        dedupe=request.dedupe,
        captions=request.captions,
        near_distance=settings.validate_.near_distance,
        placeholder_min=settings.validate_.placeholder_min,
        label_conflicts=request.label_conflicts or settings.validate_.label_conflicts,
        url_label_conflicts="drop" if request.label_conflicts == "drop" else "keep",
        compression=compression,
        export_format=export_format,
        also=settle_formats(export_format, request.also, compression),
        storage_tier=request.storage_tier or settings.export.storage_tier,
        splits=request.splits,
        split_by=tuple(kind for kind in SPLIT_KINDS if kind in (request.split_by or DEFAULT_SPLIT_BY)),
        seed=request.seed,
        refresh=request.refresh,
        side_px=_wanted_side(request, compression),
        shard_samples=settings.export.shard_samples,
        shard_bytes=settings.export.shard_bytes,
        papers=settings.papers.texts(),
    )


def parse_selection(where: str | None, *, is_build: bool = False) -> selection.Selection | None:
    """Parse what ``where`` asks for; None where it asks for nothing.

    Raises:
        errors.ValidationError: it is no selection, or a build's asks for a split, which an image gets after it was selected.
    """
    if where is None:
        return None
    try:
        parsed = selection.parse(where)
    except errors.ValidationError as error:
        raise errors.ValidationError(f"where: {error}") from error
    if is_build and "split" in parsed.names:
        raise errors.ValidationError("where: an image gets its split after a build selected it; export with where split = ... instead")
    return parsed


def settle_export(settings: Settings, request: ExportRequest) -> ExportSpec:
    """Fill in what the settings decide of an export.

    Raises:
        errors.ValidationError: its selection is none, or a format cannot hold the form that is asked for.
        errors.ConfigurationError: a format needs an extra that is not installed.
    """
    parse_selection(request.where)
    settle_formats(request.export_format, request.also, request.compression.rules() if request.compression else None)
    for name in (request.export_format, *request.also) if request.compression else ():
        if not formats.get_exporter(name).holds_images:
            raise errors.ValidationError(f"{name} holds no images to encode or resize; take another format")
    shards = {
        "shard_samples": request.shard_samples or settings.export.shard_samples,
        "shard_bytes": request.shard_bytes or settings.export.shard_bytes,
    }
    return ExportSpec(**request.model_dump() | shards, papers=settings.papers.texts())


def settle_formats(first: ExportFormat, also: Sequence[ExportFormat], compression: CompressionRules | None) -> list[ExportFormat]:
    """Return the further formats, each of which can hold what the rules make.

    Raises:
        errors.ValidationError: a format is named twice, or its loaders do not read the encoding.
        errors.ConfigurationError: a format needs an extra that is not installed.
    """
    for at, name in enumerate(also):
        if name in (first, *also[:at]):
            raise errors.ValidationError(f"also {name}: the dataset is written as {name} anyway; name each format once")
    for name in (first, *also):
        formats.require_format(name)
        if compression is not None:
            formats.require_readable(name, compression.format)
    return list(also)


def _wanted_side(request: JobRequest, compression: CompressionRules) -> int | None:
    """The shorter side, pixels, that serves a request: of its exported images, or of the smallest image that it takes."""
    sides = (request.min_width, request.min_height, None if compression.resize == "none" else compression.size)
    return max(filter(None, sides), default=None)


async def store_list(resources: Resources, path: Path, spec: ListSpec) -> ListSpec:
    """Copy a list into the store, streamed, so that a resumed job reads what the first run read."""
    key = paths.url_list(new_id("list"), spec.suffix)
    await resources.store.put_file(key, path)
    return spec.model_copy(update={"key": key})


async def store_urls(resources: Resources, urls: Sequence[str | ListedImage]) -> ListSpec:
    """Store the URLs of a request as a list: one a line, or as JSON lines where more than the URL is known of one.

    Raises:
        errors.ValidationError: none of them is usable.
    """
    await asyncio.to_thread(_require_usable, urls)
    is_plain = all(isinstance(item, str) for item in urls)
    suffix = ".txt" if is_plain else ".jsonl"
    key = paths.url_list(new_id("list"), suffix)
    await resources.store.put(key, await asyncio.to_thread(_as_lines, urls, _one_line if is_plain else _as_json))
    return ListSpec(key=key, suffix=suffix, name="request")


def _require_usable(urls: Sequence[str | ListedImage]) -> None:
    texts = [item if isinstance(item, str) else item.url for item in urls]
    if any(map(url_reading.usable, texts)):
        return
    try:
        url_reading.read(texts[0])
    except errors.InvalidURLError as exc:
        raise errors.ValidationError(f"no URL of the request is usable; the first: {exc}") from exc


def _as_lines(urls: Sequence[str | ListedImage], encode: Callable[[Any], str]) -> bytes:
    return "\n".join(map(encode, urls)).encode("utf-8", "replace")


def _one_line(url: str) -> str:
    return url.replace("\r", " ").replace("\n", " ")


def _as_json(item: str | ListedImage) -> str:
    return json.dumps(item if isinstance(item, str) else item.model_dump(exclude_none=True))
