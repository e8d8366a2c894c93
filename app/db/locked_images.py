"""Queries on the images of a rebuild: rows as a lock has them, those that are kept in the end, and those that differ or lack."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, or_, select, update

from app.db import images, offers, tables
from app.db.engine import Connection, Database, db_now
from app.domain import ImageState, Reason, StoredImage

__all__ = ["add", "count_kept", "count_other_forms", "keep_valid", "unlike_lock"]


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
    return len(inserted)


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
    differs = or_(columns.state != ImageState.KEPT, columns.reason == Reason.CHANGED)
    query = select(*images.STORED).where(columns.dataset_id == dataset_id, differs).order_by(columns.id).limit(limit)
    async with db.read() as connection:
        return [images.as_image(row) for row in (await connection.execute(query)).all()]
