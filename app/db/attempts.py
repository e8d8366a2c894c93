"""Queries on attempts: one row for each request to an origin, written before the request goes out.

A row is ``reserved``, then ``done``; one whose process died before the outcome was written becomes ``lost``. Only what is done counts as a
request in the figures: rows are reserved ahead, so a lost one is a request that may have been sent.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from sqlalchemy import bindparam, case, func, insert, select, update

from app.db import tables
from app.db.engine import Connection, Database, db_now
from app.db.rows import Unit
from app.domain import ImageState, Reason
from downloader.models import Attempt

__all__ = [
    "HostTime",
    "Used",
    "count_exhausted",
    "count_lost",
    "failures_by_reason",
    "host_of",
    "host_times",
    "images_tried",
    "of_image",
    "place_of",
    "record",
    "reserve",
    "retry_figures",
    "totals",
    "used",
]


@dataclass(frozen=True, slots=True)
class Used:
    """The attempts of one image in a job.

    Attributes:
        counted: those that count against the limit.
        lost: those without an outcome, because their process died.
        last: the highest row number.
    """

    counted: int = 0
    lost: int = 0
    last: int = 0


async def used(connection: Connection, unit: Unit, image_ids: Sequence[int]) -> dict[int, Used]:
    """Return the attempts that each image has used in the unit's job.

    Rows that an earlier epoch reserved without an outcome become lost. The first lost attempt of an image does not count, so that a
    crash costs no URL its budget; further ones count, so the origin gets at most one request more than the limit.
    """
    columns = tables.attempts.c
    ours = (columns.job_id == unit.job_id, columns.image_id.in_(list(image_ids)))
    await connection.execute(
        update(tables.attempts).where(*ours, columns.state == "reserved", columns.epoch != unit.epoch).values(state="lost")
    )
    lost = func.sum(case((columns.state == "lost", 1), else_=0)).label("lost")
    known = func.sum(case((columns.state == "lost", 0), else_=1)).label("known")
    query = select(columns.image_id, known, lost, func.max(columns.number).label("last")).where(*ours).group_by(columns.image_id)
    rows = (await connection.execute(query)).all()
    return {row.image_id: Used(int(row.known) + max(0, int(row.lost) - 1), int(row.lost), int(row.last)) for row in rows}


async def reserve(connection: Connection, unit: Unit, wanted: Sequence[tuple[int, int]]) -> None:
    """Insert attempts (image id, row number) before their requests are sent."""
    rows = [
        {"job_id": unit.job_id, "image_id": image_id, "number": number, "epoch": unit.epoch, "state": "reserved"}
        for image_id, number in wanted
    ]
    await connection.execute(_reserve(), rows)


@functools.cache
def _reserve() -> Any:
    return insert(tables.attempts).values(started_at=db_now())


async def record(connection: Connection, unit: Unit, finished: Sequence[tuple[int, int, Attempt]]) -> None:
    """Write outcomes of attempts (image id, row number, attempt) in one prepared statement."""
    if not finished:
        return
    rows: list[Mapping[str, Any]] = [
        {"row_job": unit.job_id, "row_image": image_id, "row_number": number}
        | {new: getattr(attempt, name) for name, new in _OUTCOME.items()}
        for image_id, number, attempt in finished
    ]
    await connection.execute(_record(), rows)


_OUTCOME = {name: f"new_{name}" for name in ("started_at", "queued_s", "elapsed_s", "status", "error", "reason", "wait_s", "wait_cause")}
"""Columns that an outcome sets, with the names of their bound parameters."""


@functools.cache
def _record() -> Any:
    """Built once, since every group of outcomes needs it."""
    columns = tables.attempts.c
    ours = (columns.job_id == bindparam("row_job"), columns.image_id == bindparam("row_image"), columns.number == bindparam("row_number"))
    return update(tables.attempts).where(*ours).values({name: bindparam(new) for name, new in _OUTCOME.items()} | {"state": "done"})


async def drop_reserved(connection: Connection, unit: Unit, unused: Sequence[tuple[int, int]]) -> None:
    """Delete reservations whose requests were never sent."""
    columns = tables.attempts.c
    for image_id, number in unused:
        await connection.execute(
            tables.attempts.delete().where(
                columns.job_id == unit.job_id, columns.image_id == image_id, columns.number == number, columns.state == "reserved"
            )
        )


async def of_image(db: Database, image_id: int) -> list[tuple[str, str, Attempt]]:
    """Return an image's attempts in all jobs as (job id, state, attempt), in order."""
    columns = tables.attempts.c
    query = select(tables.attempts).where(columns.image_id == image_id).order_by(columns.started_at, columns.number)
    async with db.read() as connection:
        rows = (await connection.execute(query)).all()
    return [(row.job_id, row.state, _as_attempt(row)) for row in rows]


def _as_attempt(row: Any) -> Attempt:
    return Attempt(
        number=row.number,
        started_at=row.started_at or 0.0,
        elapsed_s=row.elapsed_s or 0.0,
        queued_s=row.queued_s or 0.0,
        status=row.status,
        error=row.error,
        reason=Reason(row.reason) if row.reason else None,
        wait_s=row.wait_s or 0.0,
        wait_cause=row.wait_cause or "",
    )


async def totals(db: Database) -> dict[tuple[int, str], int]:
    """Count attempts by (number, outcome): ``ok``, a reason, or ``unknown`` where no outcome was written."""
    columns = tables.attempts.c
    outcome = case((columns.state != "done", "unknown"), else_=func.coalesce(columns.reason, "ok")).label("outcome")
    query = select(columns.number, outcome, func.count().label("made")).group_by(columns.number, outcome)
    async with db.read() as connection:
        return {(int(row.number), str(row.outcome)): row.made for row in (await connection.execute(query)).all()}


async def retry_figures(db: Database, job_id: str) -> tuple[int, int, int]:
    """Return for a job (attempts with an outcome, URLs that were retried, retried URLs that succeeded)."""
    columns = tables.attempts.c
    is_success = columns.status.between(200, 299) | (columns.status == HTTPStatus.NOT_MODIFIED)
    per_image = (
        select(
            func.count().label("made"),
            func.max(case((is_success & columns.error.is_(None), 1), else_=0)).label("is_ok"),
        )
        .where(columns.job_id == job_id, columns.state == "done")
        .group_by(columns.image_id)
        .subquery()
    )
    retried = case((per_image.c.made > 1, 1), else_=0)
    query = select(
        func.coalesce(func.sum(per_image.c.made), 0).label("made"),
        func.coalesce(func.sum(retried), 0).label("retried"),
        func.coalesce(func.sum(retried * per_image.c.is_ok), 0).label("recovered"),
    )
    async with db.read() as connection:
        row = (await connection.execute(query)).one()
    return int(row.made), int(row.retried), int(row.recovered)


async def images_tried(db: Database, job_id: str) -> int:
    """Count the images for which a job made at least one request."""
    columns = tables.attempts.c
    query = select(func.count(columns.image_id.distinct())).where(columns.job_id == job_id, columns.state == "done")
    async with db.read() as connection:
        return int((await connection.execute(query)).scalar_one())


async def count_lost(db: Database, job_id: str) -> int:
    """Count the attempts that were reserved by a process that died before their outcome: at most so many requests more were sent."""
    columns = tables.attempts.c
    query = select(func.count()).select_from(tables.attempts).where(columns.job_id == job_id, columns.state == "lost")
    async with db.read() as connection:
        return int((await connection.execute(query)).scalar_one())


@dataclass(frozen=True, slots=True)
class HostTime:
    """Times of the requests to one host, in seconds, summed over all requests.

    Attributes:
        host: with its port, if the URL has one.
        failed: requests without an image.
        queued_s: waited for the host limiter before requests.
        backoff_s: waited after failures by our own backoff.
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
        """Sum of all waits."""
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


async def host_times(db: Database, job_id: str) -> list[HostTime]:
    """Return the times of each host, the longest first."""
    columns = tables.attempts.c
    place = place_of(tables.images.c.url, is_sqlite=db.is_sqlite).label("place")
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
        .where(columns.job_id == job_id, columns.state == "done")
        .group_by(place)
    )
    async with db.read() as connection:
        rows = (await connection.execute(query)).all()
    times = (
        HostTime(host_of(row.place), row.requests, row.failed, row.took_s, row.queued_s, row.backoff_s, row.retry_after_s) for row in rows
    )
    return sorted(_merged(times), key=lambda time: -(time.took_s + time.waited_s))


def place_of(url: Any, *, is_sqlite: bool) -> Any:
    """Return the part of a URL between its scheme and its path, as SQL."""
    if not is_sqlite:
        return func.split_part(url, "/", 3)
    rest = func.substr(url, func.instr(url, "://") + 3)
    return func.substr(rest, 1, func.instr(rest.op("||")("/"), "/") - 1)


def host_of(place: str) -> str:
    """Return the host of such a part: without userinfo, which is secret, and a query without a path before it."""
    for mark in "?#":
        place = place.partition(mark)[0]
    return place.rpartition("@")[2].lower()


def _merged(times: Iterable[HostTime]) -> Iterable[HostTime]:
    merged: dict[str, HostTime] = {}
    for time in times:
        merged[time.host] = merged[time.host] + time if time.host in merged else time
    return merged.values()


async def failures_by_reason(db: Database, job_id: str) -> dict[str, int]:
    """Count failed requests by reason, most frequent first."""
    columns = tables.attempts.c
    query = select(columns.reason, func.count().label("number")).where(columns.job_id == job_id, columns.reason.is_not(None))
    async with db.read() as connection:
        rows = (await connection.execute(query.group_by(columns.reason))).all()
    return dict(sorted(((row.reason, row.number) for row in rows), key=lambda item: (-item[1], item[0])))


async def count_exhausted(db: Database, job_id: str) -> int:
    """Count the URLs that were retried and failed nevertheless."""
    columns = tables.attempts.c
    done = (columns.job_id == job_id, columns.state == "done")
    retried = select(columns.image_id).where(*done).group_by(columns.image_id).having(func.count() > 1)
    query = select(func.count()).where(tables.images.c.id.in_(retried), tables.images.c.state == ImageState.FAILED)
    async with db.read() as connection:
        return int((await connection.execute(query)).scalar_one())
