"""Near hashes among many, by arrays: tables in which only those meet that share some of their bits. Knows hashes and worth, no rows."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from app.images.dedupe import Comparable

__all__ = ["nearest"]

_BITS: Final = 64

_LARGE: Final = 1024
"""Hashes in a bucket above which they are not compared in pairs: each is looked up on its own, and none that is claimed by then."""

_SORT_NS: Final = 100.0
_PAIR_NS: Final = 6.0
_PASS_NS: Final = 1.0
"""Nanoseconds a hash for sorting, for each other one of its bucket (half of what a pair costs), and for each in one pass over all; measured
on one core, and good enough where they are off by half: they only choose how hashes are found, not which."""

_MOST_SHARED: Final = 4
"""Blocks that a key has at most: five of them would make 26,000 tables of the largest distance."""

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]


def _by_worth(items: Sequence[Comparable]) -> Indices:
    """Positions of the items, the best first: most pixels, then most bytes, then the lowest id."""
    ids, sizes, pixels = (
        np.fromiter((getattr(item, name) for item in items), dtype=np.int64, count=len(items)) for name in ("id", "size_bytes", "pixels")
    )
    return np.lexsort((ids, -sizes, -pixels))


def nearest(found: Sequence[Comparable], distance: int) -> Iterator[tuple[Comparable, Comparable, int]]:
    """Of images that all have hashes: each near duplicate, the one that is kept for it, and the bits in which their hashes differ."""
    order = _by_worth(found)
    hashes = np.fromiter((int(item.phash or "", 16) for item in found), dtype=np.uint64, count=len(found))[order]
    distinct, first, which = np.unique(hashes, return_index=True, return_inverse=True)
    best_first = np.argsort(first)
    place = np.empty_like(best_first)
    place[best_first] = np.arange(len(best_first))
    keepers, distances = _claim(distinct[best_first], distance)
    group = place[which]  # of each image, its hash's place among the distinct ones, best first
    kept = first[best_first][keepers[group]]  # equal hashes are one entry, and its first image is the best of them
    for position in np.flatnonzero(kept != np.arange(len(kept))):
        yield found[order[position]], found[order[kept[position]]], int(distances[group[position]])


def _claim(hashes: Hashes, distance: int) -> tuple[Indices, Indices]:
    """For each of n unique hashes, best first: the index of the one that keeps it (its own if it is kept), and the distance."""
    keepers, distances = np.arange(len(hashes)), np.zeros(len(hashes), dtype=np.int64)
    if distance == 0:
        return keepers, distances
    crowd = np.flatnonzero(_crowded(hashes, distance))  # the others have no neighbour at all, so they are nobody's neighbour either
    crowding = hashes[crowd]
    tables = [_Table(crowding, mask) for mask in _masks(distance, 1 if _is_selective(distance) else 0)]
    claimed = np.zeros(len(crowd), dtype=bool)
    for index, value in enumerate(crowding):
        if claimed[index]:
            continue
        claimed[index] = True
        for table in tables:
            members, apart = table.within(index, value, distance)
            free = ~claimed[members]
            members, apart = members[free], apart[free]
            claimed[members] = True
            keepers[crowd[members]], distances[crowd[members]] = crowd[index], apart
    return keepers, distances


def _is_selective(distance: int) -> bool:
    """Whether a single block of a key tells hashes apart: looking in every table costs less than one pass over all hashes."""
    return 1 << _BITS // (distance + 1) >= _BITS


def _shared_blocks(count: int, distance: int) -> int:
    """In how many blocks hashes have to agree to be compared, so that comparing this many costs least; 0 is with all others."""

    def cost_ns(shared: int) -> float:
        if shared == 0:
            return count * _PASS_NS
        blocks = distance + shared
        return math.comb(blocks, shared) * (_SORT_NS + count / 2 ** (_BITS * shared / blocks) * _PAIR_NS)

    return min(range(_MOST_SHARED + 1), key=cost_ns)


def _masks(distance: int, shared: int) -> Iterator[np.uint64]:
    """The bits of each table's key: any ``shared`` of distance + shared blocks, so that near hashes agree in one of them."""
    blocks = distance + shared
    edges = [_BITS * block // blocks for block in range(blocks + 1)]
    bits = [(1 << high) - (1 << low) for low, high in itertools.pairwise(edges)]
    return (np.uint64(sum(chosen)) for chosen in itertools.combinations(bits, shared))


def _crowded(hashes: Hashes, distance: int) -> npt.NDArray[np.bool_]:
    """For each hash, whether another one is near, or may be: hardly any is, and only those need a closer look."""
    near = np.zeros(len(hashes), dtype=bool)
    for mask in _masks(distance, _shared_blocks(len(hashes), distance)):
        _mark(hashes, mask, distance, near)
    return near


def _mark(hashes: Hashes, mask: np.uint64, distance: int, near: npt.NDArray[np.bool_]) -> None:
    """Compare the hashes of all of a table's buckets at once with those one place further, two places further, and so on."""
    order, keys, starts = _in_buckets(hashes, mask)
    sizes = np.diff(starts, append=len(hashes))
    is_large = np.repeat(sizes > _LARGE, sizes)
    near[order[is_large]] = True
    values, offset = hashes[order], 1
    left = np.flatnonzero((keys[1:] == keys[:-1]) & ~is_large[1:])
    while left.size:
        pairs = left[np.bitwise_count(values[left] ^ values[left + offset]) <= distance]
        near[order[pairs]] = near[order[pairs + offset]] = True
        offset += 1
        left = left[left + offset < len(keys)]
        left = left[keys[left] == keys[left + offset]]


def _in_buckets(hashes: Hashes, mask: np.uint64) -> tuple[Indices, Hashes, Indices]:
    """The hashes' indices in the order of their keys, the keys in that order, and where each bucket of equal keys starts."""
    keys = hashes & mask
    order = np.argsort(keys)
    keys = keys[order]
    return order, keys, np.flatnonzero(np.append(len(keys) > 0, keys[1:] != keys[:-1]))


class _Table:
    """Hashes in the order of one key, so that those which share it lie side by side."""

    def __init__(self, hashes: Hashes, mask: np.uint64) -> None:
        self._order, _, starts = _in_buckets(hashes, mask)
        self._sorted = hashes[self._order]
        self._edges = np.append(starts, len(hashes))
        self._bucket = np.empty(len(hashes), dtype=np.int32)
        self._bucket[self._order] = np.repeat(np.arange(len(starts), dtype=np.int32), np.diff(self._edges))

    def within(self, index: int, value: np.uint64, distance: int) -> tuple[Indices, Indices]:
        """Indices of the hashes in the bucket of the one at ``index`` that differ from it in at most ``distance`` bits, and in how many."""
        bucket = self._bucket[index]
        start, end = self._edges[bucket], self._edges[bucket + 1]
        apart = np.bitwise_count(self._sorted[start:end] ^ value)
        near = np.flatnonzero(apart <= distance)
        return self._order[start:end][near], apart[near].astype(np.int64)
