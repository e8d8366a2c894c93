"""Which of many 64-bit hashes lie close to a better one: found by the bands that they share. Pure; knows numbers, no images."""

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["claim"]

_BITS: Final = 64
_FEW: Final = 64
"""Buckets below which looking in every band costs more than one pass over all hashes."""

_LARGE: Final = 8192
"""Hashes in a bucket above which each is looked up on its own: one pass over the bucket a hash, and none for what is claimed."""

Hashes = npt.NDArray[np.uint64]


def claim(numbers: Sequence[int], distance: int) -> tuple[Sequence[int], Sequence[int]]:
    """For each of n unique hashes, best first: the index of the one that keeps it (its own if it is kept), and the distance.

    Two hashes at most d bits apart agree in one of d+1 bands (the pigeonhole principle; Manku et al., "Detecting
    Near-Duplicates for Web Crawling", 2007), so only hashes that share a band are compared.

    Args:
        numbers: of 64 bits each.
        distance: 0 to 16.
    """
    keepers, distances = _claim(np.array(numbers, dtype=np.uint64), distance)
    return keepers.tolist(), distances.tolist()


def _claim(hashes: Hashes, distance: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    keepers = np.arange(len(hashes))
    distances = np.zeros(len(hashes), dtype=np.int64)
    if distance == 0:
        return keepers, distances
    claimed = np.zeros(len(hashes), dtype=bool)
    bands = [_Band(hashes, *position) for position in _positions(distance)]
    for index in np.flatnonzero(np.logical_or.reduce([band.crowded(distance) for band in bands])):
        if claimed[index]:
            continue
        claimed[index] = True
        for band in bands:
            members, apart = band.within(hashes[index], distance)
            free = ~claimed[members]
            claimed[members] = True
            keepers[members[free]] = index
            distances[members[free]] = apart[free]
    return keepers, distances


def _positions(distance: int) -> list[tuple[int, int]]:
    """Split 64 bits into distance+1 bands of (shift, width), or into a single one of width 0 that all hashes share."""
    count = distance + 1
    if 2 ** (_BITS // count) < _FEW:
        return [(0, 0)]
    edges = [_BITS * band // count for band in range(count + 1)]
    return [(low, high - low) for low, high in itertools.pairwise(edges)]


class _Band:
    """All hashes in the order of one band's bits, so that those which share them lie side by side."""

    def __init__(self, hashes: Hashes, shift: int, width: int) -> None:
        self._shift, self._mask = np.uint64(shift), np.uint64((1 << width) - 1)
        keys = self._keys(hashes)
        self._order = np.argsort(keys, kind="stable")
        self._sorted = hashes[self._order]
        values, starts, counts = np.unique(keys[self._order], return_index=True, return_counts=True)
        self._ends, self._sizes = np.repeat(starts + counts, counts), np.repeat(counts, counts)
        self._buckets = dict(zip(values.tolist(), zip(starts.tolist(), (starts + counts).tolist(), strict=True), strict=True))

    def _keys(self, hashes: Hashes) -> Hashes:
        return (hashes >> self._shift) & self._mask

    def crowded(self, distance: int) -> npt.NDArray[np.bool_]:
        """For each hash, whether another one of its bucket may be near: hardly any is, and only those need a closer look.

        The hashes of all buckets are compared at once with those one place further, two places further, and so on.
        """
        near = self._sizes > _LARGE
        left, offset = np.flatnonzero(~near), 0
        while left.size:
            offset += 1
            left = left[left + offset < self._ends[left]]
            pairs = left[np.bitwise_count(self._sorted[left] ^ self._sorted[left + offset]) <= distance]
            near[pairs] = near[pairs + offset] = True
        found = np.zeros_like(near)
        found[self._order] = near
        return found

    def within(self, value: np.uint64, distance: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Indices of the hashes in the bucket of ``value`` that differ in at most ``distance`` bits, and in how many."""
        start, end = self._buckets[int((value >> self._shift) & self._mask)]
        apart = np.bitwise_count(self._sorted[start:end] ^ value)
        near = np.flatnonzero(apart <= distance)
        return self._order[start:end][near], apart[near].astype(np.int64)
