"""The names of a list's values: its columns, and what stands inside objects by dotted names (``image.src``). Knows no fields."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Header", "fold", "has_object", "names_inside", "read_inside"]

_MAX_DEPTH = 8
"""Objects in objects."""


@lru_cache(maxsize=10_000)
def fold(name: str) -> str:
    """Return a name in the form in which names are compared: case, spaces, dashes and dots make no difference, nor does ``[]``."""
    return re.sub(r"[\s\-.]+", "_", name.replace("[]", "").strip().lower())


@dataclass(frozen=True, slots=True)
class Header:
    """The names of the values of a row, by position.

    Attributes:
        names: the columns, then names inside objects.
        columns: how many of them are columns.
        objects: positions of columns that hold objects. They stand for no field unless they are asked for.
        folded: the names as they are compared.
    """

    names: tuple[str, ...]
    columns: int
    objects: frozenset[int]
    folded: tuple[str, ...]

    @classmethod
    def of(cls, columns: Iterable[str], inside: Iterable[str] = (), objects: Iterable[int] = ()) -> "Header":
        """Return the header of these columns and of what stands inside of them."""
        columns = tuple(columns)
        names = (*columns, *inside)
        return cls(names, len(columns), frozenset(objects), tuple(fold(name) for name in names))

    def position(self, name: str) -> int | None:
        """Return where ``name`` stands: a column of exactly this name, else a name inside objects, else one that is equal when folded."""
        if name in self.names:
            return self.names.index(name)
        return self.folded.index(fold(name)) if fold(name) in self.folded else None

    def first(self, folded: Iterable[str], *, with_objects: bool = False) -> int | None:
        """Return where the first of some names stands that no object has, unless ``with_objects``."""
        hidden = frozenset[int]() if with_objects else self.objects
        places = (at for name in folded for at, other in enumerate(self.folded) if other == name and at not in hidden)
        return next(places, None)


def has_object(value: object) -> bool:
    """Whether a value is an object or a list that begins with one."""
    return isinstance(value, dict) or (isinstance(value, list | tuple) and bool(value) and isinstance(value[0], dict))


def names_inside(row: Mapping[str, object]) -> Iterator[str]:
    """Yield the dotted names of what the objects of a row hold; of a list, its first object's."""
    for name, value in row.items():
        if has_object(value):
            yield from _names_inside(value, name, _MAX_DEPTH)


def _names_inside(value: object, prefix: str, depth: int) -> Iterator[str]:
    if isinstance(value, list | tuple):
        value = value[0]
    if isinstance(value, dict) and depth:
        for name, inner in value.items():
            yield f"{prefix}.{name}"
            if has_object(inner):
                yield from _names_inside(inner, f"{prefix}.{name}", depth - 1)


def read_inside(value: object, name: str) -> object:
    """Return what an object holds under a dotted name, ``None`` for nothing; of a list of objects, a list of what they hold."""
    if isinstance(value, list | tuple):
        found = [read_inside(item, name) for item in value if isinstance(item, dict)]
        return [part for item in found for part in (item if isinstance(item, list | tuple) else (item,)) if part is not None]
    if not isinstance(value, dict):
        return None
    if name in value:
        return value[name]
    ends = [at for at, char in enumerate(name) if char == "."]
    end = next((end for end in reversed(ends) if name[:end] in value), None)
    return None if end is None else read_inside(value[name[:end]], name[end + 1 :])
