"""Queries on the candidates of a build with a target: what each search has given, and which spare candidates are fetched."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select, update

from app.db import tables
from app.db.engine import Connection, db_now, new_id
from app.db.images import BATCH
from app.domain import ImageState, Reason
from app.job_states import OPEN_UNIT_STATES, UnitKind

__all__ = ["SearchCount", "counts_by_search", "put_back", "release_spare", "still_wanted"]

UNNEEDED = "the target was met without it"


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
    """Put up to ``limit`` spare candidates of a search into new chunks, in the order of their source; return the size of each chunk.

    Those whose host is still closed come last, and wait for it.
    """
    c = tables.images.c
    is_spare = (c.job_id == job_id, c.state == ImageState.SPARE, c.search_id == search_id)
    ids = [row.id for row in (await connection.execute(select(c.id).where(*is_spare).order_by(_waits_until(), c.id).limit(limit))).all()]
    chunks = {new_id("chunk"): ids[start : start + size] for start in range(0, len(ids), size)}
    for chunk_id, members in chunks.items():
        await _set_pending(connection, chunk_id, members)
    return {chunk_id: len(members) for chunk_id, members in chunks.items()}


async def _set_pending(connection: Connection, chunk_id: str, image_ids: Iterable[int]) -> None:
    is_due = _waits_until() == 0.0
    values = {
        "chunk_id": chunk_id,
        "state": case((is_due, ImageState.PENDING), else_=ImageState.DEFERRED),
        "reason": case((is_due, None), else_=Reason.HOST_UNAVAILABLE),
    }
    await connection.execute(
        update(tables.images).where(tables.images.c.id.in_(list(image_ids))).values(**values, detail=None, updated_at=db_now())
    )


def _waits_until() -> Any:
    """When an image may be requested, Unix seconds; 0 where it may be now."""
    not_before = tables.images.c.not_before
    return case((not_before > db_now(), not_before), else_=0.0)


async def put_back(connection: Connection, chunk_ids: Sequence[str]) -> int:
    """Make the candidates of these chunks that are not fetched yet spare, since the target is met without them; return how many."""
    c = tables.images.c
    values = {"state": ImageState.SPARE, "reason": Reason.NOT_REQUESTED, "detail": UNNEEDED, "evidence": None, "chunk_id": None}
    number = 0
    for start in range(0, len(chunk_ids), BATCH):
        open_ones = (c.chunk_id.in_(chunk_ids[start : start + BATCH]), c.state.in_([ImageState.PENDING, ImageState.DEFERRED]))
        number += (await connection.execute(update(tables.images).where(*open_ones).values(**values, updated_at=db_now()))).rowcount
    return number
