"""What the row of an image says of it: labels, captions and boxes, as the formats that have annotations write and verify them."""

from collections.abc import Mapping
from typing import Any

from app.boxes import Box
from app.exports import spool

__all__ = ["MALFORMED", "boxes_of", "captions_of", "labels_of"]

MALFORMED = (AttributeError, KeyError, TypeError, ValueError)
"""What these functions raise over a row that an export does not write."""


def labels_of(row: Mapping[str, Any]) -> list[str]:
    """All labels; none where the image has no label."""
    return _all(row, "label", "labels")


def captions_of(row: Mapping[str, Any]) -> list[str]:
    """All captions; none where the image has no caption."""
    return _all(row, "caption", "captions")


def boxes_of(row: Mapping[str, Any]) -> list[Box]:
    """All boxes, in pixels of the exported image."""
    found = row.get(spool.OBJECTS) or {"bbox": (), "category": ()}
    return [Box(label, *map(float, corners)) for corners, label in zip(found["bbox"], found["category"], strict=True)]


def _all(row: Mapping[str, Any], one: str, several: str) -> list[str]:
    return list(row.get(several) or ([row[one]] if row.get(one) else ()))
