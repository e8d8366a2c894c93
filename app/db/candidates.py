"""Queries on the candidates of a build with a target: what each search has given, and which spare candidates are fetched."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select, update

from app.db import tables
from app.db.engine import Connection, db_now, new_id
from app.domain import ImageState, Reason
from app.job_states import OPEN_UNIT_STATES, UnitKind

__all__ = ["SearchCount", "counts_by_search", "release_spare", "still_wanted"]


@dataclass(frozen=True, slots=True)
class SearchCount:
    """Number of images of one search in one state with one reason."""

    search_id: str | None
    state: ImageState
    reason: Reason | None
    count: int


async def counts_by_search(connection: Connection, dataset_id: str) -> list[SearchCount]:
    """Count the images of a dataset by search, state and reason, through its jobs: their index has all columns."""
    c = tables.images.c
    keys = (c.search_id, c.state, c.reason)
    of_dataset = select(tables.jobs.c.id).where(tables.jobs.c.dataset_id == dataset_id)
    query = select(*keys, func.count().label("number")).where(c.job_id.in_(of_dataset)).group_by(*keys)
    rows = (await connection.execute(query)).all()
    return [SearchCount(row.search_id, ImageState(row.state), Reason(row.reason) if row.reason else None, row.number) for row in rows]


async def still_wanted(connection: Connection, job_id: str) -> dict[str, int]:
    """Return by search how many candidates the open search units of a job are still to release or find."""
    c = tables.units.c
    query = select(c.payload).where(c.job_id == job_id, c.state.in_(OPEN_UNIT_STATES), c.kind == UnitKind.SEARCH)
    wanted: dict[str, int] = {}
    for row in (await connection.execute(query)).all():
        search_id = str(row.payload["search_id"])
        wanted[search_id] = wanted.get(search_id, 0) + int(row.payload.get("want") or 0)
    return wanted


async def release_spare(connection: Connection, job_id: str, search_id: str, *, limit: int, size: int) -> dict[str, int]:
    """Put up to ``limit`` spare candidates of a search into new chunks, in the order of their source; return the size of each chunk."""
    c = tables.images.c
    is_spare = (c.job_id == job_id, c.state == ImageState.SPARE, c.search_id == search_id)
    ids = [row.id for row in (await connection.execute(select(c.id).where(*is_spare).order_by(c.id).limit(limit))).all()]
    chunks = {new_id("chunk"): ids[start : start + size] for start in range(0, len(ids), size)}
    for chunk_id, members in chunks.items():
        await _set_pending(connection, chunk_id, members)
    return {chunk_id: len(members) for chunk_id, members in chunks.items()}


async def _set_pending(connection: Connection, chunk_id: str, image_ids: Iterable[int]) -> None:
    values = {"chunk_id": chunk_id, "state": ImageState.PENDING, "reason": None, "updated_at": db_now()}
    await connection.execute(update(tables.images).where(tables.images.c.id.in_(list(image_ids))).values(**values))
