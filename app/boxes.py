"""Boxes: where the objects of a picture are, and where they are once it is resized. Plain values without I/O."""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["MAX_BOXES", "Box", "clip", "place"]

MAX_BOXES = 1_000
"""Of one picture."""

_DECIMALS = 2
"""Hundredths of a pixel, as COCO writes them."""

_MIN_SIDE_PX = 1.0
"""A smaller rest of a box shows nothing of its object."""

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle around an object: its class, its upper left corner and its size, in pixels of the upright picture."""

    label: str
    x: float
    y: float
    width: float
    height: float


def clip(box: Box, picture: Size) -> Box | None:
    """The part of a box that lies in the picture; ``None`` where it is less than a pixel wide or high."""
    left, width = _clip(box.x, box.width, picture[0])
    top, height = _clip(box.y, box.height, picture[1])
    return Box(box.label, left, top, width, height) if min(width, height) >= _MIN_SIDE_PX else None


def _clip(start: float, length: float, side: int) -> tuple[float, float]:
    """Begin and length of what is left on a side."""
    first, last = round(max(0.0, start), _DECIMALS), round(min(float(side), start + length), _DECIMALS)
    return first, round(last - first, _DECIMALS)


def place(boxes: Iterable[Box], picture: Size, scaled: Size, canvas: Size) -> tuple[Box, ...]:
    """Where boxes are once their picture is scaled and centred on a canvas, which crops or pads it.

    What lies outside is cut off, of the picture first: where the canvas is larger, no box reaches into its border.
    """
    wide, high = scaled[0] / picture[0], scaled[1] / picture[1]
    left, top = (canvas[0] - scaled[0]) // 2, (canvas[1] - scaled[1]) // 2
    inside = (clipped for box in boxes if (clipped := clip(box, picture)) is not None)
    moved = (Box(box.label, box.x * wide + left, box.y * high + top, box.width * wide, box.height * high) for box in inside)
    return tuple(clipped for box in moved if (clipped := clip(box, canvas)) is not None)
