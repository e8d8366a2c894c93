"""Queries for a merge of datasets: one URL is in several of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select

from app.db import tables
from app.db.engine import Connection
from app.domain import ImageState
from app.review_actions import Reviewed

__all__ = ["LabelPair", "drop_unkept", "other_labels"]


@dataclass(frozen=True, slots=True)
class LabelPair:
    """A kept image, and the other label that a dataset has for its URL."""

    image_id: int
    label: str | None
    other: str | None


async def drop_unkept(connection: Connection, target_id: str, source_id: str) -> int:
    """Delete the images of the target that are not kept where the source keeps an image of the same URL; return how many.

    The copy of the source takes their place: of one URL the image that is kept wins, whatever the order of the datasets.
    """
    c, kept = tables.images.c, tables.images.alias("kept")
    is_kept = select(kept.c.url_key).where(kept.c.dataset_id == source_id, kept.c.state == ImageState.KEPT)
    lost = delete(tables.images).where(c.dataset_id == target_id, c.state != ImageState.KEPT, c.url_key.in_(is_kept))
    return (await connection.execute(lost)).rowcount


async def other_labels(connection: Connection, target_id: str, source_ids: Sequence[str]) -> list[LabelPair]:
    """Return the images of the target for whose URL a source keeps another label than the one that was copied; case makes no difference.

    A label that a person gave, and that of an image that a person keeps, stands.
    """
    new, old = tables.images.alias("new"), tables.images.alias("old")
    label, other = (func.lower(func.coalesce(table.c.label, "")) for table in (new, old))
    query = (
        select(new.c.id, new.c.label, old.c.label.label("other"))
        .join_from(new, old, old.c.url_key == new.c.url_key)
        .where(new.c.dataset_id == target_id, new.c.copied_from != old.c.id, new.c.state.in_([ImageState.KEPT, ImageState.VALID]))
        .where(old.c.dataset_id.in_(list(source_ids)), old.c.state == ImageState.KEPT, label != other)
        .where(new.c.reviewed.is_distinct_from(Reviewed.KEEP), new.c.reviewed_label.is_(None))
        .order_by(new.c.id, old.c.id)
    )
    return [LabelPair(row.id, row.label, row.other) for row in (await connection.execute(query)).all()]
