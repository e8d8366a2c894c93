"""Queries on the hosts that jobs ask now: those of the chunks that are being fetched, and those that deferred images wait for.

What is read is bounded by what is on the way, however large the job is.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from sqlalchemy import ColumnElement, case, func, select

from app.db import tables
from app.db.attempts import host_of, place_of
from app.db.engine import Database
from app.domain import ImageState
from app.job_states import ACTIVE_JOB_STATES, UnitKind, UnitState

__all__ = ["OpenHost", "has_other_users", "open_hosts"]

MOST_CHUNKS = 200
MOST_DEFERRED = 2_000
"""Chunks and deferred images that are looked at; of the images those that wait longest."""

REFUSALS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class OpenHost:
    """A host, with its port if the URLs have one.

    Attributes:
        images: in chunks that are being fetched; ``requests`` were made for them, of which ``failed`` brought no image, and the host
            refused ``refused`` with 429 or 503.
        deferred: images that wait until a time; ``until`` is the last one, Unix seconds.
    """

    host: str
    images: int = 0
    requests: int = 0
    failed: int = 0
    refused: int = 0
    deferred: int = 0
    until: float = 0.0

    def __add__(self, other: "OpenHost") -> "OpenHost":
        names = ("images", "requests", "failed", "refused", "deferred")
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return OpenHost(self.host, **sums, until=max(self.until, other.until))


async def open_hosts(db: Database, *, user_id: str | None = None, job_id: str | None = None) -> list[OpenHost]:
    """Return the hosts of all active jobs, of one user's or of one job, by name."""
    wanted = _active(user_id, job_id)
    async with db.read() as connection:
        fetched = (await connection.execute(_being_fetched(wanted, is_sqlite=db.is_sqlite))).all()
        deferred = (await connection.execute(_deferred(wanted, is_sqlite=db.is_sqlite))).all()
    found = [OpenHost(host_of(row.place), row.images, row.requests, row.failed, row.refused) for row in fetched]
    found += [OpenHost(host_of(row.place), deferred=row.images, until=row.until or 0.0) for row in deferred]
    return _merged(found)


async def has_other_users(db: Database, user_id: str) -> bool:
    """Whether a job of somebody else is active."""
    columns = tables.jobs.c
    others = select(columns.id).where(columns.state.in_(ACTIVE_JOB_STATES), columns.user_id != user_id).limit(1)
    async with db.read() as connection:
        return (await connection.execute(others)).first() is not None


def _active(user_id: str | None, job_id: str | None) -> Any:
    columns = tables.jobs.c
    given = ((columns.user_id, user_id), (columns.id, job_id))
    asked: list[ColumnElement[bool]] = [column == value for column, value in given if value is not None]
    return select(columns.id).where(columns.state.in_(ACTIVE_JOB_STATES), *asked)


def _being_fetched(wanted: Any, *, is_sqlite: bool) -> Any:
    units, images, attempts = tables.units.c, tables.images.c, tables.attempts.c
    chunk_id = units.payload["chunk_id"].as_string().label("chunk_id")
    is_fetch = (units.kind == UnitKind.FETCH, units.state == UnitState.RUNNING)
    chunks = select(chunk_id).where(units.job_id.in_(wanted), *is_fetch).limit(MOST_CHUNKS).subquery()
    place = place_of(images.url, is_sqlite=is_sqlite).label("place")
    is_made = attempts.state == "done"
    return (
        select(
            place,
            func.count(images.id.distinct()).label("images"),
            _sum(is_made).label("requests"),
            _sum(is_made & attempts.reason.is_not(None)).label("failed"),
            _sum(is_made & attempts.status.in_(REFUSALS)).label("refused"),
        )
        .select_from(tables.images.outerjoin(tables.attempts, (attempts.image_id == images.id) & attempts.job_id.in_(wanted)))
        .where(images.chunk_id.in_(select(chunks.c.chunk_id)))
        .group_by(place)
    )


def _sum(condition: ColumnElement[bool]) -> Any:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _deferred(wanted: Any, *, is_sqlite: bool) -> Any:
    images = tables.images.c
    waiting = (images.job_id.in_(wanted), images.state == ImageState.DEFERRED)
    longest = select(images.url, images.not_before).where(*waiting).order_by(images.not_before.desc()).limit(MOST_DEFERRED).subquery()
    place = place_of(longest.c.url, is_sqlite=is_sqlite).label("place")
    return select(place, func.count().label("images"), func.max(longest.c.not_before).label("until")).group_by(place)


def _merged(found: Iterable[OpenHost]) -> list[OpenHost]:
    merged: dict[str, OpenHost] = {}
    for host in found:
        merged[host.host] = merged[host.host] + host if host.host in merged else host
    return [merged[name] for name in sorted(merged)]
