"""Which split an image belongs to: seeded, the same on every machine, and never one group in two splits. Pure."""

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from errors import ConfigurationError

__all__ = ["assign", "assign_all"]

Target = Mapping[str, float]
"""Images (or shares) by the name of a split."""


def assign(group_key: str, shares: Mapping[str, float], seed: int) -> str:
    """Choose a split for a group from the group's key alone, so that images added later never move the others.

    Args:
        group_key: what must stay together: an album, a near-duplicate cluster, or the image itself.
        shares: weight of each split; any positive scale. Their order makes no difference.
        seed: another seed, another assignment.

    Raises:
        errors.ConfigurationError: no shares, a negative one, or nothing but zeros.
    """
    weights = _normalised(shares)
    point = _hash(seed, group_key) / 2**64
    reached = list(itertools.accumulate(weights.values()))
    return next((name for name, end in zip(weights, reached, strict=True) if point < end), max(weights))


def assign_all(groups: Sequence[tuple[str, str]], shares: Mapping[str, float], seed: int) -> list[str]:
    """Choose a split for each image such that each label gets its shares as exactly as the groups allow.

    Where every image is its own group, each split gets a label's share rounded down or up, and the roundings even out over
    the labels. Larger groups are placed first, where their labels lack the most images (the greedy of stratified group
    splitting), so a large group overshoots no more than it must.

    Args:
        groups: (label, group) of each image. A group may hold several labels, and still stays together.
        shares: weight of each split; any positive scale.
        seed: decides between equals.

    Returns:
        The name of a split for each image, in the order of ``groups``. Another order of images gives each the same split.

    Raises:
        errors.ConfigurationError: no shares, a negative one, or nothing but zeros.
    """
    weights = _normalised(shares)
    if len(weights) == 1:  # as by default: nothing is to decide, and deciding it takes most of the time that labels and splits take
        return [*weights] * len(groups)
    members: dict[str, Counter[str]] = {}
    for label, group in groups:
        members.setdefault(group, Counter())[label] += 1
    order = sorted(members, key=lambda group: (-members[group].total(), _hash(seed, group), group))
    board = _Board(weights, Counter(label for label, _ in groups))
    chosen = {group: board.place(members[group]) for group in order}
    return [chosen[group] for _, group in groups]


class _Board:
    """What each split still lacks, per label and in all."""

    def __init__(self, weights: Target, labels: Counter[str]) -> None:
        self._weights = weights
        self._lacks = {label: {name: count * share for name, share in weights.items()} for label, count in labels.items()}
        self._placed = Counter[str]()

    def place(self, group: Counter[str]) -> str:
        """Choose a split for a group and book it."""
        name = self._choose(group)
        for label, count in group.items():
            self._lacks[label][name] -= count
        self._placed[name] += group.total()
        return name

    def _choose(self, group: Counter[str]) -> str:
        """A split that has room for all of it; else one that is overfilled by less than an image; else where most is lacking."""
        over = {name: self._overshoot(group, name) for name in self._weights}
        fitting = [name for name in over if over[name] <= _ROUNDING]
        if fitting:
            return max(fitting, key=lambda name: (self._need(group, name), self._behind(name)))
        nearly = [name for name in over if over[name] < 1 - _ROUNDING]
        if nearly:
            return max(nearly, key=lambda name: (self._behind(name), self._need(group, name)))
        return max(over, key=lambda name: (self._need(group, name), self._behind(name)))

    def _overshoot(self, group: Counter[str], name: str) -> float:
        """Images by which the group's labels would exceed what the split lacks of them."""
        return sum(max(0.0, count - max(0.0, self._lacks[label][name])) for label, count in group.items())

    def _need(self, group: Counter[str], name: str) -> float:
        """How much the squared error of the shares falls if the group goes there."""
        return round(sum(count * self._lacks[label][name] for label, count in group.items()), _DIGITS)

    def _behind(self, name: str) -> float:
        """Images by which the split trails its share of all that is placed so far."""
        return round(self._weights[name] * (self._placed.total() + 1) - self._placed[name], _DIGITS)


_ROUNDING = 1e-6
"""Images: what sums of shares in floating point may be off by."""
_DIGITS = 6
"""Decimals compared, so that equal needs are equal on every machine; ties go to the first name in the alphabet."""


def _normalised(shares: Mapping[str, float]) -> dict[str, float]:
    """Shares that sum to 1, by name, without the empty ones."""
    total = math.fsum(shares.values())
    if not all(math.isfinite(share) and share >= 0 for share in shares.values()) or total <= 0:
        raise ConfigurationError(f"split shares {dict(shares)} must be numbers from 0 up, at least one above 0")
    return {name: shares[name] / total for name in sorted(shares) if shares[name] > 0}


def _hash(seed: int, key: str) -> int:
    """64 bits of SHA-256 over seed and key."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8], "big")
