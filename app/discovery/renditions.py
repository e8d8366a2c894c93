"""Chooses one of the sizes in which a source offers an image. Pure."""

from collections.abc import Sequence

from app.domain import Rendition

__all__ = ["smallest_sufficient"]


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
