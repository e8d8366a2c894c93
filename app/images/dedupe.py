"""Which images are the same picture, by digest and by perceptual hash, and which of them is kept. Pure; knows no rows and no files."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from errors import ConfigurationError

__all__ = ["MAX_DISTANCE", "Fingerprint", "Match", "find_exact", "find_near"]

MAX_DISTANCE: Final = 16
"""Bits of 64; two unrelated pictures differ in 32 on average, and 16 apart is no likeness any more."""

_BITS: Final = 64
_FEW: Final = 64
"""Buckets below which looking in every band costs more than one pass over all hashes."""

_LARGE: Final = 8192
"""Hashes in a bucket above which each is looked up on its own: one pass over the bucket a hash, and none for what is claimed."""

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One image to compare.

    Attributes:
        phash: 16 hex digits, or None where there is none.
        pixels: width times height.
    """

    id: int
    sha256: str
    phash: str | None
    pixels: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Match:
    """What a duplicate repeats: the id of an image that is kept, and the bits in which their hashes differ."""

    kept_id: int
    distance: int


def _by_worth(items: Iterable[Fingerprint]) -> list[Fingerprint]:
    """The best first: most pixels, then most bytes, then the lowest id."""
    return sorted(items, key=lambda item: (-item.pixels, -item.size_bytes, item.id))


def find_exact(items: Iterable[Fingerprint]) -> Mapping[int, Match]:
    """Map each image whose bytes another one has to the one of them that is kept; in no case to another duplicate."""
    kept: dict[str, int] = {}
    matches: dict[int, Match] = {}
    for item in _by_worth(items):
        keeper = kept.setdefault(item.sha256, item.id)
        if keeper != item.id:
            matches[item.id] = Match(keeper, 0)
    return matches


def find_near(items: Iterable[Fingerprint], distance: int) -> Mapping[int, Match]:
    """Map each near duplicate to the best image within ``distance`` bits of it that is kept.

    Images are taken best first; one that is no duplicate of a better kept one is kept, and claims all that lie within the
    distance and are not claimed yet. So every duplicate really is that close to what it points to, nothing points to a
    duplicate, and the order of the input makes no difference. Images without a hash are neither kept nor duplicates.

    Two hashes at most d bits apart agree in one of d+1 bands (the pigeonhole principle; Manku et al., "Detecting
    Near-Duplicates for Web Crawling", 2007), so only hashes that share a band are compared.

    Args:
        items: any number, with unique ids.
        distance: 0 to 16.

    Raises:
        errors.ConfigurationError: the distance is out of range.
    """
    if not 0 <= distance <= MAX_DISTANCE:
        raise ConfigurationError(f"near_distance is {distance}; it must be 0 to {MAX_DISTANCE}")
    groups: dict[int, list[int]] = {}
    for item in _by_worth(items):
        if item.phash is not None:
            groups.setdefault(int(item.phash, 16), []).append(item.id)
    hashes = np.fromiter(groups, dtype=np.uint64, count=len(groups))
    keepers, distances = _claim(hashes, distance)
    return _matches(list(groups.values()), keepers, distances)


def _matches(groups: Sequence[Sequence[int]], keepers: npt.NDArray[np.int64], distances: npt.NDArray[np.int64]) -> dict[int, Match]:
    """Spell out the claims: equal hashes are one entry, and its first image is the best of them."""
    matches = {}
    for index, ids in enumerate(groups):
        kept_id = groups[keepers[index]][0]
        match = Match(kept_id, int(distances[index]))
        matches.update({image_id: match for image_id in ids if image_id != kept_id})
    return matches


def _claim(hashes: Hashes, distance: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each of n unique hashes, best first: the index of the one that keeps it (its own if it is kept), and the distance."""
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
