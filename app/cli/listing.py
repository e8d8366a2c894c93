"""Lists: one page on a terminal, everything where the output is redirected, written page by page."""

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from app.cli.output import Output, aligned, to_json, widths_of
from app.db.rows import PageOf

__all__ = ["Listing", "Paging", "show_items", "show_list"]

T = TypeVar("T")

_PAGE = 200
"""Rows read at once."""


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """How the items of a list are shown.

    Attributes:
        what: the items, in the plural.
        heads: names of the columns.
        row: the cells of an item.
        document: the item in ``--json``; its ``id`` is what ``--quiet`` prints.
        right: numbers of the columns that are right-aligned.
        line: the only thing to print of an item, instead of a row.
    """

    what: str
    heads: Sequence[str]
    row: Callable[[T], Sequence[object]]
    document: Callable[[T], dict[str, Any]]
    right: Sequence[int] = ()
    line: Callable[[T], str] | None = None


@dataclass(frozen=True, slots=True)
class Paging:
    """What the user asked for.

    Attributes:
        limit: items at most; without one, ``on_terminal`` items on a terminal and all elsewhere.
        cursor: where an earlier page ended.
        on_terminal: items that a terminal gets.
    """

    limit: int | None = None
    cursor: str | None = None
    on_terminal: int = 50

    def most(self) -> int | None:
        """Items to show at most; ``None``: all."""
        return self.on_terminal if self.limit is None and sys.stdout.isatty() else self.limit


async def show_list(
    output: Output, listing: Listing[T], read_page: Callable[[int, str | None], Awaitable[PageOf[T]]], paging: Paging = Paging()
) -> None:
    """Write a list to stdout: a table, a document with the next cursor, ids alone, or lines.

    Args:
        read_page: called with a number of items and a cursor.
    """
    most, cursor, shown = paging.most(), paging.cursor, 0
    writer = _DocumentWriter(listing) if output.as_json else _TextWriter(listing, quiet=output.quiet)
    while True:
        page = await read_page(_PAGE if most is None else min(_PAGE, most - shown), cursor)
        writer.write(page.items)
        cursor, shown = page.next_cursor, shown + len(page.items)
        if cursor is None or (most is not None and shown >= most):
            break
    writer.end(cursor)
    if output.as_json:
        return
    if not shown:
        output.note(f"no {listing.what}")
    if cursor:
        output.note(f"the first {shown} are shown; more: add --limit N or --cursor {cursor}")


async def show_items(output: Output, listing: Listing[T], items: Sequence[T]) -> None:
    """Write a list that is short enough to be read at once."""

    async def read(limit: int, cursor: str | None) -> PageOf[T]:
        return PageOf(list(items), None)

    await show_list(output, listing, read)


class _TextWriter(Generic[T]):
    """Writes a table, whose first page sets the widths of all; or one line for each item."""

    def __init__(self, listing: Listing[T], *, quiet: bool) -> None:
        self._listing = listing
        self._line = listing.line or ((lambda item: str(listing.document(item)["id"])) if quiet else None)
        self._widths: Sequence[int] | None = None

    def write(self, items: Sequence[T]) -> None:
        """Write a page."""
        if not items:
            return
        lines = [self._line(item) for item in items] if self._line else self._rows(items)
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()

    def _rows(self, items: Sequence[T]) -> list[str]:
        rows: list[Sequence[object]] = [self._listing.row(item) for item in items]
        if self._widths is None:
            rows = [self._listing.heads, *rows]
            self._widths = widths_of(rows)
        return aligned(rows, self._widths, self._listing.right)

    def end(self, cursor: str | None) -> None:
        """Nothing follows a table."""


class _DocumentWriter(Generic[T]):
    """Writes one JSON document, item by item."""

    def __init__(self, listing: Listing[T]) -> None:
        self._listing = listing
        self._separator = '{"items": ['

    def write(self, items: Sequence[T]) -> None:
        """Write a page."""
        for item in items:
            sys.stdout.write(self._separator + to_json(self._listing.document(item)))
            self._separator = ", "

    def end(self, cursor: str | None) -> None:
        """Write the end of the document."""
        opening = "" if self._separator == ", " else self._separator
        sys.stdout.write(f'{opening}], "next_cursor": {json.dumps(cursor)}}}\n')
        sys.stdout.flush()
