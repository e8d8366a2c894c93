"""The files beside the images in every format: ``ATTRIBUTION.md``, the papers, ``SHA256SUMS`` and ``manifest.json``."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from app.discovery.licences import stated_terms
from app.domain import Sample
from app.exports import cards
from app.exports.exporter import ExportOptions
from app.exports.hashed_file import FileFacts, HashedFile
from app.exports.papers import croissant, datasheet, origins
from app.exports.papers.croissant import CROISSANT
from app.exports.papers.datasheet import DATASHEET
from app.exports.papers.origins import ORIGINS, ORIGINS_JSON
from app.exports.papers.records import Records
from app.exports.spool import DatasetFacts
from app.images.split_groups import LeakReport
from app.storage import MANIFEST

__all__ = [
    "ATTRIBUTION",
    "CARD",
    "MANIFEST",
    "REPORT",
    "REPORT_MARK",
    "SCHEMA_VERSION",
    "SPLIT_REPORT",
    "SUMS",
    "SidecarWriter",
    "needs_attribution",
    "parse_sum",
    "valid_unicode",
    "write_sidecars",
]

SCHEMA_VERSION = 1
"""Of ``manifest.json``; increased when readers of the old version would misread the new one."""

SPLIT_REPORT = "split_report"
"""Key of the manifest: how many pairs of images share something across splits; :class:`app.images.split_groups.LeakReport`."""

ATTRIBUTION = "ATTRIBUTION.md"
CARD = "README.md"
SUMS = "SHA256SUMS"

REPORT, REPORT_MARK = "report.html", b"<!doctype html>\n<!-- pictrawl report -->\n"
"""The file beside a delivered dataset that is no part of it, and how it begins (ADR 0036)."""


class SidecarWriter:
    """Writes for every image a line of ``SHA256SUMS`` if it is a separate file, and a row of ``ATTRIBUTION.md`` if it needs one."""

    def __init__(self, folder: Path, *, has_image_files: bool) -> None:
        self._has_image_files = has_image_files
        self._credited = self._unknown = 0
        self.beside_bytes = 0
        self._sums = HashedFile(folder / SUMS)
        self._attribution = HashedFile(folder / ATTRIBUTION)
        self._attribution.write(b"# Attribution\n\n")

    def add(self, sample: Sample, path: str) -> None:
        """Add one image that was written to ``path``."""
        if self._has_image_files:
            self._sums.write(_sum_line(sample.sha256, path))
        if needs_attribution(sample):
            self._attribution.write((b"" if self._credited else _ATTRIBUTION_HEAD) + _attribution_row(sample, path))
            self._credited += 1
        elif not sample.license:
            self._unknown += 1

    def add_beside(self, path: str, facts: FileFacts) -> None:
        """Add the file of its own that an image has beside it."""
        self._sums.write(_sum_line(facts.sha256, path))
        self.beside_bytes += facts.size_bytes

    def finish_attribution(self) -> FileFacts:
        """Close ``ATTRIBUTION.md``. Where nothing is known of an image's licence, it does not say that nothing is owed."""
        if self._unknown:
            images = "images" if self._credited else "images of this dataset"
            text = f"No licence or creator is known for {self._unknown:,} {images}; that does not mean that none is owed.\n"
            self._attribution.write((("\n" if self._credited else "") + text).encode())
        elif not self._credited:
            self._attribution.write(b"No image of this dataset requires attribution.\n")
        return self._attribution.finish()

    def finish_sums(self, files: Mapping[str, FileFacts]) -> FileFacts:
        """Add the other files and close ``SHA256SUMS``."""
        for path in sorted(files):
            self._sums.write(_sum_line(files[path].sha256, path))
        return self._sums.finish()

    def close(self) -> None:
        """Close the files that are still open."""
        self._sums.abandon()
        self._attribution.abandon()


def needs_attribution(sample: Sample) -> bool:
    """Whether an image's licence requires attribution, or its creator is known; a licence that is not understood may require it."""
    if sample.creator or sample.attribution:
        return True
    terms = stated_terms(sample.license)
    return bool(sample.license) if terms is None else terms.attribution


def write_sidecars(
    folder: Path,
    format_name: str,
    facts: DatasetFacts,
    options: ExportOptions,
    parts: cards.CardParts,
    files: Mapping[str, FileFacts],
    split_report: LeakReport,
    sidecar_writer: SidecarWriter,
) -> dict[str, FileFacts]:
    """Write all sidecar files, ``manifest.json`` last. Returns every file that is no image, by path."""
    known = dict(files)
    known[ATTRIBUTION] = sidecar_writer.finish_attribution()
    known[CARD] = _write(folder / CARD, valid_unicode(cards.render(facts, options, parts)).encode())
    known[DATASHEET] = _write(folder / DATASHEET, valid_unicode(datasheet.render(facts, options, split_report)).encode())
    known[ORIGINS] = _write(folder / ORIGINS, valid_unicode(origins.render(facts, options)).encode())
    known[ORIGINS_JSON] = _write(folder / ORIGINS_JSON, origins.render_json(facts, options))
    records = parts.records or Records(image_folders=("",) if parts.has_image_files else ())
    known[CROISSANT] = _write(folder / CROISSANT, croissant.render(facts, options, records, known, split_report))
    known[SUMS] = sidecar_writer.finish_sums(known)
    manifest = _manifest(format_name, facts, options, parts, known) | {SPLIT_REPORT: split_report.to_json()}
    known[MANIFEST] = _write(folder / MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")
    return known


def _manifest(
    format_name: str, facts: DatasetFacts, options: ExportOptions, parts: cards.CardParts, files: Mapping[str, FileFacts]
) -> dict[str, Any]:
    created = datetime.fromtimestamp(options.created_at, UTC).isoformat(timespec="seconds")
    return {
        "schema_version": SCHEMA_VERSION,
        "generator": "pictrawl",
        "format": format_name,
        "dataset": {
            "id": options.dataset_id,
            "name": valid_unicode(options.dataset_name),
            "version": options.version,
            "created_at": created,
        },
        "options": options.asked,
        "samples": facts.samples,
        "image_bytes": facts.image_bytes,
        "splits": facts.splits,
        "labels": facts.labels,
        "split_labels": facts.split_labels,
        "absent_labels": facts.absent_labels,
        "unlabelled": facts.unlabelled,
        "boxes": facts.boxes,
        "label_names": facts.label_names,
        "list_columns": {column.name: {"type": column.dtype, "name": column.source} for column in facts.extra},
        "class_folders": parts.folders,
        "licenses": facts.licenses,
        "sources": facts.sources,
        "extensions": facts.extensions,
        "files": {path: {"size_bytes": found.size_bytes, "sha256": found.sha256} for path, found in files.items()},
    }


def valid_unicode(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _write(path: Path, body: bytes) -> FileFacts:
    file = HashedFile(path)
    try:
        file.write(body)
        return file.finish()
    finally:
        file.abandon()


def parse_sum(line: bytes) -> tuple[str, str]:
    """Return the digest and the path of a line of ``SHA256SUMS``, with or without its line feed."""
    sha256, _, path = line.decode("utf-8", "replace").rstrip("\n").partition("  ")
    return sha256, path


def _sum_line(sha256: str, path: str) -> bytes:
    return f"{sha256}  {path}\n".encode()


_ATTRIBUTION_HEAD = b"| File | Title | Creator | Licence | Page | Credit line |\n| --- | --- | --- | --- | --- | --- |\n"


def _attribution_row(sample: Sample, path: str) -> bytes:
    license_text = " ".join(part for part in (cards.escape_cell(sample.license), cards.autolink(sample.license_url)) if part)
    cells = (
        f"`{path}`",
        cards.escape_cell(sample.title),
        " ".join(part for part in (cards.escape_cell(sample.creator), cards.autolink(sample.creator_url)) if part),
        license_text,
        cards.autolink(sample.page_url or sample.url),
        cards.escape_cell(sample.attribution),
    )
    return f"| {' | '.join(cells)} |\n".encode()
