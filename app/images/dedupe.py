"""Which images are the same picture, by digest and by perceptual hash, and which of them is kept. Pure; knows no rows and no files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from app.images import hamming_index
from app.images.ranking import RANKING, Rankable
from errors import ConfigurationError

__all__ = ["MAX_DISTANCE", "Comparable", "Match", "find_exact", "find_near"]

MAX_DISTANCE: Final = 16
"""Bits of 64. Two unrelated pictures differ in 32 bits on average; 16 bits apart they are not alike any more."""


class Comparable(Rankable, Protocol):
    """One image to compare."""

    @property
    def sha256(self) -> str:
        """Of its bytes."""
        ...

    @property
    def phash(self) -> str | None:
        """16 hex digits, or None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Match:
    """What a duplicate repeats: the id of a kept image, and the number of bits, 0 to 64, in which their hashes differ."""

    kept_id: int
    distance: int


def find_exact(items: Iterable[Comparable]) -> Mapping[int, Match]:
    """Map the id of each image whose bytes another one also has to the best of them, which is never a duplicate itself."""
    found = list(items)
    kept: dict[str, int] = {}
    for position in _best_first(found).tolist():
        kept.setdefault(found[position].sha256, found[position].id)
    return {item.id: Match(kept[item.sha256], 0) for item in found if kept[item.sha256] != item.id}


def find_near(items: Iterable[Comparable], distance: int) -> Mapping[int, Match]:
    """Map the id of each near duplicate to the best kept image within ``distance`` bits of it.

    Images are taken best first. One that is no duplicate of a better kept image is kept, and claims all images within the distance that
    are not claimed yet. So every duplicate is that close to the image it points to, none points to a duplicate, and the order of the
    input makes no difference. Images without a hash are neither kept nor duplicates.

    Args:
        items: any number, with unique ids.
        distance: bits, 0 to 16.

    Raises:
        errors.ConfigurationError: the distance is out of range.
    """
    if not 0 <= distance <= MAX_DISTANCE:
        raise ConfigurationError(f"near_distance is {distance}; it must be 0 to {MAX_DISTANCE}")
    found = [item for item in items if item.phash is not None]
    order = _best_first(found)
    hashes = np.fromiter((int(item.phash or "", 16) for item in found), dtype=np.uint64, count=len(found))[order]
    keepers, distances = hamming_index.assign_keepers(hashes, distance)
    duplicates = np.flatnonzero(keepers != np.arange(len(keepers)))
    return {found[order[place]].id: Match(found[order[keepers[place]]].id, int(distances[place])) for place in duplicates}


def _best_first(items: Sequence[Comparable]) -> npt.NDArray[np.int64]:
    """Positions of the items in the order of :data:`app.images.ranking.RANKING`, the best first."""
    keys = [sign * np.fromiter((getattr(item, name) for item in items), dtype=np.int64, count=len(items)) for name, sign in RANKING]
    return np.lexsort(keys[::-1])
