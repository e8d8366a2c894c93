"""Assignment of images to splits: seeded, the same on every machine, and never one group in two splits. Pure.

A group's split is a hash of the seed and its key, so that a list that grows moves nothing; shares are met on average, not to the image.
Three things come before the hash: the split that the group had, room for a large group, and that no split is empty or far too small.
"""

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from errors import ConfigurationError

__all__ = ["assign", "assign_all", "preferred", "seeded_hash"]

TRAIN: Final = "train"
TEST: Final = "test"


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
    point = seeded_hash(seed, group_key) / 2**64
    reached = list(itertools.accumulate(normalised.values()))
    return next((name for name, end in zip(normalised, reached, strict=True) if point < end), max(normalised))


def preferred(splits: Iterable[str], shares: Mapping[str, float]) -> str | None:
    """Choose among the splits that the images of one group had before; None where none of them has a share now.

    Train comes first, so that an image that was trained on is never tested on, and test comes last: that costs a sample of the evaluation,
    not its worth. Between them the larger share comes first.
    """
    known = {name for name in splits if shares.get(name, 0) > 0}
    return min(known, key=lambda name: (name != TRAIN, name == TEST, -shares[name], name), default=None)


def assign_all(
    groups: Sequence[tuple[str, str]], shares: Mapping[str, float], seed: int, before: Mapping[str, str] | None = None
) -> list[str]:
    """Choose a split for each image.

    A group keeps the split that it had. A new one goes where `assign` says, among the splits whose share of all images has room for it.
    Then new groups move, the smallest first, until each label is in each split where its share is an image or more, and each split has
    half of its share of all images, one at least.

    Args:
        groups: (label, group) of each image. A group may have several labels and is not divided.
        shares: weight of each split; any positive scale.
        seed: determines the assignment.
        before: the split that a group had.

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
    kept = {group: split for group, split in (before or {}).items() if group in members and split in normalised}
    chosen = {
        group: kept.get(group) or assign(group, _with_room(labels.total(), len(groups), normalised), seed)
        for group, labels in members.items()
    }
    _fill(chosen, members, normalised, seed, fixed=kept)
    return [chosen[group] for _, group in groups]


def _with_room(size: int, total: int, shares: Mapping[str, float]) -> Mapping[str, float]:
    """The splits whose share of ``total`` images is at least a group of ``size``; the largest one, and a single image, always fit."""
    if size == 1:
        return shares
    largest = max(shares, key=lambda name: (shares[name], name))
    return {name: share for name, share in shares.items() if name == largest or share * total >= size}


def _fill(
    chosen: dict[str, str], members: Mapping[str, Counter[str]], shares: Mapping[str, float], seed: int, *, fixed: Mapping[str, str]
) -> None:
    """Move new groups into the splits that lack a label, then into those that have less than half of their share of all images.

    The second round takes a split's last image of a label only where nothing else can move.
    """
    of_label: dict[str, dict[str, int]] = {}
    for group in sorted(members):
        for label, images in members[group].items():
            of_label.setdefault(label, {})[group] = images
    needed: dict[str, dict[str, int]] = {}
    for label, sizes in sorted(of_label.items()):
        images = sum(sizes.values())
        needed[label] = {name: int(share * images >= 1) for name, share in shares.items()}
        _move(chosen, sizes, needed[label], seed, fixed)

    def is_last(group: str) -> bool:
        split = chosen[group]
        promised = [of_label[label] for label in members[group] if needed[label][split]]
        return any(all(chosen[other] != split for other in groups if other != group) for groups in promised)

    sizes = {group: members[group].total() for group in sorted(members)}
    if len(sizes) >= len(shares):
        _move(chosen, sizes, {name: max(1, int(share * sum(sizes.values()) / 2)) for name, share in shares.items()}, seed, fixed, is_last)


def _move(
    chosen: dict[str, str],
    sizes: Mapping[str, int],
    needed: Mapping[str, int],
    seed: int,
    fixed: Mapping[str, str],
    is_last_choice: Callable[[str], bool] = lambda _: False,
) -> None:
    """Move groups, the smallest first, from splits that can spare them until each split has the images that it needs.

    Args:
        chosen: the split of each group; changed.
        sizes: images of each group.
        fixed: groups that stay where they are.
        is_last_choice: whether a group moves only where no other can.
    """
    held = Counter[str]()
    for group, size in sizes.items():
        held[chosen[group]] += size
    for name in needed:
        if held[name] >= needed[name]:
            continue
        order = sorted(sizes.keys() - fixed.keys(), key=lambda key: (sizes[key], seeded_hash(seed, f"{name}:{key}"), key))
        for takes_all, group in itertools.product((False, True), order):
            if held[name] >= needed[name]:
                break
            giver = chosen[group]
            may_give = giver != name and held[giver] - sizes[group] >= needed[giver]
            if may_give and (takes_all or not is_last_choice(group)):
                held[giver] -= sizes[group]
                held[name] += sizes[group]
                chosen[group] = name


def _normalise(shares: Mapping[str, float]) -> dict[str, float]:
    """Shares that sum to 1, sorted by name, without zero shares."""
    total = math.fsum(shares.values())
    if not all(math.isfinite(share) and share >= 0 for share in shares.values()) or total <= 0:
        raise ConfigurationError(f"split shares {dict(shares)} must be 0 or more, at least one above 0")
    return {name: shares[name] / total for name in sorted(shares) if shares[name] > 0}


def seeded_hash(seed: int, key: str) -> int:
    """64 bits of SHA-256 over seed and key."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8], "big")
