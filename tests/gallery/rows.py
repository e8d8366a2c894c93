"""Rows of images as pages have them, and a look at each of them by itself: what columns must agree with."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app import selection
from app.db.image_columns import COLUMNS
from app.domain import ImageState, StoredImage
from app.gallery.columns import ColumnBuilder, Columns
from app.gallery.filters import Filter, Sort

__all__ = ["Row", "columns_of", "facets_of", "filtered", "matches", "ordered"]


@dataclass(frozen=True)
class Row:
    """An image; by default one of which little is known."""

    id: int
    state: str = "kept"
    reason: str | None = None
    label: str | None = None
    split: str | None = None
    source: str = "list"
    license: str | None = None
    media_type: str | None = None
    width: int | None = None
    height: int | None = None
    size_bytes: int | None = None
    fetched_at: float | None = None
    title: str | None = None
    caption: str | None = None
    creator: str | None = None
    url: str = "https://example.org/a.jpg"
    reviewed: str | None = None
    measures: dict[str, Any] | None = None

    def as_page_row(self) -> tuple[Any, ...]:
        return (*(getattr(self, name) for name in COLUMNS), None if self.measures is None else json.dumps(self.measures))

    def as_image(self) -> StoredImage:
        values = {name: getattr(self, name) for name in (*COLUMNS, "measures") if name != "state"}
        return StoredImage(dataset_id="ds", job_id="job", chunk_id=None, state=ImageState(self.state), **values)

    def category(self, name: str) -> str | None:
        if name == "host":
            host = self.url.split("://", 1)[1].split("/")[0].split("?")[0].split("@")[-1].split(":")[0].lower()
            return host or None
        return self.media_type and self.media_type.split("/")[1] if name == "format" else getattr(self, name)

    def number(self, name: str) -> float | None:
        both = self.width and self.height
        own = {
            "width": self.width,
            "height": self.height,
            "bytes": self.size_bytes,
            "fetched_at": self.fetched_at,
            "pixels": self.width * self.height if both else None,  # type: ignore[operator]
            "aspect": self.width / self.height if both else None,  # type: ignore[operator]
        }
        return (own[name] or None) if name in own else (self.measures or {}).get(name)


def columns_of(rows: Sequence[Row], *, page: int = 3) -> Columns:
    builder = ColumnBuilder()
    for at in range(0, len(rows), page):
        builder.add([row.as_page_row() for row in rows[at : at + page]])
    return builder.finish()


def matches(row: Row, wanted: Filter, *, without: str = "") -> bool:
    """Whether an image matches a filter, but for its choice in one category."""
    for name, values in wanted.chosen:
        if name != without and (row.category(name) or "") not in values:
            return False
    for one in wanted.ranges:
        value = row.number(one.name)
        if value is None or value < (-math.inf if one.least is None else one.least) or value > (math.inf if one.most is None else one.most):
            return False
    place = row.url.split("://", 1)[1].split("?")[0].split("#")[0]
    parts = place.split("/")
    texts = [row.label, row.title, row.caption, row.creator, parts[0].split("@")[-1], *parts[1:]]
    words = [word for text in texts for word in (text or "").casefold().replace("/", " ").split()]
    if not all(any(part in word for word in words) for part in wanted.text.casefold().replace("/", " ").split()):
        return False
    return not wanted.where or selection.parse(wanted.where).matches(row.as_image())


def filtered(rows: Sequence[Row], wanted: Filter, **more: Any) -> list[Row]:
    return [row for row in rows if matches(row, wanted, **more)]


def ordered(rows: Sequence[Row], sort: Sort) -> list[int]:
    def key(row: Row) -> tuple[bool, float, int]:
        value = float(row.id) if sort.name == "id" else row.number(sort.name)
        signed = 0.0 if value is None else -value if sort.is_descending else value
        return value is None, signed, row.id

    return [row.id for row in sorted(rows, key=key)]


def facets_of(rows: Sequence[Row], wanted: Filter, name: str) -> dict[str, int]:
    return dict(Counter(row.category(name) or "" for row in filtered(rows, wanted, without=name)))
