"""What every format yields: rows, counted alike, and the ways a list can break.

The rank of a row counts data rows from 0 and is its position for resuming; the line is where a person finds it, from 1.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from app.discovery import text
from app.domain import Candidate, Problem

__all__ = ["SOURCE", "DamagedError", "Row", "Table", "bad_row"]

SOURCE = "list"

Row = tuple[int, int, Any]
"""Rank, line, payload; a payload that is a ``Problem`` is passed on as it is."""


class DamagedError(Exception):
    """The file breaks off: nothing after this point can be read. Never leaves this package's callers."""


@dataclass(frozen=True, slots=True)
class Table:
    """A list opened for reading.

    Attributes:
        rows: every data row, from the first; a format may leave out rows before the one it was asked to start with.
        build: makes a row's payload into what the list yields, given payload, line and rank.
        names: the columns; for JSON, which has no header, the keys of the objects read so far.
    """

    rows: Iterator[Row]
    build: Callable[[Any, int, int], Candidate | Problem]
    names: Sequence[str] = ()


def bad_row(line: int, message: str, raw: str | bytes = "") -> Problem:
    """Return the problem of one row, with the beginning of its text."""
    return Problem(line=line, message=message, text=text.preview(raw))
