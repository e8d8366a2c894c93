"""Queries on what people decided about images. A decision is a row that stays; the newest one that holds is also on the image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import insert, select, update

from app.db import images, paging, tables
from app.db.engine import Connection, Database, db_now
from app.db.rows import PageOf, Review
from app.domain import ReviewAction, StoredImage

__all__ = ["DECIDED", "NewReview", "add", "lock_dataset", "lock_images", "of_batch", "of_image", "page", "reviewed_in_batch"]

DECIDED: Final = (
    *("state", "reason", "detail", "evidence", "label", "labels", "split", "duplicate_of"),
    *("reviewed", "reviewed_by", "reviewed_at", "reviewed_label", "review_id"),
)
"""Columns of an image that a decision may change."""


@dataclass(frozen=True, slots=True)
class NewReview:
    """A decision about an image.

    Attributes:
        changes: columns among `DECIDED`, without those that say when and by which row it was reviewed.
        undoes: the decision that it takes back, whose columns it restores as they are.
    """

    image: StoredImage
    changes: Mapping[str, Any]
    undoes: int | None = None


async def lock_dataset(connection: Connection, dataset_id: str) -> None:
    """Lock the row of a dataset, so that no job on it is created before the end of this transaction."""
    await connection.execute(select(tables.datasets.c.id).where(tables.datasets.c.id == dataset_id).with_for_update())


async def lock_images(connection: Connection, dataset_id: str, ids: Sequence[int]) -> list[StoredImage]:
    """Return those of these images that the dataset has, by id; nobody changes them before the end of this transaction."""
    c = tables.images.c
    query = select(*images.STORED).where(c.id.in_(ids), c.dataset_id == dataset_id).order_by(c.id).with_for_update()
    return [images.as_image(row) for row in (await connection.execute(query)).all()]


async def add(
    connection: Connection, decided: Sequence[NewReview], *, user_id: str, batch_id: str, action: ReviewAction, note: str | None = None
) -> None:
    """Insert decisions about images that are locked, and change their rows."""
    if not decided:
        return
    now = float((await connection.execute(select(db_now().label("now")))).scalar_one())
    common = {"user_id": user_id, "batch_id": batch_id, "action": action.value, "note": note, "created_at": now}
    own = {"reviewed_by": user_id, "reviewed_at": now}
    rows: list[dict[str, Any]] = []
    for new in decided:
        before = _columns(new.image)
        after = before | ({} if new.undoes else own) | dict(new.changes)
        ids = {"dataset_id": new.image.dataset_id, "image_id": new.image.id, "undoes": new.undoes}
        rows.append(common | ids | {"before": before | {"sha256": new.image.sha256}, "after": after})
    made = (await connection.execute(insert(tables.reviews).returning(tables.reviews.c.id, tables.reviews.c.image_id), rows)).all()
    review_ids = {row.image_id: row.id for row in made}
    newest = [{"id": row["image_id"]} | ({} if row["undoes"] else {"review_id": review_ids[row["image_id"]]}) for row in rows]
    await images.update_many(connection, [row["after"] | columns for row, columns in zip(rows, newest, strict=True)])
    for undone, by in [(row["undoes"], review_ids[row["image_id"]]) for row in rows if row["undoes"]]:
        await connection.execute(update(tables.reviews).where(tables.reviews.c.id == undone).values(undone_by=by))


def _columns(image: StoredImage) -> dict[str, Any]:
    return {name: getattr(image, name) for name in DECIDED}


async def of_batch(connection: Connection, batch_id: str, *, after: int = 0, limit: int = 1000) -> list[Review]:
    """Return decisions of a batch by id, those after one; call it repeatedly to read a batch of any size."""
    c = tables.reviews.c
    query = select(tables.reviews).where(c.batch_id == batch_id, c.id > after).order_by(c.id).limit(limit)
    return [Review(**row._mapping) for row in (await connection.execute(query)).all()]


async def reviewed_in_batch(connection: Connection, batch_id: str, image_ids: Sequence[int]) -> set[int]:
    """Return those of these images that a batch has decided already."""
    c = tables.reviews.c
    query = select(c.image_id).where(c.batch_id == batch_id, c.image_id.in_(image_ids))
    return {row.image_id for row in (await connection.execute(query)).all()}


async def of_image(db: Database, image_id: int) -> list[Review]:
    """Return all decisions about an image, the oldest first."""
    c = tables.reviews.c
    async with db.read() as connection:
        rows = (await connection.execute(select(tables.reviews).where(c.image_id == image_id).order_by(c.id))).all()
    return [Review(**row._mapping) for row in rows]


async def page(db: Database, dataset_id: str, *, limit: int = 50, cursor: str | None = None) -> PageOf[Review]:
    """Return the decisions about the images of a dataset, newest first."""
    limit = max(1, min(limit, paging.MAX_LIMIT))
    c = tables.reviews.c
    query = select(tables.reviews).where(c.dataset_id == dataset_id).order_by(c.id.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(c.id < paging.decode(cursor, int)[0])
    async with db.read() as connection:
        found = [Review(**row._mapping) for row in (await connection.execute(query)).all()]
    return PageOf(found[:limit], paging.encode(found[limit - 1].id) if len(found) > limit else None)
