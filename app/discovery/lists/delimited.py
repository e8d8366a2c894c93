"""CSV and TSV with a header line, quoted as RFC 4180 says. A broken record is reported, the rows after it are read."""

import csv
import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

import errors
from app.discovery import urls
from app.discovery.lists import columns, streams
from app.discovery.lists.header import Header
from app.domain import Candidate, ListProblem
from app.spec import ListSpec

__all__ = ["plain_table", "table"]

MAX_LINE_BYTES = 1_000_000
MAX_RECORD_LINES = 100
"""A quoted field may hold line breaks; one that never ends is taken for a stray quote after so many."""

_DELIMITERS = (",", ";", "\t", "|")

_NAMED_DELIMITER = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""A line before the header that tells spreadsheets the delimiter."""

_ESCAPED = re.compile(r'\\(["\\])')


class _BrokenRecordError(Exception):
    """The current record cannot be read."""


class _LineFeed:
    """Feeds lines to ``csv.reader`` and keeps those of the current record, so that all but its first can be read again."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = enumerate(lines, 1)
        self._again: deque[tuple[int, bytes]] = deque()
        self.taken: list[tuple[int, bytes]] = []

    def __iter__(self) -> "_LineFeed":
        return self

    def __next__(self) -> str:
        if len(self.taken) >= MAX_RECORD_LINES:
            raise _BrokenRecordError("a quote is opened and not closed")
        item = self._again.popleft() if self._again else next(self._lines, None)
        if item is None:
            if self.taken:
                raise _BrokenRecordError("a quote is opened and not closed")
            raise StopIteration
        self.taken.append(item)
        return _decode(item[1])

    def check(self, delimiter: str) -> None:
        """Refuse a record of several lines that is not strictly quoted: it may come from two stray quotes."""
        if len(self.taken) > 1:
            try:
                next(csv.reader([_decode(raw) for _, raw in self.taken], delimiter=delimiter, strict=True))
            except csv.Error as exc:
                raise _BrokenRecordError("a quote is opened and not closed") from exc

    def give_back(self) -> None:
        """Push the lines after the record's first back, to be read again."""
        self._again.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def _decode(raw: bytes) -> str:
    if len(raw) > MAX_LINE_BYTES:
        raise _BrokenRecordError(f"the line is longer than {MAX_LINE_BYTES} bytes")
    try:
        return raw.decode() + "\n"
    except UnicodeDecodeError as exc:
        raise _BrokenRecordError("the line is not UTF-8") from exc


def table(reader: streams.Reader, spec: ListSpec, where: str, *, tabs: bool) -> streams.Table:
    """Return the rows under the header.

    Raises:
        errors.ConfigurationError: there is no header that can be read, or none with a column of URLs.
    """
    feed = _LineFeed(streams.lines(reader, MAX_LINE_BYTES))
    header, delimiter = _header(feed, spec, where, ("\t",) if tabs else _DELIMITERS)
    if not header:
        return streams.Table(iter(()), columns.Columns(url=0).candidate)
    found = columns.pick(header, spec, where, typed=False)
    return streams.Table(_rows(feed, delimiter, len(header)), found.candidate, tuple(header), found.left_out)


def _header(feed: _LineFeed, spec: ListSpec, where: str, delimiters: tuple[str, ...]) -> tuple[list[str], str]:
    """Return the first record that is not blank and the delimiter that makes a URL column of it; no fields if there is no record."""
    try:
        line = _first_line(feed)
        if named := _NAMED_DELIMITER.fullmatch(line):
            line, delimiters = _first_line(feed), (named[1],)
    except _BrokenRecordError as exc:
        raise errors.ConfigurationError(f"the header of {where} cannot be read: {exc}") from exc
    if not line:
        return [], delimiters[0]
    try:
        headers = {delimiter: next(csv.reader([line], delimiter=delimiter), []) for delimiter in delimiters}
    except csv.Error as exc:
        raise errors.ConfigurationError(f"the header of {where} cannot be read: {exc}") from exc
    chosen = next((delimiter for delimiter, names in headers.items() if "url" in columns.find(Header.of(names), spec)), delimiters[0])
    return headers[chosen], chosen


def _first_line(feed: _LineFeed) -> str:
    """Return the first line that is not blank, empty if there is none."""
    for line in feed:
        feed.taken.clear()
        if line.strip():
            return line
    return ""


def _rows(feed: _LineFeed, delimiter: str, width: int) -> Iterator[streams.Row]:
    reader = csv.reader(feed, delimiter=delimiter)
    rank = 0
    while True:
        feed.taken.clear()
        try:
            record = next(reader)
            if not record:
                continue
            feed.check(delimiter)
            if len(record) < width or any(record[width:]):  # spreadsheets write delimiters behind the last column
                raise _BrokenRecordError(f"the row has {len(record)} columns, the header {width}")
            line, raw = feed.taken[0]
            reread = _reread(raw, delimiter, width) if len(feed.taken) == 1 and b'"' in raw else None
            yield rank, line, reread or record
        except StopIteration:
            return
        except (_BrokenRecordError, csv.Error) as exc:
            line, raw = feed.taken[0]
            feed.give_back()
            yield rank, line, _unescaped(raw, delimiter, width) or streams.bad_row(line, str(exc), raw)
        rank += 1


def _reread(raw: bytes, delimiter: str, width: int) -> list[str] | None:
    """Return the record of a line whose quotes RFC 4180 does not allow, None if they are usual ones or nothing better is known.

    A list with tabs is often written without quoting: there they are part of the text.
    """
    found = _unescaped(raw, delimiter, width)
    if found or delimiter != "\t" or _is_record(_decode(raw), delimiter, width):
        return found
    cells = _decode(raw).rstrip("\n").split(delimiter)
    return cells if len(cells) == width else None


def _unescaped(raw: bytes, delimiter: str, width: int) -> list[str] | None:
    """Return the record of a line that can only be read with a backslash before each quote, as Spark and MySQL write; else None."""
    if b'\\"' not in raw:
        return None
    with suppress(csv.Error, _BrokenRecordError):
        line = _decode(raw)
        if not _is_record(line, delimiter, width):
            line = _ESCAPED.sub(lambda found: '""' if found[1] == '"' else "\\", line)
            return next(csv.reader([line], delimiter=delimiter)) if _is_record(line, delimiter, width) else None
    return None


def _is_record(line: str, delimiter: str, width: int) -> bool:
    """Whether a line is a whole record, strictly quoted as RFC 4180 says."""
    try:
        return len(next(csv.reader([line], delimiter=delimiter, strict=True))) == width
    except csv.Error:
        return False


def plain_table(reader: streams.Reader) -> streams.Table:
    """Return the list's rows."""
    return streams.Table(_plain_rows(reader), build_from_line)


def build_from_line(raw: bytes, line: int, rank: int) -> Candidate | ListProblem:
    """Return the candidate of one line, or why there is none. What stands behind a tab is a column, not a part of the URL."""
    if b"\t" in raw:
        return streams.bad_row(line, "the line has a tab; read a list with columns by the name .tsv, or with --list-format tsv", raw)
    try:
        return columns.candidate_of(raw.decode(), line, rank)
    except UnicodeDecodeError:
        return streams.bad_row(line, "the line is not UTF-8", raw)


def _plain_rows(reader: streams.Reader) -> Iterator[streams.Row]:
    rank = 0
    for line, raw in enumerate(streams.lines(reader, 4 * urls.MAX_URL_CHARS), 1):
        stripped = raw.strip()
        if stripped and not stripped.startswith(b"#"):
            yield rank, line, stripped
            rank += 1
