"""Counts of a dataset's images by licence."""

from dataclasses import dataclass

from sqlalchemy import and_, func, or_, select

from app.db import tables
from app.db.engine import Database
from app.domain import ImageState, Reason

__all__ = ["LicenceCount", "count_by_licence"]


@dataclass(frozen=True, slots=True)
class LicenceCount:
    """Number of images with one licence, as known in one way, from one source.

    Attributes:
        license: its id, or the words of the source where they are not understood; None where nothing is stated.
        confidence: a `app.domain.LicenseConfidence`; None in rows of older versions.
        is_contradicted: whether two statements of these images disagree.
        is_kept: whether they are in the dataset; otherwise their licence refused them.
    """

    license: str | None
    confidence: str | None
    source: str
    is_contradicted: bool
    is_kept: bool
    count: int


async def count_by_licence(db: Database, dataset_id: str) -> list[LicenceCount]:
    """Count the kept images of a dataset, and those that were refused for their licence, the most frequent first."""
    c = tables.images.c
    is_kept, is_contradicted = (c.state == ImageState.KEPT).label("is_kept"), c.license_note.is_not(None).label("is_contradicted")
    keys = (c.license, c.license_confidence, c.source, is_contradicted, is_kept)
    counted = or_(c.state == ImageState.KEPT, and_(c.state == ImageState.REJECTED, c.reason == Reason.LICENCE))
    query = select(*keys, func.count().label("number")).where(c.dataset_id == dataset_id, counted).group_by(*keys)
    async with db.read() as connection:
        rows = (await connection.execute(query.order_by(func.count().desc(), c.license, c.source))).all()
    return [
        LicenceCount(row.license, row.license_confidence, row.source, bool(row.is_contradicted), bool(row.is_kept), row.number)
        for row in rows
    ]
