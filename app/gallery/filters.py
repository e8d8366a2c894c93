"""What a gallery is asked for: which images, in which order, from which place on. Pure values, checked where they are made."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import errors
from app import selection
from app.db import paging
from app.formatting import either
from app.gallery.fields import CATEGORIES, NUMBERS, words_in
from app.gallery.where import check

__all__ = ["MISSING", "MOST_VALUES", "RANGED", "SORTS", "Filter", "Place", "Range", "Sort"]

MISSING: Final = ""
"""Stands for a missing value of a category."""

MOST_VALUES: Final = 100
"""Values of one category in a filter."""

RANGED: Final = tuple(name for name in NUMBERS if name != "fetched_at")
"""Numbers that are limited to a range."""

SORTS: Final = ("id", *NUMBERS)
"""What images are sorted by; a minus before it turns the order around."""


@dataclass(frozen=True, slots=True)
class Range:
    """A number from ``least`` to ``most``, both included; None: without end. Missing numbers are in no range."""

    name: str
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Filter:
    """Which images. Values of one category are alternatives; everything else must hold together.

    Attributes:
        chosen: values by category, `MISSING` among them.
        text: each of its words has to be part of a word of the image's label, title, caption, creator or URL.
        where: an expression of ``--where`` over what a gallery knows.
    """

    chosen: tuple[tuple[str, tuple[str, ...]], ...] = ()
    ranges: tuple[Range, ...] = ()
    text: str = ""
    where: str = ""

    @classmethod
    def of(
        cls,
        chosen: Mapping[str, Iterable[str]] | None = None,
        ranges: Iterable[Range] = (),
        *,
        text: str | None = None,
        where: str | None = None,
    ) -> Self:
        """Make a filter; what limits nothing is left out.

        Raises:
            errors.ValidationError: a name or a value is none; the message names both, and what there is.
        """
        values = {name: tuple(sorted(set(some))) for name, some in (chosen or {}).items()}
        for name, some in values.items():
            if name not in CATEGORIES:
                raise errors.ValidationError(f"{name!r} is no category; there are {either(CATEGORIES)}")
            if len(some) > MOST_VALUES:
                raise errors.ValidationError(f"{name} has {len(some)} values; at most {MOST_VALUES} are taken, or --where")
        limits = tuple(one for one in ranges if (one.least, one.most) != (None, None))
        for one in limits:
            _check_range(one)
        if where:
            check(selection.parse(where))
        return cls(
            tuple(sorted((name, some) for name, some in values.items() if some)), limits, (text or "").strip(), (where or "").strip()
        )

    @cached_property
    def words(self) -> frozenset[str]:
        """The parts of words that are searched."""
        return frozenset(words_in(self.text))

    def values_of(self, category: str) -> Sequence[str]:
        """What is chosen in a category."""
        return dict(self.chosen).get(category, ())


def _check_range(one: Range) -> None:
    if one.name not in RANGED:
        raise errors.ValidationError(f"{one.name!r} is no number of an image; there are {either(RANGED)}")
    if one.least is not None and one.most is not None and one.least > one.most:
        raise errors.ValidationError(f"min_{one.name} {one.least:g} is above max_{one.name} {one.most:g}")


@dataclass(frozen=True, slots=True)
class Sort:
    """An order: by a number, images without it last and equal ones by id; or by id, which is the order in which they came."""

    name: str = "id"
    is_descending: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``sharpness`` or ``-sharpness``.

        Raises:
            errors.ValidationError: there is no such order.
        """
        name = text.removeprefix("-")
        if name not in SORTS:
            raise errors.ValidationError(f"sort {text!r} does not exist; there is {either(SORTS)}, and each with a minus before it")
        return cls(name, text.startswith("-"))

    def __str__(self) -> str:
        return f"{'-' * self.is_descending}{self.name}"


@dataclass(frozen=True, slots=True)
class Place:
    """The last image of a page: its number, None where it has none, and its id. The next page begins behind it."""

    value: float | None
    id: int

    def encode(self, sort: Sort) -> str:
        """The cursor of the page behind it. In the order of the ids it is that of `app.db.image_search.page`."""
        if sort == Sort():
            return paging.encode(self.id)
        return paging.encode(str(sort), "" if self.value is None else repr(self.value), self.id)

    @classmethod
    def decode(cls, cursor: str, sort: Sort) -> Self:
        """Read a cursor.

        Raises:
            errors.ValidationError: it is none of this order.
        """
        if sort == Sort():
            return cls(None, paging.decode(cursor, int)[0])
        order, value, image_id = paging.decode(cursor, str, str, int)
        try:
            if order == str(sort):
                return cls(float(value) if value else None, image_id)
        except ValueError:
            pass
        raise errors.ValidationError(f"cursor is not one of a list sorted by {sort}; omit it to start at the beginning")
