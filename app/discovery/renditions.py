"""Chooses one of the sizes in which a source offers an image. Pure."""

import math
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from app.domain import Rendition

__all__ = ["ASPECT", "by_longest_side", "by_width", "longer_side", "smallest_sufficient", "without_tiff"]

ASPECT = 1.5
"""Longer over shorter side of most photographs."""


def smallest_sufficient(renditions: Sequence[Rendition], side_px: int | None) -> Rendition | None:
    """Return the smallest rendition whose shorter side reaches ``side_px``, else the largest; ``None`` where there is none.

    Args:
        renditions: from the smallest to the largest, the original last; one without a size is taken only where no other reaches.
        side_px: pixels; ``None`` for the largest.
    """
    if not renditions:
        return None
    if side_px is None:
        return renditions[-1]
    return next((one for one in renditions if one.width and one.height and min(one.width, one.height) >= side_px), renditions[-1])


def longer_side(side_px: int) -> int:
    """Return the longer side with which the shorter one of most photographs reaches ``side_px``; for sizes that are named by the longer."""
    return math.ceil(side_px * ASPECT)


def without_tiff(renditions: Sequence[Rendition]) -> Sequence[Rendition]:
    """Leave out TIFF files, the archives' uncompressed masters of often more than 100 MB, where there is anything else."""
    return [one for one in renditions if not urlsplit(one.url).path.lower().endswith((".tif", ".tiff"))] or renditions


def by_width(widths_px: Sequence[int], width_px: int, height_px: int, url_of: Callable[[int], str]) -> list[Rendition]:
    """Return the renditions that a server scales an image of this size to, narrower than the image.

    Args:
        widths_px: widths that it is asked for, from the smallest to the largest.
        url_of: the address of the rendition with a width.
    """
    return [Rendition(url_of(width), width, _scaled(height_px, width, width_px)) for width in widths_px if width < width_px]


def by_longest_side(sides_px: Sequence[int], width_px: int, height_px: int, url_of: Callable[[int], str]) -> list[Rendition]:
    """Return the renditions of a server that is asked for the longer side; see `by_width`."""
    longest = max(width_px, height_px)
    sizes = [(side, _scaled(width_px, side, longest), _scaled(height_px, side, longest)) for side in sides_px if side < longest]
    return [Rendition(url_of(side), width, height) for side, width, height in sizes]


def _scaled(length_px: int, part: int, whole: int) -> int:
    return max(1, round(length_px * part / whole))
