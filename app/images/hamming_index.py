"""Near duplicates among many 64-bit hashes, by tables of hashes that agree in some of their bits. Knows hashes only, no images.

Where 64 bits are cut into d+r blocks, two hashes at most d bits apart agree in r of them (the pigeonhole principle; Manku et al.,
"Detecting Near-Duplicates for Web Crawling", 2007), so only hashes that agree in r blocks are compared. More blocks make more tables of
smaller buckets: r grows with the number of hashes, and the buckets stay small.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["AreAlike", "Hashes", "Indices", "assign_keepers", "find_within", "near_pairs"]

_BITS: Final = 64

_LARGE_BUCKET: Final = 1024
"""Hashes in a bucket above which pairs are not compared: each hash is looked up on its own, unless it is claimed by then."""

_SORT_NS: Final = 100.0
_PAIR_NS: Final = 6.0
_PASS_NS: Final = 1.0
"""Nanoseconds a hash for sorting, for each other hash of its bucket (half of the cost of a pair), and for one pass over all hashes.
Measured on one core; an error of half is harmless, because they choose the method and not the result."""

_MAX_SHARED: Final = 4
"""Most blocks in one key: five of them would make 26,000 tables at the largest distance."""

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
AreAlike = Callable[[int, Indices], npt.NDArray[np.bool_]]
"""Says of the hashes at some indices whether the one at the first index may keep them, which is better than all of them."""


def assign_keepers(hashes: Hashes, distance: int, are_alike: AreAlike | None = None) -> tuple[Indices, Indices]:
    """Decide for each hash which hash keeps it.

    Args:
        hashes: of shape (n,), the best first; equal ones may repeat.
        distance: bits, 0 to 63.
        are_alike: a further condition on near hashes; None for no condition.

    Returns:
        Two arrays of shape (n,): the index of the keeper of each hash, its own if it is kept, and the bits in which they differ.
    """
    keepers, distances = np.arange(len(hashes)), np.zeros(len(hashes), dtype=np.int64)
    candidates = np.flatnonzero(_may_have_neighbours(hashes, distance))  # all others are kept and claim nothing
    values = hashes[candidates]
    tables = [_Table(values, mask) for mask in _masks(distance, 1 if _is_selective(distance) else 0)]
    claimed = np.zeros(len(candidates), dtype=bool)
    for index, value in enumerate(values):
        if claimed[index]:
            continue
        claimed[index] = True
        for table in tables:
            near, differing_bits = table.within(index, value, distance)
            free = ~claimed[near]
            if are_alike is not None and free.any():
                free[free] = are_alike(int(candidates[index]), candidates[near[free]])
            near, differing_bits = near[free], differing_bits[free]
            claimed[near] = True
            keepers[candidates[near]], distances[candidates[near]] = candidates[index], differing_bits
    return keepers, distances


def near_pairs(hashes: Hashes, distance: int) -> Iterator[tuple[int, Indices]]:
    """Yield the indices of hashes with those of the later ones within a distance of them, each pair once.

    Args:
        hashes: of shape (n,), distinct.
        distance: bits, 0 to 63.
    """
    candidates = np.flatnonzero(_may_have_neighbours(hashes, distance))
    values = hashes[candidates]
    tables = [_Table(values, mask) for mask in _masks(distance, 1 if _is_selective(distance) else 0)]
    for index, value in enumerate(values):
        near = np.unique(np.concatenate([table.within(index, value, distance)[0] for table in tables]))
        near = near[near > index]
        if near.size:
            yield int(candidates[index]), candidates[near]


_CELLS: Final = 4_000_000
"""Pairs of hashes that are compared at once: 32 MB of differences."""


def find_within(hashes: Hashes, others: Hashes, distance: int) -> Indices:
    """Find for each hash the nearest of a few others; brute force, 1 ns a pair.

    Args:
        hashes: of shape (n,).
        others: of shape (m,).
        distance: bits, 0 to 63.

    Returns:
        Of shape (n,): the index of the nearest other hash within the distance, the first of equals; -1 where there is none.
    """
    found = np.full(len(hashes), -1, dtype=np.int64)
    if not len(others):
        return found
    step = max(1, _CELLS // len(others))
    for start in range(0, len(hashes), step):
        bits = np.bitwise_count(hashes[start : start + step, None] ^ others[None, :])
        nearest = bits.argmin(axis=1)
        is_near = bits[np.arange(len(nearest)), nearest] <= distance
        found[start : start + step][is_near] = nearest[is_near]
    return found


def _is_selective(distance: int) -> bool:
    """Whether keys of one block separate hashes well enough that lookups in all tables cost less than one pass over all hashes."""
    return 1 << _BITS // (distance + 1) >= _BITS


def _shared_blocks(count: int, distance: int) -> int:
    """The number of blocks in which hashes must agree to be compared, chosen for the least cost; 0 compares all with all."""

    def cost_ns(shared: int) -> float:
        if shared == 0:
            return count * _PASS_NS
        blocks = distance + shared
        return math.comb(blocks, shared) * (_SORT_NS + count / 2 ** (_BITS * shared / blocks) * _PAIR_NS)

    return min(range(_MAX_SHARED + 1), key=cost_ns)


def _masks(distance: int, shared: int) -> Iterator[np.uint64]:
    """The bits of each table's key: any ``shared`` of distance + shared blocks, so that near hashes agree in one of them."""
    blocks = max(1, distance + shared)
    edges = [_BITS * block // blocks for block in range(blocks + 1)]
    bits = [(1 << high) - (1 << low) for low, high in itertools.pairwise(edges)]
    return (np.uint64(sum(chosen)) for chosen in itertools.combinations(bits, shared))


def _may_have_neighbours(hashes: Hashes, distance: int) -> npt.NDArray[np.bool_]:
    """For each hash, whether another one is equal or near, or may be. Few are, and only those are looked up."""
    distinct, which, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    near = counts > 1
    for mask in _masks(distance, _shared_blocks(len(distinct), distance)) if distance else ():
        _mark_neighbours(distinct, mask, distance, near)
    return near[which]


def _mark_neighbours(hashes: Hashes, mask: np.uint64, distance: int, near: npt.NDArray[np.bool_]) -> None:
    """Set ``near`` by comparing the hashes of all buckets of a table with those one place further, two places further, and so on."""
    order, keys, starts = _in_buckets(hashes, mask)
    sizes = np.diff(starts, append=len(hashes))
    is_large = np.repeat(sizes > _LARGE_BUCKET, sizes)
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
    """The hashes' indices in the order of their keys, the keys in that order, and the start of each bucket of equal keys."""
    keys = hashes & mask
    order = np.argsort(keys)
    keys = keys[order]
    return order, keys, np.flatnonzero(np.append(len(keys) > 0, keys[1:] != keys[:-1]))


class _Table:
    """Hashes in the order of one key, so that hashes with equal keys are neighbours."""

    def __init__(self, hashes: Hashes, mask: np.uint64) -> None:
        self._order, _, starts = _in_buckets(hashes, mask)
        self._sorted = hashes[self._order]
        self._edges = np.append(starts, len(hashes))
        self._bucket = np.empty(len(hashes), dtype=np.int32)
        self._bucket[self._order] = np.repeat(np.arange(len(starts), dtype=np.int32), np.diff(self._edges))

    def within(self, index: int, value: np.uint64, distance: int) -> tuple[Indices, Indices]:
        """Indices of the hashes in the bucket of the one at ``index`` that differ from it in at most ``distance`` bits, and those bits."""
        bucket = self._bucket[index]
        start, end = self._edges[bucket], self._edges[bucket + 1]
        differing_bits = np.bitwise_count(self._sorted[start:end] ^ value)
        near = np.flatnonzero(differing_bits <= distance)
        return self._order[start:end][near], differing_bits[near].astype(np.int64)
