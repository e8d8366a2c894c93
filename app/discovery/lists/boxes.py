"""The boxes that a row of a list gives: Hugging Face's ``objects``, a list of objects, or corners beside the row's own label.

Every form has `[x, y, width, height]`, in pixels from the upper left corner of the picture, as COCO has it.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

from app.boxes import MAX_BOXES, Box
from app.discovery.lists import values

__all__ = ["find_boxes", "read_boxes"]

MAX_LABEL_CHARS: Final = 100
MAX_TEXT_CHARS: Final = 100_000
"""Of a cell with JSON."""

_CORNERS: Final = ("bbox", "bboxes", "box", "boxes")
_LABELS: Final = ("category", "categories", "label", "labels", "class", "classes", "category_name", "class_name", "name")
_SIDES: Final = ("x", "y", "width", "height")


def find_boxes(value: object) -> Sequence[Any] | Mapping[str, Any] | None:
    """Return the list or the object that a value is, or holds as JSON; ``None`` for any other value, which is no boxes."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{") and len(value) <= MAX_TEXT_CHARS:
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    return value if isinstance(value, list | tuple | dict) else None


def read_boxes(found: Sequence[Any] | Mapping[str, Any], label: str | None) -> tuple[Box, ...]:
    """Return the boxes of what `find_boxes` found.

    Args:
        label: the class of boxes without one of their own.

    Raises:
        ValueError: a box has no class, its numbers are none, or it has no size; or there are too many.
    """
    pairs = list(_pairs(found))
    if len(pairs) > MAX_BOXES:
        raise ValueError(f"{len(pairs)} boxes, at most {MAX_BOXES} are taken")
    return tuple(_box(number, corners, name, label) for number, (corners, name) in enumerate(pairs, start=1))


def _pairs(found: Sequence[Any] | Mapping[str, Any]) -> Iterator[tuple[object, object]]:
    """The corners of each box, with its class."""
    if isinstance(found, dict):
        corners, names = _first(found, _CORNERS), _first(found, _LABELS)
        if not isinstance(corners, list | tuple):
            raise ValueError(f"no list {' or '.join(map(repr, _CORNERS[:2]))} in it")
        if names is None:
            names = [None] * len(corners)
        if not isinstance(names, list | tuple) or len(names) != len(corners):
            raise ValueError(f"{len(corners)} boxes, and not as many classes")
        yield from zip(corners, names, strict=True)
    elif len(found) == len(_SIDES) and all(map(_is_number, found)):
        yield found, None
    else:
        for item in found:
            yield (_corners_of(item), _first(item, _LABELS)) if isinstance(item, dict) else (item, None)


def _corners_of(item: Mapping[str, Any]) -> object:
    corners = _first(item, _CORNERS)
    return [item.get(side) for side in _SIDES] if corners is None else corners


def _first(item: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((item[name] for name in names if item.get(name) is not None), None)


def _is_number(value: object) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool)  # of any length: JSON knows no largest integer
    return isinstance(value, float | Decimal) and math.isfinite(value)


def _box(number: int, corners: object, name: object, label: str | None) -> Box:
    if not isinstance(corners, list | tuple) or len(corners) != len(_SIDES) or not all(map(_is_number, corners)):
        raise ValueError(f"box {number} is not four numbers [x, y, width, height]: {str(corners)[:60]}")
    if max(map(abs, corners)) > values.MAX_SIDE_PX:
        raise ValueError(f"box {number} is larger than any picture: {str(corners)[:60]}")
    x, y, width, height = map(float, corners)
    if min(width, height) <= 0:
        raise ValueError(f"box {number} has no size: width {width:g}, height {height:g}")
    found = next(values.identifiers(name, MAX_LABEL_CHARS, typed=True), label)
    if found is None:
        raise ValueError(f"box {number} has no class: add 'category' to it, or a label to the row")
    return Box(found, x, y, width, height)
