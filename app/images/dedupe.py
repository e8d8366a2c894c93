"""Which images are the same picture, by digest and by perceptual hash, and which of them is kept. Pure; knows no rows and no files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from errors import ConfigurationError

__all__ = ["MAX_DISTANCE", "Comparable", "Match", "find_exact", "find_near"]

MAX_DISTANCE: Final = 16
"""Bits of 64; two unrelated pictures differ in 32 on average, and 16 apart is no likeness any more."""


class Comparable(Protocol):
    """One image to compare."""

    @property
    def id(self) -> int:
        """Unique."""
        ...

    @property
    def sha256(self) -> str:
        """Of its bytes."""
        ...

    @property
    def phash(self) -> str | None:
        """16 hex digits, or None where there is none."""
        ...

    @property
    def pixels(self) -> int:
        """Width times height."""
        ...

    @property
    def size_bytes(self) -> int:
        """Length of its bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Match:
    """What a duplicate repeats: the id of an image that is kept, and the bits in which their hashes differ."""

    kept_id: int
    distance: int


def find_exact(items: Iterable[Comparable]) -> Mapping[int, Match]:
    """Map each image whose bytes another one has to the one of them that is kept; in no case to another duplicate."""
    found = list(items)
    best: dict[str, Comparable] = {}
    for item in found:
        other = best.setdefault(item.sha256, item)
        if _worth(item) < _worth(other):
            best[item.sha256] = item
    return {item.id: Match(kept.id, 0) for item in found if (kept := best[item.sha256]).id != item.id}


def _worth(item: Comparable) -> tuple[int, int, int]:
    """Sorts the best first: most pixels, then most bytes, then the lowest id."""
    return -item.pixels, -item.size_bytes, item.id


def find_near(items: Iterable[Comparable], distance: int) -> Mapping[int, Match]:
    """Map each near duplicate to the best image within ``distance`` bits of it that is kept.

    Images are taken best first; one that is no duplicate of a better kept one is kept, and claims all that lie within the
    distance and are not claimed yet. So every duplicate really is that close to what it points to, nothing points to a
    duplicate, and the order of the input makes no difference. Images without a hash are neither kept nor duplicates.

    Where 64 bits are cut into d+r blocks, two hashes at most d bits apart agree in r of them (the pigeonhole principle; Manku et
    al., "Detecting Near-Duplicates for Web Crawling", 2007), so only hashes that share r blocks are compared. More blocks make
    more tables of smaller buckets: r grows with the number of hashes, and no bucket grows with it.

    Args:
        items: any number, with unique ids.
        distance: 0 to 16.

    Raises:
        errors.ConfigurationError: the distance is out of range.
    """
    if not 0 <= distance <= MAX_DISTANCE:
        raise ConfigurationError(f"near_distance is {distance}; it must be 0 to {MAX_DISTANCE}")
    from app.images import bands  # which needs an array library; who only imports this does not

    found = [item for item in items if item.phash is not None]
    return {item.id: Match(kept.id, apart) for item, kept, apart in bands.nearest(found, distance)}
