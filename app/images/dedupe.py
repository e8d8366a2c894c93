"""Which images are the same picture, by digest, hash and colours, and which of them is kept. Pure; knows no rows and no files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from app.domain import COLOUR_GRID_SIDE
from app.images import hamming_index
from app.images.hamming_index import Indices
from app.images.ranking import RANKING, Pictured, Rankable
from errors import ConfigurationError

__all__ = ["MAX_DISTANCE", "Comparable", "Copy", "Match", "Mode", "class_of", "compare", "find_exact", "find_near"]

MAX_DISTANCE: Final = 16
"""Bits of 64. Two unrelated pictures differ in 32 bits on average; 16 bits apart they are not alike any more."""

MAX_CHROMA: Final = 20
"""Distance of two cells' Cb and Cr, of 255 levels, up to which they have the same colour. Measured on photos and drawings: copies that are
scaled, re-encoded at quality 10, cropped by 2 %, or changed by 10 % in white balance or 20 % in brightness or saturation stay below 19;
a shirt in another colour is above 29, and navy beside black at 18."""

MAX_LUMA: Final = 48
"""Difference of two cells' Y up to which they have the same brightness; the copies above stay below 38, grey beside black is at 98."""

_CELLS, _CHANNELS = COLOUR_GRID_SIDE * COLOUR_GRID_SIDE, 3
"""Cells of a colour grid, each with Y, Cb and Cr."""

Mode = Literal["none", "exact", "near"]


class Comparable(Rankable, Pictured, Protocol):
    """One image to compare."""

    @property
    def label(self) -> str | None:
        """Its class."""
        ...


class Copy(NamedTuple):
    """What a duplicate repeats: the id of a kept image, and the bits in which it differs; None if its bytes are those of that image or of
    a near duplicate of it."""

    kept_id: int
    bits: int | None


@dataclass(frozen=True, slots=True)
class Match:
    """What a duplicate repeats: the id of a kept image, and the number of bits, 0 to 64, in which their hashes differ."""

    kept_id: int
    distance: int


def class_of(item: Comparable) -> str | None:
    """The label as it is compared: case makes no difference, an empty one is none."""
    return (item.label or "").strip().casefold() or None


def compare(items: Sequence[Comparable], mode: Mode, distance: int, *, within_labels: bool = False) -> dict[int, Copy]:
    """Map the id of each duplicate to what it repeats: exact copies first, then near duplicates among the rest.

    Args:
        items: any number, with unique ids.
        mode: ``none`` finds nothing, ``exact`` equal bytes only.
        distance: bits, 0 to 16.
        within_labels: whether images with different labels are never duplicates; one without a label still is a duplicate of any.
    """
    if mode == "none":
        return {}
    exact = find_exact(items, within_labels=within_labels)
    copies = {copy: Copy(match.kept_id, None) for copy, match in exact.items()}
    if mode == "exact":
        return copies
    near = find_near((item for item in items if item.id not in exact), distance, within_labels=within_labels)
    copies |= {copy: Copy(match.kept_id, match.distance) for copy, match in near.items()}
    return {copy: Copy(near[kept].kept_id if kept in near else kept, bits) for copy, (kept, bits) in copies.items()}


def find_exact(items: Iterable[Comparable], *, within_labels: bool = False) -> Mapping[int, Match]:
    """Map the id of each image whose bytes another one also has to the best of them, which is never a duplicate itself.

    What a person decided about is no duplicate either.

    Args:
        items: any number, with unique ids.
        within_labels: as for `compare`.
    """
    found = list(items)
    kept: dict[tuple[str, str | None], int] = {}
    matches: dict[int, Match] = {}
    for position in _best_first(found).tolist():
        item = found[position]
        keeper = kept.setdefault((item.sha256, class_of(item) if within_labels else None), item.id)
        kept.setdefault((item.sha256, None), keeper)  # the labelled ones come first
        if keeper != item.id and not item.decided:
            matches[item.id] = Match(keeper, 0)
    return matches


def find_near(items: Iterable[Comparable], distance: int, *, within_labels: bool = False) -> Mapping[int, Match]:
    """Map the id of each near duplicate to the best kept image of the same colours within ``distance`` bits of it.

    Images are taken best first. One that is no duplicate of a better kept image is kept, and claims all images within the distance and
    of its colours that are not claimed yet, but for those that a person decided about. So every duplicate is that close to the image it
    points to, none points to a duplicate, and the order of the input makes no difference. Images without a hash are neither kept nor
    duplicates; an image without a colour grid has the colours of any.

    Args:
        items: any number, with unique ids.
        distance: bits, 0 to 16.
        within_labels: as for `compare`.

    Raises:
        errors.ConfigurationError: the distance is out of range.
    """
    if not 0 <= distance <= MAX_DISTANCE:
        raise ConfigurationError(f"near_distance is {distance}; it must be 0 to {MAX_DISTANCE}")
    found = [item for item in items if item.phash is not None]
    found = [found[position] for position in _best_first(found).tolist()]
    hashes = np.fromiter((int(item.phash or "", 16) for item in found), dtype=np.uint64, count=len(found))
    have_same_colours, labels = _ColourGrids([item.colours for item in found]), _codes([class_of(item) for item in found])
    is_free = np.fromiter((not item.decided for item in found), dtype=bool, count=len(found))

    def are_alike(one: int, others: Indices) -> npt.NDArray[np.bool_]:
        alike: npt.NDArray[np.bool_] = have_same_colours(one, others) & is_free[others]
        return alike & ((labels[others] == labels[one]) | (labels[others] == 0)) if within_labels else alike

    keepers, distances = hamming_index.assign_keepers(hashes, distance, are_alike)
    duplicates = np.flatnonzero(keepers != np.arange(len(keepers)))
    return {found[place].id: Match(found[keepers[place]].id, int(distances[place])) for place in duplicates}


class _ColourGrids:
    """Compares the colours of images by their places in a sequence."""

    def __init__(self, grids: Sequence[bytes | None]) -> None:
        joined = b"".join(grid or bytes(_CELLS * _CHANNELS) for grid in grids)
        self._grids = np.frombuffer(joined, dtype=np.uint8).reshape(len(grids), _CELLS, _CHANNELS)
        self._is_known = np.fromiter((grid is not None for grid in grids), dtype=bool, count=len(grids))

    def __call__(self, one: int, others: Indices) -> npt.NDArray[np.bool_]:
        """Whether no cell differs clearly, in colour or in brightness."""
        apart = self._grids[others].astype(np.int32) - self._grids[one].astype(np.int32)
        luma, chroma = np.abs(apart[..., 0]).max(axis=1), (apart[..., 1:] ** 2).sum(axis=2).max(axis=1)
        is_unknown = ~(self._is_known[others] & self._is_known[one])
        alike: npt.NDArray[np.bool_] = is_unknown | ((luma <= MAX_LUMA) & (chroma <= MAX_CHROMA**2))
        return alike


def _codes(labels: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """A number for each label, 0 for none."""
    numbers: dict[str | None, int] = {None: 0}
    return np.fromiter((numbers.setdefault(label, len(numbers)) for label in labels), dtype=np.int64, count=len(labels))


def _best_first(items: Sequence[Comparable]) -> Indices:
    """Positions of the items in the order of :data:`app.images.ranking.RANKING`, the best first."""
    keys = [sign * np.fromiter((getattr(item, name) for item in items), dtype=np.int64, count=len(items)) for name, sign in RANKING]
    return np.lexsort(keys[::-1])
