"""What the values of a list mean: which are missing, which text a label or caption stands for, which form a further column is kept in.

The cells of CSV and TSV have no type: there the words that tools write for a missing value are missing values. JSON and Parquet have
types, with a missing value of their own; of their strings only those that come from printing a missing value are missing.
"""

import ast
import json
import math
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from app.discovery import text

__all__ = ["MAX_SIDE_PX", "identifiers", "is_missing", "keep", "pixels", "plain", "texts"]

PRINTED_MISSING = frozenset({"nan", "NaN", "-nan", "-NaN", "<NA>", "NaT"})
"""How Python, pandas and C print a missing value."""

MISSING = PRINTED_MISSING | {"", "[]", "NAN", "\\N", "None", "null", "Null", "NULL", "N/A", "n/a", "#N/A"}
"""The words of a cell without a type that stand for a missing value. ``NA`` and ``none`` are not among them: a country, and a class."""

MAX_TEXT_CHARS = 5_000
"""Of one value of a further column."""

MAX_PRINTED_CHARS = 100_000
"""Of a list or an object as text."""

MAX_SIDE_PX = 1_000_000
MAX_ITEMS = 1_000
"""Captions or labels that one row may give an image."""

EXACT_FLOAT = 2**53
"""Above it a float no longer stands for one whole number."""

_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]{0,15}))\.0")
"""A whole number as pandas writes it in a column with gaps."""

_CONSTANTS = {"None": None, "null": None, "nan": None, "NaN": None, "True": True, "true": True, "False": False, "false": False}
_TEXT = r"'(?:[^'\\]|\\.)*+'|\"(?:[^\"\\]|\\.)*+\""
_TEXT_OR_NONE = rf"{_TEXT}|None|null|nan|NaN"
_VALUE = rf"{_TEXT}|-?[0-9]++\.?[0-9]*+(?:[eE][+-]?[0-9]++)?|{'|'.join(_CONSTANTS)}"


def _list_of(item: str) -> re.Pattern[str]:
    return re.compile(rf"\[\s*+(?:(?:{item})(?:\s*+,\s*+|\s++|(?=\])))*+\]", re.DOTALL)


_PRINTED_TEXTS = _list_of(_TEXT_OR_NONE)
_PRINTED_LIST = _list_of(_VALUE)
"""A list in a cell of text, as JSON or Python prints it, or numpy, which puts spaces between the items: ``['a' 'b']``."""

_PRINTED_ITEMS = re.compile(_VALUE, re.DOTALL)


def is_missing(value: object, *, typed: bool) -> bool:
    """Whether a value is none; ``typed`` says whether the format of the list has types."""
    if isinstance(value, str):
        words = value.strip()
        return not words or words in (PRINTED_MISSING if typed else MISSING)
    if isinstance(value, float | Decimal):
        return not math.isfinite(value)
    return value is None


def plain(value: object) -> object:
    """Return the text that a number, a time or bytes stand for; lists and objects as they are. A whole float is a whole number."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_FLOAT:
        return str(int(value))
    if isinstance(value, Decimal):
        return str(int(value)) if value == value.to_integral_value() else str(value)
    if isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "ignore")
    return value if value is None or isinstance(value, list | tuple | dict) else str(value)


def texts(value: object, limit: int, *, typed: bool) -> Iterator[str]:
    """Yield the cleaned texts of one cell: those of a list, or its one value. A cell without a type may hold a list as text."""
    for item in _items(value, _PRINTED_TEXTS, typed=typed):
        words = text.clean(plain(item), limit)
        if words:
            yield words


def identifiers(value: object, limit: int, *, typed: bool) -> Iterator[str]:
    """Yield the names that one cell holds, of classes or groups: as :func:`texts`, but the text ``1.0`` is 1."""
    for item in _items(value, _PRINTED_LIST, typed=typed):
        words = text.clean(plain(item), limit)
        if words:
            whole = _WHOLE.fullmatch(words)
            yield str(int(whole[1])) if whole else words


def _items(value: object, printed_list: re.Pattern[str], *, typed: bool) -> Iterator[object]:
    """Yield the values of one cell that are not missing."""
    if isinstance(value, str) and not typed and printed_list.fullmatch(value.strip()):
        value = _parse_list(value.strip())
    for item in value[:MAX_ITEMS] if isinstance(value, list | tuple) else (value,):
        if not is_missing(item, typed=typed):
            yield item


def _parse_list(cell: str) -> object:
    """Return the items of a printed list one by one: Python would join texts that only a space divides."""
    for parse in (json.loads, _read_items) if len(cell) <= MAX_PRINTED_CHARS else ():
        with suppress(ValueError, SyntaxError):
            found: object = parse(cell)
            return found
    return cell


def _read_items(cell: str) -> list[object]:
    printed = _PRINTED_ITEMS.findall(cell)
    return [_CONSTANTS[item] if item in _CONSTANTS else ast.literal_eval(item) for item in printed]


def pixels(value: object) -> int | None:
    """Return a number of pixels, ``None`` if it is none; lists write 640, "640" and 640.0."""
    try:
        side = int(float(value)) if isinstance(value, str | int | float | Decimal) else 0
    except (ValueError, OverflowError):
        return None
    return side if 0 < side <= MAX_SIDE_PX else None


def keep(value: object, *, typed: bool, nested: bool) -> Any:
    """Return the JSON value that a further column keeps, ``None`` for a missing one.

    Text of an untyped cell comes as a list of one: its type is decided over the whole export. Lists and objects are kept, as JSON text,
    only if ``nested``.
    """
    if isinstance(value, str):  # most are
        words = text.clean(value, MAX_TEXT_CHARS)
        if words is None or words in (PRINTED_MISSING if typed else MISSING):
            return None
        return words if typed else [words]
    if is_missing(value, typed=typed):
        return None
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, list | tuple | dict):
        return _json_text(value) if nested else None
    return str(value) if isinstance(value, Decimal) else text.clean(plain(value), MAX_TEXT_CHARS)


def _json_text(value: object) -> str | None:
    """Return JSON, ``None`` where it is too long: a part of it would be no JSON."""
    found = json.dumps(value, ensure_ascii=False, default=lambda item: str(plain(item)))
    return text.clean(found, MAX_PRINTED_CHARS) if len(found) <= MAX_PRINTED_CHARS else None
