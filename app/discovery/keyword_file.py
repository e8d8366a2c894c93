"""A file of keywords: one a line, or a table (CSV, TSV) or JSON lines with the columns ``keyword``, ``label`` and ``number``.

Every fault names its line; nothing is passed over in silence, since a misspelled column would become a dataset without its labels.
"""

import codecs
import csv
import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

import errors
from app.discovery import keywords
from app.discovery.lists.header import fold
from app.formatting import clipped
from app.spec import MAX_KEYWORDS, Keyword
from app.validation_errors import requirement

__all__ = ["MAX_BYTES", "parse"]

MAX_BYTES = 4_000_000
"""Of a file; a thousand keywords with labels take less than a tenth of it."""

COLUMNS: Final = ("keyword", "label", "number")
_FIELDS: Final = {"keyword": "keyword", "label": "label", "number": "max_images", "max_images": "max_images"}
_DELIMITERS: Final = {".csv": ",;", ".tsv": "\t"}

_Row = tuple[int, Mapping[str, Any]]
"""Line, values by field."""


def parse(body: bytes, name: str) -> tuple[Keyword, ...]:
    """Return the keywords of a file, each once.

    Args:
        name: its suffix tells the format; without one of those its first line does.

    Raises:
        errors.ValidationError: with the file and the line.
    """
    try:
        rows = list(_rows(_decode(body), name))
        if not rows:
            raise errors.ValidationError("there is no keyword in it; write one a line")
        if len(rows) > MAX_KEYWORDS:
            raise errors.ValidationError(f"line {rows[MAX_KEYWORDS][0]} is keyword {MAX_KEYWORDS + 1}; a build takes {MAX_KEYWORDS}")
        return keywords.settle([_keyword(*row) for row in rows], [f"line {line}" for line, _ in rows])
    except errors.ValidationError as exc:
        raise errors.ValidationError(f"{name}: {exc}") from exc


def _decode(body: bytes) -> str:
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return body.decode("utf-16", "replace")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = body.count(b"\n", 0, exc.start) + 1
        raise errors.ValidationError(f"line {line} is not UTF-8; save the file as UTF-8") from exc


def _rows(text: str, name: str) -> Iterator[_Row]:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        return iter(())
    kind = _kind(name, lines[0][1])
    if kind == ".jsonl":
        return (_object(number, line) for number, line in lines)
    if kind == ".txt":
        return ((number, {"keyword": line}) for number, line in lines)
    return _table(lines, _DELIMITERS[kind])


def _kind(name: str, first: str) -> str:
    """The format of a file by its name, else by its first line: an object, or a header."""
    suffix = next((suffix for suffix in (".txt", ".csv", ".tsv", ".jsonl") if name.lower().endswith(suffix)), None)
    if suffix:
        return suffix
    if first.lstrip().startswith("{"):
        return ".jsonl"
    cells = {kind: next(csv.reader([first], delimiter=marks[0]), []) for kind, marks in _DELIMITERS.items()}
    return next((kind for kind, names in cells.items() if len(names) > 1 and "keyword" in map(fold, names)), ".txt")


def _table(lines: list[tuple[int, str]], delimiters: str) -> Iterator[_Row]:
    (head_line, head), *rest = lines
    delimiter = next((mark for mark in delimiters if mark in head), delimiters[0])
    names = [_field(name, head_line) for name in next(csv.reader([head], delimiter=delimiter))]
    if "keyword" not in names:
        raise errors.ValidationError(f"line {head_line} is no header with a column keyword; write {', '.join(COLUMNS)}")
    for number, line in rest:
        cells = _cells(number, line, delimiter)
        if len(cells) < len(names) or any(cell.strip() for cell in cells[len(names) :]):
            raise errors.ValidationError(f"line {number} has {len(cells)} columns, the header {len(names)}; quote what holds a delimiter")
        yield number, {name: cell for name, cell in zip(names, cells, strict=False) if cell.strip()}


def _cells(number: int, line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as exc:
        raise errors.ValidationError(f"line {number} cannot be read: {exc}") from exc


def _object(number: int, line: str) -> _Row:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise errors.ValidationError(f'line {number} is no JSON; write an object, as in {{"keyword": "cat"}}') from exc
    if isinstance(found, str):
        return number, {"keyword": found}
    if not isinstance(found, dict):
        raise errors.ValidationError(f"line {number} is neither a word nor an object with a keyword")
    return number, {_field(name, number): value for name, value in found.items()}


def _field(name: str, line: int) -> str:
    field = _FIELDS.get(fold(name))
    if field is None:
        near = difflib.get_close_matches(fold(name), COLUMNS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(COLUMNS)}"
        raise errors.ValidationError(f"line {line}: {name.strip()[:40]!r} is no column; {hint}")
    return field


def _keyword(line: int, values: Mapping[str, Any]) -> Keyword:
    try:
        return Keyword(**values)
    except ValidationError as exc:
        raise errors.ValidationError(f"line {line}: {_problem(exc.errors()[0])}") from exc


def _problem(error: Any) -> str:
    """``number 'many' must be a whole number``."""
    if error["type"] == "value_error":
        return requirement(error)
    name = "number" if error["loc"] == ("max_images",) else str(error["loc"][0])
    value = "" if error["type"] == "missing" else f" {clipped(str(error['input']), 40)!r}"
    return f"{name}{value} {requirement(error)}"
