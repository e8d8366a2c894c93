"""Queries on deferred images: why they wait, and for which hosts."""

import re
from dataclasses import dataclass, replace

from sqlalchemy import func, select

from app.db import tables
from app.db.engine import Database
from app.domain import ImageState

__all__ = ["DeferredHost", "DeferredImages", "deferred_by_reason", "deferred_hosts"]


@dataclass(frozen=True, slots=True)
class DeferredImages:
    """Images deferred for one reason; ``first_at`` and ``last_at`` are when the first and the last are due, Unix seconds."""

    reason: str
    images: int
    first_at: float
    last_at: float


async def deferred_by_reason(db: Database, job_id: str) -> list[DeferredImages]:
    """Return a job's deferred images by reason, most frequent first."""
    columns = tables.images.c
    query = (
        select(
            columns.reason,
            func.count().label("number"),
            func.min(columns.not_before).label("first_at"),
            func.max(columns.not_before).label("last_at"),
        )
        .where(columns.job_id == job_id, columns.state == ImageState.DEFERRED)
        .group_by(columns.reason)
    )
    async with db.read() as connection:
        rows = (await connection.execute(query)).all()
    found = [DeferredImages(row.reason or "unknown", row.number, row.first_at or 0.0, row.last_at or 0.0) for row in rows]
    return sorted(found, key=lambda item: (-item.images, item.reason))


@dataclass(frozen=True, slots=True)
class DeferredHost:
    """A host that deferred images wait for, as its URLs name it; ``until`` is when the last of them is due, Unix seconds."""

    host: str
    images: int
    until: float


_AUTHORITY_END = re.compile(r"[/?#\\]")


async def deferred_hosts(db: Database, job_id: str, *, most: int = 1000) -> list[DeferredHost]:
    """Return the hosts that a job's deferred images wait for, the longest wait first; of the ``most`` images that wait longest."""
    columns = tables.images.c
    query = select(columns.url, columns.not_before).where(columns.job_id == job_id, columns.state == ImageState.DEFERRED)
    async with db.read() as connection:
        rows = (await connection.execute(query.order_by(columns.not_before.desc()).limit(most))).all()
    found: dict[str, DeferredHost] = {}
    for row in rows:
        host = _AUTHORITY_END.split(row.url.partition("://")[2], maxsplit=1)[0].rpartition("@")[2]
        longest = found.get(host) or DeferredHost(host, 0, row.not_before or 0.0)
        found[host] = replace(longest, images=longest.images + 1)
    return list(found.values())
