"""The two ways out of a command: one result on stdout, everything else on stderr. A full or closed stderr loses text, never work."""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.formatting import clipped
from logging_setup.sinks import sink_for

__all__ = ["MAX_WIDTH", "Output", "aligned", "table", "to_json", "width", "widths_of", "write_stderr"]

MAX_WIDTH = 100
"""Columns used at most: longer lines are hard to read."""


def write_stderr(text: str) -> None:
    """Write lines to stderr."""
    with contextlib.suppress(OSError):
        sink_for(sys.stderr).write(text)


@dataclass(slots=True)
class Output:
    """Where a command writes, and in which form."""

    as_json: bool = False
    quiet: bool = False
    no_color: bool = False
    progress: str = "auto"

    @property
    def is_terminal(self) -> bool:
        """Whether stderr is a terminal that can move its cursor."""
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    @property
    def has_color(self) -> bool:
        """Whether stderr may be coloured."""
        return self.is_terminal and not self.no_color and not os.environ.get("NO_COLOR")

    def result(self, text: str, document: Any, *, brief: str | None = None) -> None:
        """Write the command's result to stdout: ``document`` for ``--json``, ``brief`` for ``--quiet``, else ``text``."""
        if self.as_json:
            self.document(document)
            return
        shown = brief if self.quiet and brief is not None else text
        if shown:
            sys.stdout.write(shown.rstrip("\n") + "\n")
            sys.stdout.flush()

    def document(self, document: Any) -> None:
        """Write one JSON document to stdout."""
        sys.stdout.write(to_json(document) + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Write a remark to stderr; ``--quiet`` hides it."""
        if not self.quiet:
            write_stderr(text.rstrip("\n") + "\n")

    def warn(self, text: str, hint: str = "") -> None:
        """Write a warning to stderr; nothing hides it."""
        write_stderr(f"warning: {text}\n" + (f"  hint: {hint}\n" if hint else ""))


def to_json(document: Any) -> str:
    """The text of a document. Times, which are Unix seconds under ``at``, ``..._at`` and ``not_before``, become RFC 3339 in UTC."""
    return json.dumps(_with_times(document), ensure_ascii=False, default=str)


def _with_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _time(item) if _is_time(name, item) else _with_times(item) for name, item in value.items()}
    return [_with_times(item) for item in value] if isinstance(value, list | tuple) else value


def _is_time(name: Any, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and (name in ("at", "not_before") or str(name).endswith("_at"))


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def width() -> int:
    """Columns to write in."""
    return min(MAX_WIDTH, shutil.get_terminal_size((80, 24)).columns)


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = ()) -> str:
    """Columns two spaces apart. The last one is not padded; the columns numbered in ``right`` are right-aligned."""
    return "\n".join(aligned([heads, *rows], widths_of([heads, *rows]), right))


def widths_of(rows: Sequence[Sequence[object]]) -> list[int]:
    """The width of each column, in characters."""
    return [max(map(len, column)) for column in zip(*map(_cells, rows), strict=True)]


def aligned(rows: Sequence[Sequence[object]], widths: Sequence[int], right: Sequence[int] = ()) -> list[str]:
    """One line for each row. A cell that is wider than its column moves the rest of its line."""
    return ["  ".join(_padded(cell, widths[at], at in right) for at, cell in enumerate(_cells(row))).rstrip() for row in rows]


def _cells(row: Sequence[object]) -> list[str]:
    return [clipped(str(cell), 500) for cell in row]


def _padded(cell: str, width: int, is_right: bool) -> str:
    return cell.rjust(width) if is_right else cell.ljust(width)
