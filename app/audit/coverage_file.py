"""How much of the five packages the tests run, read from what coverage left. Where nothing is left, it says so and how to measure it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import errors
from app.audit.sources import PACKAGES

__all__ = ["NAMES", "Covered", "find", "read"]

NAMES: Final = ("coverage.json", ".coverage")
"""What coverage calls its files, looked for in the current folder."""

HOW: Final = "`make test` leaves .coverage, `coverage json` a coverage.json"


@dataclass(frozen=True, slots=True)
class Covered:
    """Lines and branches that ran, in percent: of all packages, and of each.

    Attributes:
        at: when it was written, RFC 3339; sources may be newer.
        files: how many of the packages' files it knows.
    """

    percent: float
    by_package: Mapping[str, float]
    files: int
    at: str
    path: str


def find(folder: Path) -> Path | None:
    """The file that coverage left in a folder."""
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def read(path: Path, known: Iterable[str]) -> Covered:
    """Read a report in JSON, or a data file where coverage is installed.

    Args:
        known: paths of the packages' files, as in ``app/queue.py``; other files are left out.

    Raises:
        errors.ConfigurationError: the file is none of the two, or knows none of the files.
    """
    report = _report(path)
    files = {ours: summary for ours in known if (summary := _summary(report, ours)) is not None}
    if not files:
        raise errors.ConfigurationError(f"{path} knows no file of {', '.join(PACKAGES)}; {HOW}")
    packages = {package: _percent(s for name, s in files.items() if name.split("/")[0] == package) for package in PACKAGES}
    return Covered(_percent(files.values()), packages, len(files), _written_at(path), str(path))


def _report(path: Path) -> Mapping[str, Mapping[str, Any]]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise errors.ConfigurationError(f"--coverage {path} cannot be read: {error.strerror}; {HOW}") from error
    try:
        document = json.loads(text if text[:1] == b"{" else _from_data(path))
        return {Path(name).as_posix(): entry["summary"] for name, entry in document["files"].items()}
    except (ValueError, KeyError, TypeError) as error:
        raise errors.ConfigurationError(f"{path} is no report of coverage; {HOW}") from error


def _from_data(path: Path) -> bytes:
    """Have coverage turn its data into a report, under the settings beside it. In a process of its own: it may be measuring this one."""
    if find_spec("coverage") is None:
        raise errors.ConfigurationError(f"{path} needs coverage to be read, which is not installed here: pass `coverage json`'s file")
    settings = path.parent / "pyproject.toml"
    options = ["--ignore-errors", "--fail-under=0", f"--data-file={path}", f"--rcfile={settings if settings.is_file() else os.devnull}"]
    with tempfile.TemporaryDirectory(prefix="pictrawl-audit-") as folder:
        out = Path(folder) / "report.json"
        command = [sys.executable, "-m", "coverage", "json", *options, "-o", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own Python, and paths
        if done.returncode:
            raise errors.ConfigurationError(f"coverage cannot read {path}: {done.stdout.strip() or done.stderr.strip()}")
        return out.read_bytes()


def _summary(report: Mapping[str, Mapping[str, Any]], ours: str) -> Mapping[str, Any] | None:
    return report.get(ours) or next((summary for name, summary in report.items() if name.endswith(f"/{ours}")), None)


def _percent(summaries: Iterable[Mapping[str, Any]]) -> float:
    ran = there = 0
    for summary in summaries:
        ran += summary["covered_lines"] + summary.get("covered_branches", 0)
        there += summary["num_statements"] + summary.get("num_branches", 0)
    return 100.0 * ran / there if there else 100.0


def _written_at(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
