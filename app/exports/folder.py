"""A folder that holds a dataset of ours: its manifest, the files that belong to it, and those that do not."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from app.exports.exporter import ExportReport
from app.exports.sidecars import REPORT, REPORT_MARK, SUMS, parse_sum
from app.exports.verify import Manifest
from app.storage import MANIFEST

__all__ = ["digests_of", "foreign_files", "is_report", "parse_digests", "parse_manifest", "read_manifest", "stated_report"]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the dataset in a folder; empty where the folder holds none that pictrawl wrote."""
    try:
        return parse_manifest((folder / MANIFEST).read_bytes())
    except OSError:
        return {}


def parse_manifest(body: bytes) -> dict[str, Any]:
    """The manifest in some bytes; empty where they are none that pictrawl wrote."""
    try:
        manifest = json.loads(body)
    except ValueError:
        return {}
    return manifest if isinstance(manifest, dict) and manifest.get("generator") == "pictrawl" else {}


def stated_report(folder: Path) -> ExportReport:
    """What the manifest of a folder states of its dataset, as its format's verification takes it; any part may be missing or wrong."""
    manifest = Manifest(read_manifest(folder))
    samples = manifest.get("samples")
    return ExportReport(
        format=str(manifest.get("format")),
        samples=samples if isinstance(samples, int) else 0,
        size_bytes=0,
        splits=manifest.mapping("splits"),
        labels=manifest.mapping("labels"),
        files={path: facts.get("size_bytes", 0) for path, facts in manifest.mapping("files").items() if isinstance(facts, dict)},
    )


def digests_of(folder: Path) -> dict[str, str]:
    """As `parse_digests`, of the dataset in a folder."""
    sums = folder / SUMS
    if not sums.is_file():
        return parse_digests(read_manifest(folder), ())
    with sums.open("rb") as file:
        return parse_digests(read_manifest(folder), file)


def parse_digests(manifest: Mapping[str, Any], sums: Iterable[bytes]) -> dict[str, str]:
    """Relative path -> SHA-256 of every file of the dataset but the manifest, as that and the lines of ``SHA256SUMS`` state them."""
    files = manifest.get("files")
    digests = {path: str(facts.get("sha256", "")) for path, facts in (files if isinstance(files, dict) else {}).items()}
    for digest, path in map(parse_sum, sums):
        digests.setdefault(path, digest)
    return digests


def is_report(path: Path) -> bool:
    """Whether a file is a report of ours, and not somebody's own file of that name."""
    try:
        with path.open("rb") as file:
            return file.read(len(REPORT_MARK)) == REPORT_MARK
    except OSError:
        return False


def foreign_files(folder: Path) -> list[Path]:
    """Files and links below a folder that are not of its dataset, sorted; all of them where it holds no dataset of ours."""
    ours = {folder / path for path in digests_of(folder)} | {folder / MANIFEST} if read_manifest(folder) else set()
    if ours and is_report(folder / REPORT):
        ours.add(folder / REPORT)
    return sorted(path for path in folder.rglob("*") if path not in ours and (path.is_symlink() or not path.is_dir()))
