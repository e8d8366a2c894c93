"""Assignment of images to splits: seeded, the same on every machine, and never one group in two splits. Pure."""

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from errors import ConfigurationError

__all__ = ["assign", "assign_all"]

_TOLERANCE: Final = 1e-6
"""Images: tolerance for floating-point sums of shares."""

_DECIMALS: Final = 6
"""Decimals compared, so that equal values are equal on every machine; ties go to the first name in alphabetical order."""


def assign(group_key: str, shares: Mapping[str, float], seed: int) -> str:
    """Choose a split for a group by its key alone, so that images added later never move others.

    Args:
        group_key: of the images that must stay together: an album, a near-duplicate cluster, or a single image.
        shares: weight of each split; any positive scale. Their order makes no difference.
        seed: determines the assignment.

    Raises:
        errors.ConfigurationError: no shares, a negative one, or nothing but zeros.
    """
    normalised = _normalise(shares)
    point = _hash(seed, group_key) / 2**64
    reached = list(itertools.accumulate(normalised.values()))
    return next((name for name, end in zip(normalised, reached, strict=True) if point < end), max(normalised))


def assign_all(groups: Sequence[tuple[str, str]], shares: Mapping[str, float], seed: int) -> list[str]:
    """Choose a split for each image such that each label gets its shares as exactly as the groups allow.

    Where every image is its own group, each split gets a label's share rounded down or up, and the rounding errors
    cancel over the labels. Larger groups are placed first, in the split where their labels lack the most images (the greedy algorithm of
    stratified group splitting), so that they exceed the shares as little as possible.

    Args:
        groups: (label, group) of each image. A group may have several labels and is not divided.
        shares: weight of each split; any positive scale.
        seed: orders groups of equal size.

    Returns:
        The name of a split for each image, in the order of ``groups``. The order of the images does not change their splits.

    Raises:
        errors.ConfigurationError: no shares, a negative one, or nothing but zeros.
    """
    normalised = _normalise(shares)
    if len(normalised) == 1:  # the default; the assignment below would take most of the time of labelling
        return [*normalised] * len(groups)
    members: dict[str, Counter[str]] = {}
    for label, group in groups:
        members.setdefault(group, Counter())[label] += 1
    order = sorted(members, key=lambda group: (-members[group].total(), _hash(seed, group), group))
    allocation = _Allocation(normalised, Counter(label for label, _ in groups))
    chosen = {group: allocation.place(members[group]) for group in order}
    return [chosen[group] for _, group in groups]


class _Allocation:
    """The number of images that each split still lacks, per label and in total."""

    def __init__(self, normalised: Mapping[str, float], labels: Counter[str]) -> None:
        self._shares = normalised
        self._missing = {label: {name: count * share for name, share in normalised.items()} for label, count in labels.items()}
        self._placed = Counter[str]()

    def place(self, group: Counter[str]) -> str:
        """Choose a split for a group and count it there."""
        name = self._choose(group)
        for label, count in group.items():
            self._missing[label][name] -= count
        self._placed[name] += group.total()
        return name

    def _choose(self, group: Counter[str]) -> str:
        """A split with room for the whole group; else one exceeded by less than an image; else the one that lacks most."""
        excess = {name: self._excess(group, name) for name in self._shares}
        fitting = [name for name in excess if excess[name] <= _TOLERANCE]
        if fitting:
            return max(fitting, key=lambda name: (self._error_decrease(group, name), self._deficit(name)))
        almost_fitting = [name for name in excess if excess[name] < 1 - _TOLERANCE]
        if almost_fitting:
            return max(almost_fitting, key=lambda name: (self._deficit(name), self._error_decrease(group, name)))
        return max(excess, key=lambda name: (self._error_decrease(group, name), self._deficit(name)))

    def _excess(self, group: Counter[str], name: str) -> float:
        """Images by which the group's labels would exceed what the split lacks."""
        return sum(max(0.0, count - max(0.0, self._missing[label][name])) for label, count in group.items())

    def _error_decrease(self, group: Counter[str], name: str) -> float:
        """Decrease of the squared error of the shares if the group is placed there, up to a constant."""
        return round(sum(count * self._missing[label][name] for label, count in group.items()), _DECIMALS)

    def _deficit(self, name: str) -> float:
        """Images that the split lacks of its share of all images placed so far."""
        return round(self._shares[name] * (self._placed.total() + 1) - self._placed[name], _DECIMALS)


def _normalise(shares: Mapping[str, float]) -> dict[str, float]:
    """Shares that sum to 1, sorted by name, without zero shares."""
    total = math.fsum(shares.values())
    if not all(math.isfinite(share) and share >= 0 for share in shares.values()) or total <= 0:
        raise ConfigurationError(f"split shares {dict(shares)} must be 0 or more, at least one above 0")
    return {name: shares[name] / total for name in sorted(shares) if shares[name] > 0}


def _hash(seed: int, key: str) -> int:
    """64 bits of SHA-256 over seed and key."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8], "big")
