"""Candidates in groups, the size that one unit of work takes. Duplicates across groups are the database's to find."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

__all__ = ["batches"]

T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Yield ``items`` in order in tuples of ``size``, the last one shorter; takes no more from ``items`` than it yields.

    Raises:
        ValueError: ``size`` is less than 1.
    """
    if size < 1:
        raise ValueError(f"size {size} is less than 1")
    return _batches(iter(items), size)


def _batches(items: Iterator[T], size: int) -> Iterator[tuple[T, ...]]:
    while batch := tuple(islice(items, size)):
        yield batch
