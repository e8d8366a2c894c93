"""Which images stay in one split, because they are alike or share where they come from; and how many pairs that do are in two. Pure.

Images are alike if their perceptual hashes are within a distance, whatever their colours: an export has the hash and not the colours, so
that whoever holds the export alone counts the same.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from app.images import hamming_index
from app.rules import DEFAULT_SPLIT_BY, SPLIT_KINDS

__all__ = ["LARGE_SHARE", "LeakReport", "SplitKeys", "SplitTable"]

LARGE_SHARE: Final = 0.5
"""Share of all images above which one component leaves no splits worth the name."""

_MASK: Final = 2**64 - 1

_BLOCK: Final = 10_000
"""Hashes whose near ones are connected at once."""

Values = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SplitKeys:
    """What one image may share with others; None or empty where it is not known."""

    phash: str | None = None
    group_id: str | None = None
    creator: str | None = None
    page_url: str | None = None
    url: str | None = None

    def texts(self) -> tuple[str, ...]:
        """The values that are compared, of every kind but the hash, in their order; empty where there is none."""
        creator = " ".join(self.creator.split()).casefold() if self.creator else ""
        page = self.page_url.partition("#")[0] if self.page_url else ""
        return self.group_id or "", creator, page, _host_of(self.url.partition("://")[2].partition("/")[0]) if self.url else ""


@lru_cache(maxsize=10_000)
def _host_of(authority: str) -> str:
    """The host of what stands between the scheme and the path of a URL. Parsing each URL would take as long as all else here."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


@dataclass(frozen=True, slots=True)
class LeakReport:
    """What the splits of a dataset share.

    Attributes:
        splits: images in each.
        near_distance: bits within which two pictures are nearly the same.
        split_by: what stayed in one split.
        pairs: by kind, the pairs of images that share it and are in different splits.
        largest: images of the largest component, those that `split_by` keeps together; ``largest_by`` is the kind that most of them share.
    """

    splits: Mapping[str, int] = field(default_factory=dict)
    near_distance: int = 0
    split_by: tuple[str, ...] = ()
    pairs: Mapping[str, int] = field(default_factory=dict)
    largest: int = 0
    largest_by: str | None = None

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> "LeakReport":
        """The report that `to_json` gave."""
        return cls(**dict(values) | {"split_by": tuple(values.get("split_by", ()))})

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self) | {"split_by": list(self.split_by)}

    @property
    def leaks(self) -> dict[str, int]:
        """The pairs across splits of what was to stay in one split; empty where there are none."""
        return {kind: self.pairs[kind] for kind in self.split_by if self.pairs.get(kind)}

    @property
    def images(self) -> int:
        """All images."""
        return sum(self.splits.values())

    @property
    def is_lopsided(self) -> bool:
        """Whether most images had to stay in one split."""
        return len(self.splits) > 1 and self.largest > max(1, LARGE_SHARE * self.images)


class SplitTable:
    """The keys of many images as numbers: 45 bytes an image, whatever the length of their texts.

    A text is its hash in this process, of 64 bits: among a million texts two are equal by chance once in 40 million datasets.
    """

    def __init__(self) -> None:
        self._hashes = array("Q")
        self._has_hash = array("B")
        self._texts = [array("Q") for _ in SPLIT_KINDS[1:]]
        self._splits = array("I")
        self._codes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, keys: SplitKeys, split: str = "") -> None:
        """Add the next image."""
        phash = _as_hash(keys.phash)
        self._hashes.append(phash or 0)
        self._has_hash.append(phash is not None)
        for values, text in zip(self._texts, keys.texts(), strict=True):
            values.append(hash(text) & _MASK or 1 if text else 0)
        self._splits.append(self._codes.setdefault(split, len(self._codes)))

    def components(self, kinds: Iterable[str], distance: int) -> Indices:
        """Return for each image the index of the first image of its component: of those that share a value, directly or by others."""
        roots = np.arange(len(self))
        for kind in sorted(set(kinds)):
            for ones, others in self._links(kind, distance):
                roots = _connect(roots, ones, others)
        return roots

    def report(self, distance: int, split_by: Iterable[str] = DEFAULT_SPLIT_BY) -> LeakReport:
        """Count the pairs across splits. Where there is one split nothing is compared, and there are none."""
        chosen = tuple(kind for kind in SPLIT_KINDS if kind in set(split_by))
        sizes = np.bincount(np.array(self._splits, dtype=np.int64), minlength=len(self._codes))
        splits = {name: int(sizes[code]) for name, code in sorted(self._codes.items())}
        if len(splits) < 2:
            return LeakReport(splits, distance, chosen, dict.fromkeys(SPLIT_KINDS, 0))
        largest, by = self.largest(self.components(chosen, distance), chosen)
        pairs: dict[str, int] = {kind: self._pairs_across(kind, distance) for kind in SPLIT_KINDS}
        return LeakReport(splits, distance, chosen, pairs, largest, by)

    def largest(self, components: Indices, kinds: Iterable[str]) -> tuple[int, str | None]:
        """Return the size of the largest component, and the kind whose most frequent value most images share; None if each is alone."""
        size = int(np.bincount(components).max()) if len(components) else 0
        most = {kind: self._most_alike(kind) for kind in kinds}
        return size, max(most, key=most.__getitem__) if size > 1 and most else None

    def _values(self, kind: str) -> tuple[Indices, Values]:
        """The images that have a value of a kind, and the values."""
        at = SPLIT_KINDS.index(kind)
        values = np.array(self._texts[at - 1] if at else self._hashes, dtype=np.uint64)
        known = np.flatnonzero(values if at else np.array(self._has_hash))
        return known, values[known]

    def _links(self, kind: str, distance: int) -> Iterator[tuple[Indices, Indices]]:
        """Pairs of images, enough of them to connect all that share a value of a kind."""
        known, values = self._values(kind)
        order = np.argsort(values, kind="stable")
        same = np.flatnonzero(values[order[1:]] == values[order[:-1]])
        yield known[order[same]], known[order[same + 1]]
        if kind == "cluster":
            distinct, first = np.unique(values, return_index=True)
            for ones, others in _in_blocks(hamming_index.near_pairs(distinct, distance)):
                yield known[first[ones]], known[first[others]]

    def _most_alike(self, kind: str) -> int:
        """Images that share the most frequent value of a kind."""
        _, values = self._values(kind)
        return int(np.unique(values, return_counts=True)[1].max()) if len(values) else 0

    def _pairs_across(self, kind: str, distance: int) -> int:
        known, values = self._values(kind)
        codes = np.array(self._splits, dtype=np.int64)[known]
        distinct, which = np.unique(values, return_inverse=True)
        held, numbers = np.unique(which * len(self._codes) + codes, return_counts=True)
        totals = np.bincount(which, minlength=len(distinct))
        pairs = (int((totals**2).sum()) - int((numbers**2).sum())) // 2
        if kind == "cluster":
            starts = np.searchsorted(held, np.arange(len(distinct) + 1) * len(self._codes))
            counts = _CountsOf(held % len(self._codes), numbers, starts)
            for one, others in hamming_index.near_pairs(distinct, distance):
                pairs += sum(counts.pairs_across(one, int(other)) for other in others)
        return pairs


@dataclass(frozen=True, slots=True)
class _CountsOf:
    """How many images each split has of each distinct hash."""

    codes: Indices
    numbers: Indices
    starts: Indices

    def _of(self, hash_index: int) -> dict[int, int]:
        place = slice(self.starts[hash_index], self.starts[hash_index + 1])
        return dict(zip(self.codes[place].tolist(), self.numbers[place].tolist(), strict=True))

    def pairs_across(self, one: int, other: int) -> int:
        """Pairs of an image with the one hash and an image with the other, in different splits."""
        left, right = self._of(one), self._of(other)
        return sum(left.values()) * sum(right.values()) - sum(number * right.get(code, 0) for code, number in left.items())


def _connect(roots: Indices, ones: Indices, others: Indices) -> Indices:
    """Join the components of pairs, and return the root of each index anew: the lowest index of its component.

    Each root is hooked to the lowest root that a pair leads to, then every path is cut short, until nothing changes (Shiloach and Vishkin,
    "An O(log n) parallel connectivity algorithm", 1982).

    Args:
        roots: of each index the lowest one of its component so far.
    """
    while True:
        left, right = roots[ones], roots[others]
        joined, low = roots.copy(), np.minimum(left, right)
        np.minimum.at(joined, left, low)
        np.minimum.at(joined, right, low)
        while not np.array_equal(joined, shorter := joined[joined]):
            joined = shorter
        if np.array_equal(joined, roots):
            return roots
        roots = joined


def _in_blocks(pairs: Iterable[tuple[int, Indices]]) -> Iterator[tuple[Indices, Indices]]:
    """The pairs of near hashes in two arrays, some million at a time."""
    ones: list[Indices] = []
    others: list[Indices] = []
    for one, near in pairs:
        ones.append(np.full(len(near), one))
        others.append(near)
        if len(ones) >= _BLOCK:
            yield np.concatenate(ones), np.concatenate(others)
            ones, others = [], []
    if ones:
        yield np.concatenate(ones), np.concatenate(others)


def _as_hash(phash: str | None) -> int | None:
    """A hash as a number; None where it is missing or none, as in an export that somebody changed."""
    try:
        value = int(phash, 16) if phash else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < 2**64 else None
