"""What the columns of a gallery are made of: pages of a dataset's rows, and a sign of whether they have changed.

:mod:`app.gallery` keeps the columns; the rows that somebody looks at are read here, by id.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import Row, Text, cast, func, select

from app.db import paging, tables, tombstones
from app.db.engine import Database
from app.db.images import STORED, as_image
from app.domain import ImageState, StoredImage

__all__ = ["COLUMNS", "by_ids", "fingerprint", "has_more_than", "pages"]

PAGE = 2_000
"""Rows of one statement: a few milliseconds of the event loop."""

_IMAGES = tables.images.c

COLUMNS = (
    *("id", "state", "reason", "label", "split", "source", "license", "media_type", "width", "height", "size_bytes", "fetched_at"),
    *("title", "caption", "creator", "url", "reviewed"),
)
"""The columns of a page by name; the text of ``measures`` follows them."""

_IN_ORDER = (
    *(ImageState.SPARE, ImageState.PENDING, ImageState.DEFERRED, ImageState.FETCHED, ImageState.VALID),
    *(ImageState.FAILED, ImageState.REJECTED, ImageState.DUPLICATE, ImageState.KEPT, ImageState.TOMBSTONED),
)
"""An image that changes while the pages are read moves on to a state that is read later, so it is seen twice rather than never."""


async def pages(db: Database, dataset_id: str, *, size: int = PAGE) -> AsyncIterator[Sequence[Row[Any]]]:
    """Yield all images of a dataset, by state and id; each page has a transaction of its own.

    An image may come again, with what it has become; the last time counts.
    """
    wanted = [_IMAGES[name] for name in COLUMNS]
    measures = cast(_IMAGES.measures, Text).label("measures")
    for state in _IN_ORDER:
        query = select(*wanted, measures).where(_IMAGES.dataset_id == dataset_id, _IMAGES.state == state).order_by(_IMAGES.id).limit(size)
        last, is_whole = 0, True
        while is_whole:
            async with db.read() as connection:
                rows = (await connection.execute(query.where(_IMAGES.id > last))).all()
            if rows:
                yield rows
                last = rows[-1].id
            is_whole = len(rows) == size


async def fingerprint(db: Database, dataset_id: str) -> str:
    """Return a digest that differs once images of a dataset have changed: of its jobs and their logs, reviews and removals."""
    j, e, t, r = tables.jobs.c, tables.events.c, tables.tombstones.c, tables.reviews.c
    newest = select(func.max(e.id)).where(e.job_id == j.id).scalar_subquery()
    query = select(j.id, j.state, j.open_units, j.rounds, j.finished_at, newest).where(j.dataset_id == dataset_id).order_by(j.id)
    owner = select(tables.datasets.c.user_id).where(tables.datasets.c.id == dataset_id).scalar_subquery()
    removed = select(func.max(t.created_at)).where(t.user_id.in_([owner, tombstones.EVERYBODY]))
    reviewed = select(func.max(r.id)).where(r.dataset_id == dataset_id)
    async with db.read() as connection:
        found = [tuple(row) for row in (await connection.execute(query)).all()]
        latest = [(await connection.execute(one)).scalar_one() for one in (removed, reviewed)]
    return hashlib.sha256(repr((found, latest)).encode()).hexdigest()


async def has_more_than(db: Database, dataset_id: str, number: int) -> bool:
    """Whether a dataset has more images than this; reads so many entries of an index."""
    some = select(_IMAGES.id).where(_IMAGES.dataset_id == dataset_id).limit(number + 1).subquery()
    async with db.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(some))).scalar_one()) > number


async def by_ids(db: Database, dataset_id: str, image_ids: Sequence[int]) -> list[StoredImage]:
    """Return images of a dataset in the order of these ids; those that are gone are left out."""
    query = select(*STORED).where(_IMAGES.id.in_(image_ids[: paging.MAX_LIMIT]))  # with the dataset SQLite would read all of its rows
    async with db.read() as connection:
        found = {row.id: as_image(row) for row in (await connection.execute(query)).all() if row.dataset_id == dataset_id}
    return [found[image_id] for image_id in image_ids if image_id in found]
