"""Queries on earlier fetches: what the same user's other rows know of the URLs of a chunk, and how many images of a dataset used it."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, bindparam, func, or_, select

from app.db import jobs, tables
from app.db.engine import Connection, Database
from app.db.funnel import PASSED_FETCH
from app.domain import ImageState, Reason, Reuse

__all__ = ["OF_BYTES", "EarlierFetch", "of_chunk", "reuse_figures"]

REFUSALS = (Reason.ROBOTS, Reason.OPT_OUT)
"""Reasons that the site gave: bytes from before a refusal are not used."""

MOST = 3
"""Rows read for one URL. A list that was built a hundred times costs no more than one built thrice."""


@dataclass(frozen=True, slots=True)
class EarlierFetch:
    """What another row says of the same URL: it has bytes, or its site refused.

    Attributes:
        at: when the bytes came or were confirmed, or the site refused, Unix seconds.
        job_id: the job whose request brought the bytes, or that met the refusal.
        exempt_networks: ``fetch.allow_networks`` of the request, separated by spaces; None where it is not known.
    """

    image_id: int
    url: str
    state: ImageState
    at: float
    job_id: str
    sha256: str | None = None
    size_bytes: int = 0
    media_type: str | None = None
    final_url: str | None = None
    robots: str | None = None
    opt_out: str | None = None
    exempt_networks: str | None = None
    etag: str | None = None
    last_modified: str | None = None


async def of_chunk(connection: Connection, chunk_id: str, states: Iterable[ImageState], *, user_id: str) -> dict[int, list[EarlierFetch]]:
    """Return by image id what the user's other rows with its URL say, the newest first; one statement for a chunk."""
    rows = (await connection.execute(_of_chunk(tuple(states)), {"chunk": chunk_id, "user": user_id})).all()
    found: dict[int, list[EarlierFetch]] = {}
    for row in rows:
        found.setdefault(row.wanted_by, []).append(_as_fetch(row))
    return found


@functools.cache
def _of_chunk(states: tuple[ImageState, ...]) -> Any:
    """Built once: that takes longer than the database needs for a chunk of a first build."""
    mine, other = tables.images.alias("mine"), tables.images.alias("other")
    has_bytes = and_(other.c.state.in_(PASSED_FETCH), other.c.sha256.is_not(None), other.c.fetched_at.is_not(None))
    is_refusal = and_(other.c.state == ImageState.FAILED, other.c.reason.in_(REFUSALS))
    at = func.coalesce(other.c.fetched_at, other.c.updated_at, 0.0)
    place = func.row_number().over(partition_by=mine.c.id, order_by=[at.desc(), other.c.id.desc()])
    job_id = func.coalesce(other.c.reused_from, other.c.job_id).label("job_id")
    columns = (mine.c.id.label("wanted_by"), place.label("place"), at.label("at"), job_id, other.c.id)
    is_users = and_(tables.datasets.c.id == other.c.dataset_id, tables.datasets.c.user_id == bindparam("user"))
    ranked = (
        select(*columns, *(other.c[name] for name in _COPIED))
        .join_from(mine, other, and_(other.c.url_key == mine.c.url_key, other.c.id != mine.c.id))
        .join(tables.datasets, is_users)
        .where(mine.c.chunk_id == bindparam("chunk"), mine.c.state.in_(states), or_(has_bytes, is_refusal))
        .subquery()
    )
    return select(ranked).where(ranked.c.place <= MOST).order_by(ranked.c.wanted_by, ranked.c.place)


OF_BYTES = ("sha256", "size_bytes", "media_type", "final_url", "robots", "opt_out", "exempt_networks", "etag", "last_modified")
"""Columns of an image that say what its bytes are and what was decided about their request."""

_COPIED = ("url", "state", *OF_BYTES)


def _as_fetch(row: Any) -> EarlierFetch:
    values = {name: getattr(row, name) for name in _COPIED}
    values |= {"state": ImageState(row.state), "size_bytes": row.size_bytes or 0}
    return EarlierFetch(image_id=row.id, at=row.at, job_id=row.job_id, **values)


async def reuse_figures(db: Database, dataset_id: str) -> tuple[int, int]:
    """Return for a dataset (images whose stored bytes were used without a request, images whose stored bytes a 304 confirmed)."""
    columns = tables.images.c
    of_dataset = columns.job_id.in_(jobs.on_dataset(dataset_id))
    query = select(columns.reuse, func.count().label("number")).where(of_dataset, columns.reuse.is_not(None))
    async with db.read() as connection:
        rows = {row.reuse: row.number for row in (await connection.execute(query.group_by(columns.reuse))).all()}
    return rows.get(Reuse.STORED, 0), rows.get(Reuse.NOT_MODIFIED, 0)
