"""What is said in a terminal, in at most its width: tables, and the words of :mod:`app.formatting`. Pure."""

import shutil
from collections.abc import Sequence

from app.formatting import ago, clipped, clock, count, duration, listing, number, size, when

__all__ = ["ago", "clipped", "clock", "count", "duration", "listing", "number", "size", "table", "when", "width"]

MAX_WIDTH = 100
"""Columns used at most: longer lines are hard to read."""


def width() -> int:
    """Columns to write in."""
    return min(MAX_WIDTH, shutil.get_terminal_size((80, 24)).columns)


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = ()) -> str:
    """Columns two spaces apart, the last as long as it is; those in ``right`` are flush right."""
    cells = [[clipped(str(cell), 500) for cell in row] for row in [list(heads), *rows]]
    widths = [max(len(row[at]) for row in cells) for at in range(len(heads))]

    def line(row: Sequence[str]) -> str:
        shown = [cell.rjust(widths[at]) if at in right else cell.ljust(widths[at]) for at, cell in enumerate(row)]
        return "  ".join(shown).rstrip()

    return "\n".join(line(row) for row in cells)
