"""Which rows match a filter, how many of them have each value, and which ones a page shows. Pure; numpy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app import selection
from app.gallery.columns import Columns, Mask
from app.gallery.fields import CATEGORIES
from app.gallery.filters import MISSING, Filter, Place, Sort
from app.gallery.where import where_mask

__all__ = ["FACET_VALUES", "Facet", "Matches", "find_matches", "page"]

FACET_VALUES: Final = 50
"""Values of a facet that are listed: the most frequent ones, and those that are chosen."""


@dataclass(frozen=True, slots=True)
class Facet:
    """The values of a category among the images that match every other part of a filter.

    Attributes:
        counts: images by value, `MISSING` for those without one, the most frequent first.
        more: further values, which are not listed.
    """

    counts: Mapping[str, int]
    more: int = 0


@dataclass(frozen=True, slots=True)
class Matches:
    """What a filter finds."""

    mask: Mask
    total: int
    facets: Mapping[str, Facet]


def find_matches(columns: Columns, wanted: Filter) -> Matches:
    """Find the rows that match a filter, and count their values.

    A facet leaves the choice in its own category out: its counts say what another choice there would find.
    """
    chosen = {name: _category_mask(columns, name, values) for name, values in wanted.chosen}
    rest = _other_mask(columns, wanted)
    mask = _all_of([*chosen.values(), rest], columns.size)
    facets = {}
    for name in CATEGORIES:
        others = [one for other, one in chosen.items() if other != name]
        within = mask if name not in chosen else _all_of([*others, rest], columns.size)
        facets[name] = _count(columns, name, within, wanted.values_of(name))
    return Matches(mask, int(np.count_nonzero(mask)), facets)


def _all_of(masks: Sequence[Mask | None], size: int) -> Mask:
    some = [mask for mask in masks if mask is not None]
    if not some:
        return np.ones(size, np.bool_)
    found = some[0]
    for mask in some[1:]:
        found = found & mask
    return found


def _category_mask(columns: Columns, name: str, values: Sequence[str]) -> Mask:
    wanted = {None if value == MISSING else value for value in values}
    codes = columns.codes[name]
    chosen = [code for code, value in enumerate(columns.values[name]) if value in wanted]
    if len(chosen) == 1:
        return np.asarray(codes == chosen[0])
    is_chosen = np.zeros(len(columns.values[name]), np.bool_)
    is_chosen[chosen] = True
    return np.asarray(is_chosen[codes])


def _other_mask(columns: Columns, wanted: Filter) -> Mask | None:
    """The rows within every range, with the text, and selected by the expression; None: all."""
    masks: list[Mask] = []
    for one in wanted.ranges:
        numbers = columns.numbers[one.name]
        masks += [numbers >= one.least] if one.least is not None else []
        masks += [numbers <= one.most] if one.most is not None else []
    if wanted.where:
        masks.append(where_mask(columns, selection.parse(wanted.where).expression))
    if wanted.words:
        masks.append(columns.words.mask(wanted.words, columns.size))
    return _all_of(masks, columns.size) if masks else None


def _count(columns: Columns, name: str, within: Mask, chosen: Sequence[str]) -> Facet:
    values = columns.values[name]
    counts = np.bincount(columns.codes[name][within], minlength=len(values))
    present = np.flatnonzero(counts)
    by_value = [(MISSING if values[code] is None else str(values[code]), int(counts[code])) for code in present.tolist()]
    by_value.sort(key=lambda item: (-item[1], item[0]))
    known = dict(by_value)
    shown = dict(by_value[:FACET_VALUES]) | {value: known.get(value, 0) for value in chosen}
    return Facet(shown, sum(value not in shown for value in known))


def page(columns: Columns, mask: Mask, sort: Sort, *, after: Place | None, limit: int) -> tuple[list[int], Place | None]:
    """The ids of a page, and the place behind which the next one begins; None on the last."""
    rows = _rows_by_id(columns, mask, sort, after) if sort.name == "id" else _rows_by_number(columns, mask, sort, after, limit + 1)
    shown = rows[:limit]
    if len(rows) <= limit or not limit:
        return columns.ids[shown].tolist(), None
    last = int(shown[-1])
    value = None if sort.name == "id" else float(columns.numbers[sort.name][last])
    place = Place(None if value is None or np.isnan(value) else value, int(columns.ids[last]))
    return columns.ids[shown].tolist(), place


def _rows_by_id(columns: Columns, mask: Mask, sort: Sort, after: Place | None) -> NDArray[np.int64]:
    if sort.is_descending:
        end = None if after is None else int(np.searchsorted(columns.ids, after.id, "left"))
        return np.flatnonzero(mask[:end])[::-1]
    begin = 0 if after is None else int(np.searchsorted(columns.ids, after.id, "right"))
    return np.flatnonzero(mask[begin:]) + begin


def _rows_by_number(columns: Columns, mask: Mask, sort: Sort, after: Place | None, limit: int) -> NDArray[np.int64]:
    rows = np.flatnonzero(mask)
    values = columns.numbers[sort.name][rows]
    values = -values if sort.is_descending else values
    if after is not None:
        is_behind = columns.ids[rows] > after.id
        if after.value is None:
            is_left = is_behind & np.isnan(values)
        else:
            edge = -after.value if sort.is_descending else after.value
            is_left = (values > edge) | ((values == edge) & is_behind) | np.isnan(values)
        rows, values = rows[is_left], values[is_left]
    return np.asarray(rows[_smallest(values, limit)])


def _smallest(values: NDArray[np.float64], count: int) -> NDArray[Any]:
    """Positions of the smallest values in their order, equal ones as they come, NaN last."""
    if len(values) <= count:
        return np.asarray(np.argsort(values, kind="stable"))
    edge = np.partition(values, count - 1)[count - 1]
    if np.isnan(edge):
        known, missing = np.flatnonzero(~np.isnan(values)), np.flatnonzero(np.isnan(values))
        return np.concatenate([known[np.argsort(values[known], kind="stable")], missing[: count - len(known)]])
    below, equal = np.flatnonzero(values < edge), np.flatnonzero(values == edge)
    below = below[np.argsort(values[below], kind="stable")]
    return np.asarray(np.concatenate([below, equal[: count - len(below)]]))
