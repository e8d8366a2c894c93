"""Queries on where a job's time went: by host and cause, by kind of work, and what is set aside until when. Each groups in the database."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select

from app.db import tables
from app.db.engine import Database
from app.db.rows import Unit
from app.db.units import OPEN_STATES, as_unit
from app.domain import ImageState, UnitState

__all__ = ["HostTime", "SetAside", "Stage", "exhausted", "hosts", "reasons", "set_aside", "stages", "troubled", "units_of_chunk"]


@dataclass(frozen=True, slots=True)
class HostTime:
    """What the requests to one host took, seconds summed over all of them.

    Attributes:
        host: with its port, where it is written.
        failed: requests that brought no image.
        queued_s: waited before requests, for the host to be open and for a free place.
        backoff_s: waited after failures, of our own accord.
        retry_after_s: waited because the host asked for it.
    """

    host: str
    requests: int = 0
    failed: int = 0
    took_s: float = 0.0
    queued_s: float = 0.0
    backoff_s: float = 0.0
    retry_after_s: float = 0.0

    @property
    def waited_s(self) -> float:
        """All waits."""
        return self.queued_s + self.backoff_s + self.retry_after_s

    def __add__(self, other: "HostTime") -> "HostTime":
        return HostTime(
            self.host,
            self.requests + other.requests,
            self.failed + other.failed,
            self.took_s + other.took_s,
            self.queued_s + other.queued_s,
            self.backoff_s + other.backoff_s,
            self.retry_after_s + other.retry_after_s,
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """One kind of work: Unix times of its first unit's making and its last unit's end, and how many units are not done."""

    kind: str
    units: int
    open: int
    began_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class SetAside:
    """Images that are deferred for one reason; Unix times of the first and the last to be due."""

    reason: str
    images: int
    first_at: float
    last_at: float


async def hosts(db: Database, job_id: str) -> list[HostTime]:
    """What each host's requests took, most first."""
    columns = tables.attempts.c
    place = _place(tables.images.c.url, is_sqlite=db.is_sqlite).label("place")
    waits = [
        func.coalesce(func.sum(case((columns.wait_cause == cause, columns.wait_s), else_=0.0)), 0.0) for cause in ("backoff", "retry_after")
    ]
    query = (
        select(
            place,
            func.count().label("requests"),
            func.coalesce(func.sum(case((columns.reason.is_not(None), 1), else_=0)), 0).label("failed"),
            func.coalesce(func.sum(columns.elapsed_s), 0.0).label("took_s"),
            func.coalesce(func.sum(columns.queued_s), 0.0).label("queued_s"),
            waits[0].label("backoff_s"),
            waits[1].label("retry_after_s"),
        )
        .join_from(tables.attempts, tables.images)
        .where(columns.job_id == job_id)
        .group_by(place)
    )
    async with db.read() as connection:
        rows = (await connection.execute(query)).all()
    times = (
        HostTime(_host(row.place), row.requests, row.failed, row.took_s, row.queued_s, row.backoff_s, row.retry_after_s) for row in rows
    )
    return sorted(_merged(times), key=lambda time: -(time.took_s + time.waited_s))


def _place(url: Any, *, is_sqlite: bool) -> Any:
    """What stands between the scheme and the path."""
    if not is_sqlite:
        return func.split_part(url, "/", 3)
    rest = func.substr(url, func.instr(url, "://") + 3)
    return func.substr(rest, 1, func.instr(rest.op("||")("/"), "/") - 1)


def _host(place: str) -> str:
    """Without userinfo, which is a secret, and without a query that follows at once."""
    for mark in "?#":
        place = place.partition(mark)[0]
    return place.rpartition("@")[2].lower()


def _merged(times: Iterable[HostTime]) -> Iterable[HostTime]:
    merged: dict[str, HostTime] = {}
    for time in times:
        merged[time.host] = merged[time.host] + time if time.host in merged else time
    return merged.values()


async def reasons(db: Database, job_id: str) -> dict[str, int]:
    """Requests that failed, by reason, most frequent first."""
    columns = tables.attempts.c
    query = select(columns.reason, func.count().label("number")).where(columns.job_id == job_id, columns.reason.is_not(None))
    async with db.read() as connection:
        rows = (await connection.execute(query.group_by(columns.reason))).all()
    return dict(sorted(((row.reason, row.number) for row in rows), key=lambda item: (-item[1], item[0])))


async def exhausted(db: Database, job_id: str) -> int:
    """URLs that were retried and failed all the same."""
    columns = tables.attempts.c
    retried = select(columns.image_id).where(columns.job_id == job_id).group_by(columns.image_id).having(func.count() > 1)
    query = select(func.count()).where(tables.images.c.id.in_(retried), tables.images.c.state == ImageState.FAILED)
    async with db.read() as connection:
        return int((await connection.execute(query)).scalar_one())


async def stages(db: Database, job_id: str) -> list[Stage]:
    """Each kind of work a job had, in the order in which they began."""
    columns = tables.units.c
    began = func.min(columns.created_at).label("began_at")
    is_open = case((columns.state.in_(OPEN_STATES), 1), else_=0)
    query = (
        select(
            columns.kind,
            func.count().label("units"),
            func.sum(is_open).label("open"),
            began,
            func.max(columns.finished_at).label("ended_at"),
        )
        .where(columns.job_id == job_id)
        .group_by(columns.kind)
        .order_by(began, columns.kind)
    )
    async with db.read() as connection:
        rows = (await connection.execute(query)).all()
    return [Stage(row.kind, row.units, int(row.open), row.began_at, None if row.open else row.ended_at) for row in rows]


async def set_aside(db: Database, job_id: str) -> list[SetAside]:
    """A job's deferred images by reason, most first."""
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
    found = [SetAside(row.reason or "unknown", row.number, row.first_at or 0.0, row.last_at or 0.0) for row in rows]
    return sorted(found, key=lambda item: (-item.images, item.reason))


async def troubled(db: Database, job_id: str, *, limit: int = 20) -> list[Unit]:
    """A job's units that died or are suspected of killing their workers, and those that failed and will be tried again."""
    columns = tables.units.c
    bad = columns.state.in_([UnitState.DEAD, UnitState.QUARANTINED])
    failing = columns.state.in_([UnitState.PENDING, UnitState.QUEUED, UnitState.RUNNING]) & (
        columns.error.is_not(None) | (columns.crashes > 0)
    )
    query = select(tables.units).where(columns.job_id == job_id, bad | failing).order_by(columns.created_at, columns.id).limit(limit)
    async with db.read() as connection:
        return [as_unit(row) for row in (await connection.execute(query)).all()]


async def units_of_chunk(db: Database, job_id: str, chunk_id: str) -> list[Unit]:
    """The units that worked, or will, at one chunk of a job."""
    columns = tables.units.c
    of_chunk = columns.payload["chunk_id"].as_string() == chunk_id
    query = select(tables.units).where(columns.job_id == job_id, of_chunk).order_by(columns.created_at, columns.id)
    async with db.read() as connection:
        return [as_unit(row) for row in (await connection.execute(query)).all()]
