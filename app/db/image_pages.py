"""Pages of images by key, whatever they are narrowed down to: a page costs the same at the start and at the end of any dataset."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from sqlalchemy import ColumnElement, select

from app.db import paging, tables
from app.db.engine import Connection, Database
from app.db.paging import Place
from app.db.rows import PageOf
from app.db.stored import STORED, as_image
from app.domain import ImageState, Reason, StoredImage

__all__ = ["ImageFilter", "of_user", "page"]

PLACES = 64
"""Places that one statement looks into; SQLite takes at most 500 in one."""


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """Which images a page shows. ``None`` is any."""

    job_id: str | None = None
    dataset_id: str | None = None
    state: ImageState | None = None
    reason: Reason | None = None
    source: str | None = None
    label: str | None = None
    split: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The filter as SQL."""
        return [tables.images.c[field.name] == value for field in fields(self) if (value := getattr(self, field.name)) is not None]


def of_user(user_id: str | None) -> list[ColumnElement[bool]]:
    """The condition that an image is in one of a user's datasets; for the few rows that something else finds."""
    if user_id is None:
        return []
    return [tables.images.c.dataset_id.in_(select(tables.datasets.c.id).where(tables.datasets.c.user_id == user_id))]


async def page(
    db: Database, wanted: ImageFilter, *, user_id: str | None = None, limit: int = 50, cursor: str | None = None
) -> PageOf[StoredImage]:
    """Images by id, oldest first."""
    limit = max(1, min(limit, paging.MAX_LIMIT))
    last_id = paging.decode(cursor, int)[0] if cursor is not None else None
    rows: list[StoredImage] = []
    async with db.read() as connection:
        places = await _places(connection, wanted, user_id)
        for start in range(0, len(places), PLACES):
            query = paging.first_of(STORED, places[start : start + PLACES], last_id=last_id, limit=limit + 1)
            rows += [as_image(row) for row in (await connection.execute(query)).all()]
    rows = sorted(rows, key=lambda image: image.id)[: limit + 1]
    return PageOf(rows[:limit], paging.encode(rows[limit - 1].id) if len(rows) > limit else None)


async def _places(connection: Connection, wanted: ImageFilter, user_id: str | None) -> list[Place]:
    """Where the wanted images lie in the order of their ids: each place is a range of one index, and no image is in two."""
    columns = tables.images.c
    narrowed = (replace(wanted, dataset_id=None) if wanted.job_id else wanted).conditions()
    if (user_id, wanted.dataset_id, wanted.job_id, wanted.state, wanted.reason) == (None,) * 5:
        return [narrowed]  # by the primary key: without a filter every row is one
    datasets = await _datasets(connection, wanted, user_id)
    if wanted.reason is not None or (wanted.source is not None and wanted.state is None):
        return [[columns.dataset_id == dataset, *narrowed] for dataset in datasets]
    states = [wanted.state] if wanted.state is not None else list(ImageState)
    scopes = [[columns.dataset_id == dataset] for dataset in datasets] if wanted.job_id is None else [[]] * len(datasets)
    return [[*scope, columns.state == state, *narrowed] for scope in scopes for state in states]


async def _datasets(connection: Connection, wanted: ImageFilter, user_id: str | None) -> Sequence[str]:
    """The datasets that may hold what is wanted; none where it is somebody else's."""
    columns = tables.datasets.c
    query = select(columns.id)
    if wanted.job_id is not None:
        query = query.join(tables.jobs).where(tables.jobs.c.id == wanted.job_id)
    if wanted.dataset_id is not None:
        query = query.where(columns.id == wanted.dataset_id)
    if user_id is not None:
        query = query.where(columns.user_id == user_id)
    return [row.id for row in (await connection.execute(query)).all()]
