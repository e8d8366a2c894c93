"""Which images are the same picture, by digest and by perceptual hash, and which of them is kept. Pure; knows no rows and no files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from errors import ConfigurationError

__all__ = ["MAX_DISTANCE", "Fingerprint", "Match", "find_exact", "find_near"]

MAX_DISTANCE: Final = 16
"""Bits of 64; two unrelated pictures differ in 32 on average, and 16 apart is no likeness any more."""


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
    from app.images import bands  # which needs an array library; who only finds equal bytes, or imports this, does not

    keepers, distances = bands.claim(list(groups), distance)
    return _matches(list(groups.values()), keepers, distances)


def _matches(groups: Sequence[Sequence[int]], keepers: Sequence[int], distances: Sequence[int]) -> dict[int, Match]:
    """Spell out the claims: equal hashes are one entry, and its first image is the best of them."""
    matches = {}
    for index, ids in enumerate(groups):
        kept_id = groups[keepers[index]][0]
        match = Match(kept_id, distances[index])
        matches.update({image_id: match for image_id in ids if image_id != kept_id})
    return matches
