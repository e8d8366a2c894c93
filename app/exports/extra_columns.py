"""The further columns of lists in an export: each has one name and one type over the whole export. Knows no file format."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

__all__ = ["MAX_COLUMNS", "ColumnCounter", "ExtraColumn"]

MAX_COLUMNS = 200
"""Columns of one export; objects of JSON may each have other keys."""

MAX_TRACKED = 10_000

EXACT_INTEGER = 2**53
"""Above it a float no longer stands for one whole number, so such a column of mixed numbers is text."""

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(r"-?(?:[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-][0-9]+)")
"""Not ``12e7``, which may be part of a digest, nor ``007``."""

_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_GAPS = frozenset({"NA", "inf", "-inf", "Inf", "-Inf", "Infinity", "-Infinity"})
"""Words that are no value in a column of numbers, and words in a column of text."""


@dataclass(frozen=True, slots=True)
class ExtraColumn:
    """One column.

    Attributes:
        source: its name in the list.
        name: its name in the export, which differs where the export has a column of that name.
        dtype: ``int64``, ``float64``, ``bool`` or ``string``; a column of mixed types is ``string``.
    """

    source: str
    name: str
    dtype: str

    def value(self, extra: Mapping[str, Any]) -> Any:
        """Return a sample's value in the type of the column. A missing one is ``""`` in a column of text, as everywhere, else ``None``."""
        found = extra.get(self.source)
        text = found[0] if isinstance(found, list) else found
        if self.dtype == "string":
            return "" if text is None else _as_text(text)
        if text is None or text in _GAPS:
            return None
        if self.dtype == "bool":
            return _BOOLEANS[text] if isinstance(text, str) else text
        if self.dtype == "int64":
            return int(text)
        number = float(text)
        return number if math.isfinite(number) else None


class ColumnCounter:
    """Collects the kinds of the values of every column. ``left_out`` counts the columns beyond the first 200, as far as it can."""

    def __init__(self) -> None:
        self._kinds: dict[str, set[str]] = {}
        self._others: set[str] = set()

    @property
    def left_out(self) -> int:
        """How many columns are not in the export."""
        return len(self._others)

    def add(self, extra: Mapping[str, Any]) -> None:
        """Add the columns of one sample."""
        for name, value in extra.items():
            if name in self._kinds or len(self._kinds) < MAX_COLUMNS:
                self._kinds.setdefault(name, set()).add(_kind(value))
            elif len(self._others) < MAX_TRACKED:
                self._others.add(name)

    def columns(self, reserved: Collection[str]) -> tuple[ExtraColumn, ...]:
        """Return the columns in the order of their first values; one with a reserved name gets ``list_`` in front."""
        taken = {name.casefold() for name in reserved}
        found = []
        for source, kinds in self._kinds.items():
            name = next(other for other in _names(source) if other.casefold() not in taken)
            taken.add(name.casefold())
            found.append(ExtraColumn(source, name, _dtype(kinds)))
        return tuple(found)


def _names(source: str) -> Any:
    yield source
    yield f"list_{source}"
    yield from (f"list_{source}_{number}" for number in count(2))


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return _kind_of_text(str(value[0]))
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64" if abs(value) <= EXACT_INTEGER else "long"
    return "float64" if isinstance(value, float) else "string"


def _kind_of_text(text: str) -> str:
    if text in _GAPS:
        return "gap"
    if text in _BOOLEANS:
        return "bool"
    if _INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63:
        return _kind(int(text))
    return "float64" if _FLOAT.fullmatch(text) else "string"


def _dtype(kinds: Collection[str]) -> str:
    real = set(kinds) - {"gap"}
    if real and real <= {"int64", "long"}:
        return "int64"
    if real and real <= {"int64", "float64"}:
        return "float64"
    return "bool" if real == {"bool"} else "string"


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)
