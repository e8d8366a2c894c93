"""A text file with one URL a line; ``#`` begins a comment line. Lines that are blank or a comment are no data rows."""

from collections.abc import Iterator

from app.discovery import urls
from app.discovery.lists import rows, streams
from app.domain import Candidate, Problem

__all__ = ["table"]


def table(reader: streams.Reader) -> rows.Table:
    """Return the list's rows."""
    return rows.Table(_rows(reader), build)


def build(raw: bytes, line: int, rank: int) -> Candidate | Problem:
    """Return the candidate of one line, or why there is none."""
    try:
        url = raw.decode()
    except UnicodeDecodeError:
        return rows.bad_row(line, "the line is not UTF-8", raw)
    fault = urls.fault(url)
    return rows.bad_row(line, fault, url) if fault else Candidate(url=url, source=rows.SOURCE, rank=rank, line=line)


def _rows(reader: streams.Reader) -> Iterator[rows.Row]:
    rank = 0
    for line, raw in enumerate(streams.lines(reader, 4 * urls.MAX_URL_CHARS), 1):
        stripped = raw.strip()
        if stripped and not stripped.startswith(b"#"):
            yield rank, line, stripped
            rank += 1
