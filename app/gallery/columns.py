"""A dataset as columns: ids, codes of categories, numbers, words. They are made of pages of rows, and say which rows match. Pure; numpy."""

import itertools
from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from app.db import image_columns
from app.gallery.fields import CATEGORIES, MEASURED, NUMBERS, host_of, measured, number, words_of
from app.gallery.words import Words

__all__ = ["ColumnBuilder", "Columns", "Mask"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Columns:
    """The rows of a dataset by id.

    Attributes:
        values: of each category; a row's code is the position of its value. The first one is None.
        codes: of each category, in the smallest type that holds them.
    """

    ids: NDArray[np.int64]
    values: Mapping[str, Sequence[str | None]]
    codes: Mapping[str, NDArray[Any]]
    numbers: Mapping[str, NDArray[np.float64]]
    words: Words

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.ids)


_AT: Final = {name: at for at, name in enumerate((*image_columns.COLUMNS, "measures"))}

_GONE: Final = np.iinfo(np.uint32).max
"""Stands for a row that came again."""

_READ: Final = {name: name for name in CATEGORIES if name not in ("host", "format")}
"""The column of each category that is one."""


@dataclass(slots=True)
class ColumnBuilder:
    """Takes pages of rows as :func:`app.db.image_columns.pages` yields them; CPU only."""

    _ids: "array[int]" = field(default_factory=lambda: array("q"))
    _codes: dict[str, "array[int]"] = field(default_factory=lambda: {name: array("I") for name in CATEGORIES})
    _values: dict[str, dict[str | None, int]] = field(default_factory=lambda: {name: _numbering(None) for name in CATEGORIES})
    _numbers: dict[str, "array[float]"] = field(default_factory=lambda: {name: array("d") for name in NUMBERS})
    _words: dict[str, int] = field(default_factory=lambda: _numbering())
    _word_codes: "array[int]" = field(default_factory=lambda: array("I"))
    _word_counts: "array[int]" = field(default_factory=lambda: array("I"))

    def add(self, rows: Sequence[Any]) -> None:
        """Add a page."""
        columns = list(zip(*rows, strict=True))
        self._ids.extend(columns[_AT["id"]])
        self._add_categories(columns)
        self._add_numbers(columns)
        texts = zip(*(columns[_AT[name]] for name in ("label", "title", "caption", "creator", "url")), strict=True)
        for row in texts:
            codes = [self._words[word] for word in words_of(*row)]
            self._word_codes.extend(codes)
            self._word_counts.append(len(codes))

    def _add_categories(self, columns: Sequence[Sequence[Any]]) -> None:
        read: dict[str, Sequence[str | None]] = {name: columns[_AT[column]] for name, column in _READ.items()}
        read["host"] = [host_of(url) for url in columns[_AT["url"]]]
        read["format"] = [media_type.removeprefix("image/") if media_type else None for media_type in columns[_AT["media_type"]]]
        for name, values in read.items():
            numbering = self._values[name]
            self._codes[name].extend([numbering[value or None] for value in values])

    def _add_numbers(self, columns: Sequence[Sequence[Any]]) -> None:
        width, height = ([number(value) for value in columns[_AT[name]]] for name in ("width", "height"))
        measures = [orjson.loads(text) or {} if text else {} for text in columns[_AT["measures"]]]
        read: dict[str, Sequence[float]] = {
            "width": width,
            "height": height,
            "pixels": [one * other for one, other in zip(width, height, strict=True)],
            "aspect": [one / other for one, other in zip(width, height, strict=True)],
            "bytes": [number(value) for value in columns[_AT["size_bytes"]]],
            "fetched_at": [number(value) for value in columns[_AT["fetched_at"]]],
        }
        read |= {name: [measured(one, name) for one in measures] for name in MEASURED}
        for name, values in read.items():
            self._numbers[name].extend(values)

    def finish(self) -> Columns:
        """The columns, by id. Of an image that came twice, the last row counts."""
        ids = np.frombuffer(self._ids, np.int64)
        rows = _last_of_each(ids)
        return Columns(
            ids[rows],
            {name: list(values) for name, values in self._values.items()},
            {name: _small(np.frombuffer(codes, np.uint32)[rows], len(self._values[name])) for name, codes in self._codes.items()},
            {name: np.frombuffer(values, np.float64)[rows] for name, values in self._numbers.items()},
            self._index(rows),
        )

    def _index(self, rows: NDArray[np.int64]) -> Words:
        """The words of these rows, which are renumbered in their order."""
        counts = np.frombuffer(self._word_counts, np.uint32)
        place = np.full(len(counts), _GONE, np.uint32)
        place[rows] = np.arange(len(rows), dtype=np.uint32)
        of_word, codes = np.repeat(place, counts), np.frombuffer(self._word_codes, np.uint32)
        if len(rows) < len(counts):
            codes, of_word = codes[of_word != _GONE], of_word[of_word != _GONE]
        return Words.of(self._words, codes, of_word)


def _numbering(*first: Any) -> "dict[Any, int]":
    """A dict that numbers its keys as they are asked for."""
    numbers: defaultdict[Any, int] = defaultdict(itertools.count().__next__)
    for key in first:
        numbers[key]
    return numbers


def _last_of_each(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of the ids in ascending order; of equal ones the last."""
    order = np.argsort(ids, kind="stable")
    is_last = np.append(np.diff(ids[order]) != 0, True)[: len(order)]
    return np.asarray(order[is_last])


def _small(codes: NDArray[np.uint32], count: int) -> NDArray[Any]:
    return codes.astype(np.min_scalar_type(max(0, count - 1)))
