"""What a report counts of every image of a dataset, and the full rows of the few that it shows."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from app.db import paging, tables
from app.db.engine import Connection
from app.db.images import STORED, as_image
from app.domain import ImageState, Reason, StoredImage

__all__ = ["ImageFacts", "load_images", "pages"]

PAGE = 1_000
"""Rows of one statement; to read their measures takes some 10 ms of the event loop."""

_IDS = 500
"""Ids in one statement."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The columns of an image that are counted; see `app.domain.StoredImage`."""

    id: int
    state: ImageState
    reason: Reason | None
    url: str
    label: str | None
    split: str | None
    sha256: str | None
    width: int | None
    height: int | None
    size_bytes: int | None
    duplicate_of: int | None
    measures: Mapping[str, Any] | None


async def pages(connection: Connection, dataset_id: str) -> AsyncIterator[Sequence[ImageFacts]]:
    """Yield all images of a dataset in pages, state by state, by id."""
    c = tables.images.c
    columns = (c.id, c.reason, c.url, c.label, c.split, c.sha256, c.width, c.height, c.size_bytes, c.duplicate_of, c.measures)
    for state in ImageState:
        query = select(*columns).where(c.dataset_id == dataset_id, c.state == state)
        async for rows in paging.pages_by_key(connection, query, c.id, PAGE):
            yield [_as_facts(state, *tuple(row)) for row in rows]


def _as_facts(state: ImageState, image_id: int, reason: str | None, *rest: Any) -> ImageFacts:
    return ImageFacts(image_id, state, Reason(reason) if reason else None, *rest)


async def load_images(connection: Connection, image_ids: Collection[int]) -> dict[int, StoredImage]:
    """Return these images by id, as far as they exist."""
    found: dict[int, StoredImage] = {}
    ids = sorted(image_ids)
    for start in range(0, len(ids), _IDS):
        query = select(*STORED).where(tables.images.c.id.in_(ids[start : start + _IDS]))
        found |= {row.id: as_image(row) for row in (await connection.execute(query)).all()}
    return found
