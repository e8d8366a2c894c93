"""Queries on the candidates of a build with a target: what each search has given, and which spare candidates are fetched.

For a retry, what failed in an earlier job for one of its reasons is spare as well.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, func, or_, select, update

from app.db import jobs, tables
from app.db.engine import Connection, db_now, new_id
from app.db.images import BATCH
from app.db.rows import Job, Search
from app.domain import ImageState, Reason
from app.job_states import OPEN_UNIT_STATES, UnitKind

__all__ = ["SearchCount", "Wanted", "by_keyword", "counts_by_search", "put_back", "release_spare", "still_wanted"]

UNNEEDED = "the target was met without it"


@dataclass(frozen=True, slots=True)
class SearchCount:
    """Number of images of one search in one state with one reason."""

    search_id: str | None
    state: ImageState
    reason: Reason | None
    count: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Candidates that a search is to release or find: now, and later, since its source asked to be left alone for a while."""

    now: int = 0
    later: int = 0


def by_keyword(searches: Iterable[Search], keywords: Sequence[str]) -> dict[str | None, list[Search]]:
    """Group searches by the keyword that they are for, in the order of the keywords of their job; a list counts as one, ``None``."""
    groups: dict[str | None, list[Search]] = {keyword: [] for keyword in keywords} or {None: []}
    for search in searches:
        groups[search.keyword_among(keywords)].append(search)
    return groups


async def counts_by_search(connection: Connection, dataset_id: str, *, seen_by: Job | None = None) -> list[SearchCount]:
    """Count the images of a dataset by search, state and reason.

    Args:
        seen_by: if this job is a retry, what it may fetch again is counted as spare.
    """
    c = tables.images.c
    keys = (c.job_id, c.search_id, c.state, c.reason)
    query = select(*keys, func.count().label("number")).where(c.job_id.in_(jobs.on_dataset(dataset_id))).group_by(*keys)
    retried = frozenset() if seen_by is None else _retried_by(seen_by)
    found: Counter[tuple[str | None, ImageState, Reason | None]] = Counter()
    for row in (await connection.execute(query)).all():
        state, reason = ImageState(row.state), Reason(row.reason) if row.reason else None
        may_retry = seen_by is not None and row.job_id != seen_by.id and state is ImageState.FAILED and reason in retried
        found[row.search_id, ImageState.SPARE if may_retry else state, reason] += row.number
    return [SearchCount(*key, number) for key, number in found.items()]


def _retried_by(job: Job) -> frozenset[Reason]:
    """The reasons that a retry covers; none for any other job."""
    return frozenset(map(Reason, job.spec.get("retry_reasons") or ()))


async def still_wanted(connection: Connection, job_id: str) -> dict[str, Wanted]:
    """Return by search how many candidates the open search units of a job are still to release or find."""
    c = tables.units.c
    query = select(c.payload, (c.not_before > db_now()).label("waits"))
    query = query.where(c.job_id == job_id, c.state.in_(OPEN_UNIT_STATES), c.kind == UnitKind.SEARCH)
    wanted: dict[str, Wanted] = {}
    for row in (await connection.execute(query)).all():
        search_id, want = str(row.payload["search_id"]), int(row.payload.get("want") or 0)
        before = wanted.get(search_id, Wanted())
        wanted[search_id] = Wanted(before.now + (0 if row.waits else want), before.later + (want if row.waits else 0))
    return wanted


async def release_spare(connection: Connection, job: Job, search_id: str, *, limit: int, size: int) -> dict[str, int]:
    """Put up to ``limit`` spare candidates of a search into new chunks of a job, in the order of their source; return each chunk's size.

    What a retry fetches again comes first; those whose host is still closed come last, and wait for it.
    """
    c = tables.images.c
    may_retry = and_(c.state == ImageState.FAILED, c.reason.in_(sorted(_retried_by(job))), c.job_id != job.id)
    of_search = (c.job_id.in_(jobs.on_dataset(job.dataset_id)), c.search_id == search_id)
    query = select(c.id).where(*of_search, or_(c.state == ImageState.SPARE, may_retry))
    order = (case((c.state == ImageState.FAILED, 0), else_=1), _waits_until(), c.id)
    ids = [row.id for row in (await connection.execute(query.order_by(*order).limit(limit))).all()]
    chunks = {new_id("chunk"): ids[start : start + size] for start in range(0, len(ids), size)}
    for chunk_id, members in chunks.items():
        await _set_pending(connection, job.id, chunk_id, members)
    return {chunk_id: len(members) for chunk_id, members in chunks.items()}


async def _set_pending(connection: Connection, job_id: str, chunk_id: str, image_ids: Iterable[int]) -> None:
    c = tables.images.c
    is_due = _waits_until() == 0.0
    values = {
        "job_id": job_id,
        "chunk_id": chunk_id,
        "state": case((is_due, ImageState.PENDING), else_=ImageState.DEFERRED),
        "reason": case((is_due, None), else_=Reason.HOST_UNAVAILABLE),
        "detail": None,
        "evidence": None,
        "deferred_at": case((c.job_id == job_id, c.deferred_at), else_=None),
    }
    await connection.execute(update(tables.images).where(c.id.in_(list(image_ids))).values(**values, updated_at=db_now()))


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
