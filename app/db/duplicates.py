"""Queries on groups of duplicates: an image and those that repeat it, by the index of what repeats what."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, func, select

from app.db import images, paging, tables
from app.db.engine import Connection, Database
from app.db.rows import PageOf
from app.domain import ImageState, StoredImage

__all__ = ["MOST_MEMBERS", "Member", "distance", "members", "page"]

MOST_MEMBERS: Final = 50
"""Members of a group that a page names; all are counted."""


@dataclass(frozen=True, slots=True)
class Member:
    """An image that repeats another.

    Attributes:
        distance: bits of 64 in which the hashes differ; None where either is missing.
    """

    image: StoredImage
    is_exact: bool
    distance: int | None


def distance(one: str | None, other: str | None) -> int | None:
    """Bits in which two hashes differ; None where either is missing."""
    return (int(one, 16) ^ int(other, 16)).bit_count() if one and other else None


def _are_members(dataset_id: str) -> list[ColumnElement[bool]]:
    c = tables.images.c
    return [c.dataset_id == dataset_id, c.duplicate_of.is_not(None), c.state == ImageState.DUPLICATE]


async def page(
    db: Database, dataset_id: str, *, limit: int = 50, cursor: str | None = None
) -> PageOf[tuple[StoredImage, Sequence[Member], int]]:
    """Return groups by the id of the image that is repeated: that image, the first of its members by id, and the number of all."""
    limit = max(1, min(limit, paging.MAX_LIMIT))
    c = tables.images.c
    query = select(c.duplicate_of, func.count().label("number")).where(*_are_members(dataset_id)).group_by(c.duplicate_of)
    if cursor is not None:
        query = query.where(c.duplicate_of > paging.decode(cursor, int)[0])
    async with db.read() as connection:
        rows = (await connection.execute(query.order_by(c.duplicate_of).limit(limit + 1))).all()
        numbers = {row.duplicate_of: row.number for row in rows[:limit]}
        kept = select(*images.STORED).where(c.id.in_(list(numbers)), c.dataset_id == dataset_id).order_by(c.id)
        originals = [images.as_image(row) for row in (await connection.execute(kept)).all()]
        copies = await _copies(connection, dataset_id, list(numbers))
    found: list[tuple[StoredImage, Sequence[Member], int]] = [
        (original, [_member(copy, original) for copy in copies if copy.duplicate_of == original.id], numbers[original.id])
        for original in originals
    ]
    return PageOf(found, paging.encode(rows[limit - 1].duplicate_of) if len(rows) > limit else None)


async def _copies(connection: Connection, dataset_id: str, kept_ids: Sequence[int]) -> list[StoredImage]:
    """The first members of each of these groups."""
    c = tables.images.c
    place: ColumnElement[Any] = func.row_number().over(partition_by=c.duplicate_of, order_by=c.id).label("place")
    ranked = select(c.id, place).where(*_are_members(dataset_id), c.duplicate_of.in_(kept_ids)).subquery()
    query = select(*images.STORED).join(ranked, ranked.c.id == c.id).where(ranked.c.place <= MOST_MEMBERS).order_by(c.id)
    return [images.as_image(row) for row in (await connection.execute(query)).all()]


def _member(copy: StoredImage, original: StoredImage) -> Member:
    return Member(copy, copy.sha256 == original.sha256, distance(copy.phash, original.phash))


async def members(connection: Connection, dataset_id: str, kept_id: int) -> list[StoredImage]:
    """Return all images that repeat one, by id, locked until the end of this transaction."""
    c = tables.images.c
    query = select(*images.STORED).where(*_are_members(dataset_id), c.duplicate_of == kept_id).order_by(c.id).with_for_update()
    return [images.as_image(row) for row in (await connection.execute(query)).all()]
