"""A dictionary that holds a bounded number of entries and drops the one that was used longest ago."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

__all__ = ["LRUDict"]

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

_EXAMINED: Final = 16
"""Oldest entries examined for one that may be dropped; a longer search would make each insertion slow."""


class LRUDict(Generic[_Key, _Value]):
    """Least recently used first out.

    Args:
        max_entries: an insertion beyond this number drops one entry.
        may_drop: tells whether an entry may be dropped; by default any may. Where none of the oldest entries may be dropped, the
            oldest goes if ``force`` is set, and the dictionary grows beyond its bound if it is not.
        force: see ``may_drop``.
    """

    def __init__(self, max_entries: int, may_drop: Callable[[_Value], bool] | None = None, *, force: bool = False) -> None:
        self._max_entries = max_entries
        self._may_drop = may_drop
        self._force = force
        self._entries: OrderedDict[_Key, _Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[_Key]:
        return iter(self._entries)

    def values(self) -> tuple[_Value, ...]:
        """All values, least recently used first."""
        return tuple(self._entries.values())

    def peek(self, key: _Key) -> _Value | None:
        """Return a value without counting this as a use."""
        return self._entries.get(key)

    def get(self, key: _Key) -> _Value | None:
        """Return a value and count this as a use."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: _Key, value: _Value) -> None:
        """Insert or replace a value."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._drop_one(keep=key)

    def clear(self) -> None:
        """Remove all entries."""
        self._entries.clear()

    def _drop_one(self, keep: _Key) -> None:
        oldest = [key for key, _ in zip(self._entries, range(_EXAMINED), strict=False) if key != keep]
        for key in oldest:
            if self._may_drop is None or self._may_drop(self._entries[key]):
                del self._entries[key]
                return
        if self._force:
            del self._entries[oldest[0]]
