"""The requests that all jobs of a dataset made: by host, by attempt, and what retries brought."""

from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from sqlalchemy import case, func, select

from app.db import jobs, tables
from app.db.attempts import host_of, place_of
from app.db.engine import Database

__all__ = ["NO_RETRIES", "AttemptCount", "HostRequests", "RetryFigures", "attempt_counts", "by_host", "retries"]


@dataclass(slots=True)
class HostRequests:
    """The requests to one host; times in seconds.

    Attributes:
        host: with its port, if the URL has one.
        failures: requests without an image, by reason.
        took_s, waited_s: sums over all requests, and over the waits before and between them.
        began_at, ended_at: of the first and the last request, Unix seconds.
    """

    host: str
    requests: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0
    waited_s: float = 0.0
    began_at: float = float("inf")
    ended_at: float = 0.0

    @property
    def rate(self) -> float | None:
        """Requests a second from the first to the last; None for a single one."""
        seconds = self.ended_at - self.began_at
        return self.requests / seconds if self.requests > 1 and seconds > 0 else None


async def by_host(db: Database, dataset_id: str) -> dict[str, HostRequests]:
    """Return the requests for the images of a dataset by host."""
    c = tables.attempts.c
    place = place_of(tables.images.c.url, is_sqlite=db.is_sqlite).label("place")
    took, waited = func.coalesce(c.elapsed_s, 0.0), func.coalesce(c.queued_s, 0.0) + func.coalesce(c.wait_s, 0.0)
    sums = (func.count(), func.sum(took), func.sum(waited), func.min(c.started_at), func.max(c.started_at + took))
    query = select(place, c.reason, *sums).join_from(tables.attempts, tables.images).where(*_done(dataset_id)).group_by(place, c.reason)
    found: dict[str, HostRequests] = {}
    async with db.read() as connection:
        rows = (await connection.execute(query)).all()
    for row in rows:
        where, reason, number, took_s, waited_s, began_at, ended_at = tuple(row)
        host = found.setdefault(host_of(where), HostRequests(host_of(where)))
        host.requests += number
        host.failures.update({reason: number} if reason else {})
        host.took_s += took_s
        host.waited_s += waited_s
        host.began_at, host.ended_at = min(host.began_at, began_at or host.began_at), max(host.ended_at, ended_at or 0.0)
    return found


@dataclass(frozen=True, slots=True)
class AttemptCount:
    """Requests that were the n-th for their image, with one outcome: ``ok`` or a reason."""

    number: int
    outcome: str
    requests: int


async def attempt_counts(db: Database, dataset_id: str) -> list[AttemptCount]:
    """Count the requests for the images of a dataset by attempt and outcome, in this order."""
    c = tables.attempts.c
    outcome = func.coalesce(c.reason, "ok").label("outcome")
    query = select(c.number, outcome, func.count().label("made")).where(*_done(dataset_id)).group_by(c.number, outcome)
    async with db.read() as connection:
        rows = (await connection.execute(query.order_by(c.number, outcome))).all()
    return [AttemptCount(row.number, row.outcome, row.made) for row in rows]


@dataclass(frozen=True, slots=True)
class RetryFigures:
    """URLs that were requested more than once, those of them that came, and the seconds waited in between by cause."""

    retried: int = 0
    recovered: int = 0
    backoff_s: float = 0.0
    retry_after_s: float = 0.0


NO_RETRIES = RetryFigures()


async def retries(db: Database, dataset_id: str) -> RetryFigures:
    """Return what retries brought, over all jobs of a dataset."""
    c = tables.attempts.c
    came = c.reason.is_(None) & (c.status.between(200, 299) | (c.status == HTTPStatus.NOT_MODIFIED))
    waits = [func.sum(case((c.wait_cause == cause, c.wait_s), else_=0.0)).label(cause) for cause in ("backoff", "retry_after")]
    is_ok = func.max(case((came, 1), else_=0)).label("is_ok")
    urls = select(func.count().label("made"), is_ok, *waits).where(*_done(dataset_id)).group_by(c.image_id).subquery()
    retried = case((urls.c.made > 1, 1), else_=0)
    sums = (func.sum(retried), func.sum(retried * urls.c.is_ok), func.sum(urls.c.backoff), func.sum(urls.c.retry_after))
    async with db.read() as connection:
        return RetryFigures(*(value or 0 for value in (await connection.execute(select(*sums))).one()))


def _done(dataset_id: str) -> tuple[Any, ...]:
    """Requests with an outcome, of all jobs of a dataset."""
    return tables.attempts.c.job_id.in_(jobs.on_dataset(dataset_id)), tables.attempts.c.state == "done"
