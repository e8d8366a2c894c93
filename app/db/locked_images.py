"""Queries on the images of a rebuild: rows as a lock has them, those that are kept in the end, and those that differ or lack."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import func, insert, or_, select, update

from app.db import images, offers, paging, tables
from app.db.engine import Connection, Database, db_now
from app.domain import ImageState, Reason, StoredImage
from app.review_actions import ReviewAction, Reviewed

__all__ = [
    "Rejected",
    "add",
    "add_rejected",
    "count_kept",
    "count_other_forms",
    "is_reviewed",
    "keep_valid",
    "rejected",
    "unlike_lock",
]


async def add(
    connection: Connection, *, dataset_id: str, job_id: str, search_id: str, chunks: Mapping[str, Sequence[Mapping[str, Any]]]
) -> int:
    """Insert the next images of a lock with their chunks; return how many are new.

    The order of their ids is that of the lock, which is the order of every export.

    Args:
        chunks: columns of images by chunk id.
    """
    common = {"dataset_id": dataset_id, "job_id": job_id, "search_id": search_id}
    rows = [dict(values) | common | {"chunk_id": chunk_id} for chunk_id, part in chunks.items() for values in part]
    inserted = [
        row
        for start in range(0, len(rows), images.BATCH)
        for row in (await connection.execute(images.insert_new(connection), rows[start : start + images.BATCH])).all()
    ]
    names = {row["url_key"]: (row["stated"] or {}).get("identities") or () for row in rows}
    await offers.add_identities(connection, dataset_id, [(row.id, names[row.url_key]) for row in inserted])
    await images.add_chunks(connection, job_id, {chunk_id: len(part) for chunk_id, part in chunks.items()})
    await _add_history(connection, dataset_id, {row["url_key"]: row for row in rows if row.get("reviewed")}, inserted)
    return len(inserted)


@dataclass(frozen=True, slots=True)
class Rejected:
    """An image that a person took out, as a lock has it."""

    id: int
    url: str
    source: str
    sha256: str
    reviewed_at: float
    width: int | None
    height: int | None
    phash: str | None
    colour_grid: str | None


async def rejected(db: Database, dataset_id: str, *, page: int = 1_000) -> AsyncIterator[list[Rejected]]:
    """Yield pages of the images with bytes that a person took out, by id."""
    c = tables.images.c
    query = select(*(c[field.name] for field in fields(Rejected))).where(
        c.dataset_id == dataset_id, c.reviewed == Reviewed.REJECT, c.state == ImageState.REJECTED, c.sha256.is_not(None)
    )
    async with db.read() as connection:
        async for rows in paging.pages_by_key(connection, query, c.id, page):
            yield [Rejected(**row._mapping) for row in rows]


async def is_reviewed(connection: Connection, dataset_id: str) -> bool:
    """Whether a person decided about an image of a dataset that is kept or out."""
    c = tables.images.c
    states = (ImageState.KEPT, ImageState.REJECTED)
    query = select(c.id).where(c.dataset_id == dataset_id, c.reviewed.is_not(None), c.state.in_(states)).limit(1)
    return (await connection.execute(query)).first() is not None


async def add_rejected(connection: Connection, *, dataset_id: str, job_id: str, search_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert images that a person took out; they are never fetched.

    Args:
        rows: columns of images.
    """
    common = {"dataset_id": dataset_id, "job_id": job_id, "search_id": search_id, "chunk_id": None}
    known = {"state": ImageState.REJECTED, "reason": Reason.REJECTED_BY_REVIEWER, "reviewed": Reviewed.REJECT}
    values = [dict(row) | common | known for row in rows]
    inserted = [
        row
        for start in range(0, len(values), images.BATCH)
        for row in (await connection.execute(images.insert_new(connection), values[start : start + images.BATCH])).all()
    ]
    await _add_history(connection, dataset_id, {row["url_key"]: row for row in values}, inserted)


async def _add_history(connection: Connection, dataset_id: str, reviewed: Mapping[str, Mapping[str, Any]], inserted: Sequence[Any]) -> None:
    """Say in the history of images what their lock says that a person decided."""
    action = {Reviewed.REJECT: ReviewAction.REJECT, Reviewed.RELABEL: ReviewAction.RELABEL}
    decided = [(row.id, reviewed[row.url_key]) for row in inserted if row.url_key in reviewed]
    rows = [
        {
            "dataset_id": dataset_id,
            "image_id": image_id,
            "action": action.get(Reviewed(values["reviewed"]), ReviewAction.KEEP).value,
            "before": {},
            "after": {"state": values["state"] if values["reviewed"] == Reviewed.REJECT else ImageState.KEPT, "label": values.get("label")},
            "created_at": values["reviewed_at"],
        }
        for image_id, values in decided
    ]
    if rows:
        await connection.execute(insert(tables.reviews), rows)


async def keep_valid(connection: Connection, dataset_id: str) -> int:
    """Keep every valid image, with the label and the split that it has; return how many are kept."""
    columns = tables.images.c
    of_dataset = columns.dataset_id == dataset_id
    valid = update(tables.images).where(of_dataset, columns.state == ImageState.VALID)
    await connection.execute(valid.values(state=ImageState.KEPT, updated_at=db_now()))
    kept = select(func.count()).where(of_dataset, columns.state == ImageState.KEPT)
    return int((await connection.execute(kept)).scalar_one())


async def count_kept(connection: Connection, dataset_id: str) -> tuple[int, int]:
    """Return how many images of a dataset are kept, and their size in bytes as they were fetched."""
    columns = tables.images.c
    query = select(func.count().label("images"), func.coalesce(func.sum(columns.size_bytes), 0).label("size_bytes"))
    row = (await connection.execute(query.where(columns.dataset_id == dataset_id, columns.state == ImageState.KEPT))).one()
    return int(row.images), int(row.size_bytes)


async def count_other_forms(db: Database, dataset_id: str) -> int:
    """Count the kept images whose form is another than the lock's."""
    columns = tables.images.c
    is_other = (columns.dataset_id == dataset_id, columns.state == ImageState.KEPT, columns.reason == Reason.CHANGED)
    async with db.read() as connection:
        return int((await connection.execute(select(func.count()).where(*is_other))).scalar_one())


async def unlike_lock(db: Database, dataset_id: str, *, limit: int) -> list[StoredImage]:
    """Return the images that are not kept, or kept in another form, in the order of the lock."""
    columns = tables.images.c
    differs = or_(columns.state != ImageState.KEPT, columns.reason == Reason.CHANGED) & columns.reviewed.is_distinct_from(Reviewed.REJECT)
    query = select(*images.STORED).where(columns.dataset_id == dataset_id, differs).order_by(columns.id).limit(limit)
    async with db.read() as connection:
        return [images.as_image(row) for row in (await connection.execute(query)).all()]
