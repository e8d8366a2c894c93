"""Reads the report of a delivered dataset from its folder alone: its rows and its images. What was left out, and why, is not in there."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from app import concurrency
from app.db.image_facts import ImageFacts
from app.db.licences import LicenceCount
from app.discovery.folders.folder import Cursor, FolderReader
from app.discovery.folders.place import Place
from app.discovery.folders.reading import LocalBytes, Reading
from app.discovery.folders.unpacked import TarFiles
from app.domain import FOLDER_SOURCE, Candidate, ImageState
from app.explain import licences
from app.exports.folder import read_manifest
from app.formatting import count
from app.images.pool.pool import DecoderPool
from app.report.collect import PlannedSheet, caption_of, head_facts, is_web, plan_sheets
from app.report.model import Picture, Report, Sheet, Strip
from app.report.tally import Tally
from app.rules import ValidationRules
from app.spec import FolderSpec

__all__ = ["read_folder"]

_READ: Final = 1_000
"""Images of a folder that are listed in one thread call."""

_DECODED: Final = 16
"""Images that are in memory at once."""

_MAX_BYTES: Final = 200_000_000
"""Of one image."""


async def read_folder(folder: Path, decoders: DecoderPool) -> tuple[Report, dict[str, bytes | None]]:
    """Return the report of a delivered dataset, and the thumbnails of its pictures, which are made from its images.

    Raises:
        errors.StorageError: the folder cannot be read, or no decoder can be started.
    """
    place = await asyncio.to_thread(folder.resolve)
    spec = FolderSpec(path=str(place), name=place.name)
    tally, known = await asyncio.to_thread(_count, spec)
    sheets = plan_sheets(tally)
    shown = await asyncio.to_thread(_load, spec, {number for _, _, splits in sheets for _, ids in splits.values() for number in ids})
    thumbs = await _thumbnails(spec.path, shown, decoders)
    return await asyncio.to_thread(_report, await asyncio.to_thread(read_manifest, folder), tally, known, sheets, shown), thumbs


def _listed(spec: FolderSpec) -> Iterator[tuple[int, Candidate]]:
    """The images of a folder with their numbers, in its order."""
    files = TarFiles()
    try:
        reader, is_last, number = FolderReader(spec, files, Cursor()), False, 0
        while not is_last:
            found, is_last = reader.read(_READ)
            for item in found:
                if isinstance(item, Candidate):
                    number += 1
                    yield number, item
    finally:
        files.close()


def _count(spec: FolderSpec) -> tuple[Tally, Counter[tuple[str | None, str, str, bool]]]:
    """Count all images, and which licences they have: licence, how it is known, source, and whether statements disagree."""
    tally = Tally()
    known: Counter[tuple[str | None, str, str, bool]] = Counter()
    for number, image in _listed(spec):
        tally.add([_as_facts(number, image)])
        known[image.license, image.license_confidence, image.origin or FOLDER_SOURCE, image.license_note is not None] += 1
    return tally, known


def _as_facts(number: int, image: Candidate) -> ImageFacts:
    key = hashlib.sha256(image.url.rpartition("/")[2].encode()).hexdigest()  # the place of the folder decides nothing
    return ImageFacts(
        id=number,
        state=ImageState.KEPT,
        reason=None,
        duplicate_of=None,
        measures=None,
        sha256=key,
        url=image.origin_url or image.url,
        label=image.label,
        split=image.split,
        width=image.width,
        height=image.height,
        size_bytes=image.stated_bytes,
    )


def _load(spec: FolderSpec, wanted: set[int]) -> dict[int, Candidate]:
    return {number: image for number, image in _listed(spec) if number in wanted} if wanted else {}


async def _thumbnails(root: str, shown: Mapping[int, Candidate], decoders: DecoderPool) -> dict[str, bytes | None]:
    """Make the thumbnails in the decoder processes: the images may come from anywhere."""
    thumbs: dict[str, bytes | None] = {}
    rules = ValidationRules(level="basic")
    files = TarFiles()

    async def decode(number: int, body: bytes) -> None:
        thumbs[str(number)] = (await decoders.validate(body, rules)).thumbnail

    try:
        outcomes = Reading(root, _MAX_BYTES, files).read([(number, Place.parse(image.url)) for number, image in shown.items()])
        async for group in concurrency.in_batches(outcomes, _DECODED):
            bodies = [(number, found.body) for number, found in group if isinstance(found, LocalBytes)]
            await concurrency.gather_all(decode(number, body) for number, body in bodies)
    finally:
        files.close()
    return {str(number): thumbs.get(str(number)) for number in shown}


def _report(
    manifest: Mapping[str, Any],
    tally: Tally,
    known: Counter[tuple[str | None, str, str, bool]],
    sheets: Sequence[PlannedSheet],
    shown: Mapping[int, Candidate],
) -> Report:
    dataset = manifest.get("dataset")
    stated = dataset if isinstance(dataset, dict) else {}
    counts = [LicenceCount(*facts, is_kept=True, count=number) for facts, number in known.most_common()]
    made = [("dataset", stated.get("id")), ("version", stated.get("version")), ("format", manifest.get("format"))]
    sources: Counter[str] = Counter()
    for (_, _, source, _), number in known.items():
        sources[source] += number
    return Report(
        name=str(stated.get("name") or "dataset"),
        facts=[*head_facts(tally), *((term, str(words)) for term, words in made if words)],
        kept=tally.kept.total(),
        sheets=[Sheet(label, total, _strips(splits, shown)) for label, total, splits in sheets],
        distributions=tally.distributions(),
        labels=tally.label_rows(),
        licences=licences.ledger(counts),
        sources={source: {ImageState.KEPT.value: number} for source, number in sorted(sources.items())},
        source_words=f"Read from the folder alone, which holds {count(tally.kept.total(), 'image')}: what was left out of the dataset, "
        "its hosts and its requests are in the workspace that built it.",
    )


def _strips(splits: Mapping[str | None, tuple[int, Sequence[int]]], shown: Mapping[int, Candidate]) -> list[Strip]:
    return [Strip(split, total, [_picture(number, shown[number]) for number in ids]) for split, (total, ids) in splits.items()]


def _picture(number: int, image: Candidate) -> Picture:
    words = caption_of(image.label, image.caption or image.title, image.width, image.height, image.license)
    return Picture(str(number), words, next((url for url in (image.page_url, image.origin_url) if url and is_web(url)), None))
