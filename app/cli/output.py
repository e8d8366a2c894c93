"""The two ways out of a command: one result on stdout, everything else on stderr. A full or closed stderr loses text, never work."""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.formatting import clipped
from logging_setup.sinks import sink_for

__all__ = ["MAX_WIDTH", "Output", "show_page", "table", "width", "write_stderr"]

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
        sys.stdout.write(json.dumps(document, ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Write a remark to stderr; ``--quiet`` hides it."""
        if not self.quiet:
            write_stderr(text.rstrip("\n") + "\n")

    def warn(self, text: str, hint: str = "") -> None:
        """Write a warning to stderr; nothing hides it."""
        write_stderr(f"warning: {text}\n" + (f"  hint: {hint}\n" if hint else ""))


def width() -> int:
    """Columns to write in."""
    return min(MAX_WIDTH, shutil.get_terminal_size((80, 24)).columns)


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = ()) -> str:
    """Columns two spaces apart. The last one is not padded; the columns numbered in ``right`` are right-aligned."""
    cells = [[clipped(str(cell), 500) for cell in row] for row in [list(heads), *rows]]
    widths = [max(len(row[at]) for row in cells) for at in range(len(heads))]

    def line(row: Sequence[str]) -> str:
        shown = [cell.rjust(widths[at]) if at in right else cell.ljust(widths[at]) for at, cell in enumerate(row)]
        return "  ".join(shown).rstrip()

    return "\n".join(line(row) for row in cells)


def show_page(output: Output, items: Sequence[Any], text: str, *, documents: list[dict[str, Any]], cursor: str | None, what: str) -> None:
    """Write one page of a list: a table, a document with the next cursor, or ids alone."""
    brief = "\n".join(str(document["id"]) for document in documents)
    output.result(text if items else "", {"items": documents, "next_cursor": cursor}, brief=brief)
    if output.as_json:
        return
    if not items:
        output.note(f"no {what}")
    if cursor:
        output.note(f"more: add --cursor {cursor}")
