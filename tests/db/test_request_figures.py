"""Tests of app.db.request_figures: the requests of all jobs of a dataset, on both databases."""

from typing import Any

import pytest
from sqlalchemy import insert

from app.db import Database, request_figures, tables
from app.db.request_figures import NO_RETRIES, AttemptCount, HostRequests, RetryFigures
from tests.db.builders import add_job
from tests.report.rows import Rows, add_dataset

URLS = ("https://a.example/1", "https://u:p@A.example?q=1", "https://b.example:8443/3")


def attempt(rows: Rows, image_id: int, number: int = 1, **values: Any) -> dict[str, Any]:
    """An attempt that ended well in half a second, ten seconds after the one before."""
    made = {"job_id": rows.job_id, "image_id": image_id, "number": number, "epoch": 1, "state": "done", "status": 200, "reason": None}
    timed = {"started_at": 100.0 + 10 * number, "elapsed_s": 0.5, "queued_s": 0.25, "wait_s": 0.0, "wait_cause": ""}
    return made | timed | values


BUSY = {"status": 503, "reason": "service_unavailable", "wait_s": 4.0, "wait_cause": "backoff"}


async def seeded(db: Database) -> Rows:
    """Three images: one came at once, one after two failures in two jobs, and one never."""
    rows = await add_dataset(db, [{"url": url} for url in URLS])
    later = Rows(rows.dataset_id, await add_job(db, 0, dataset_id=rows.dataset_id))
    other = await add_dataset(db, [{"id": 9, "url_key": "other"}])
    values = [
        attempt(rows, 1),
        attempt(rows, 2, **BUSY),
        attempt(later, 2, 1, started_at=200.0, status=429, reason="rate_limited", wait_s=3.0, wait_cause="retry_after"),
        attempt(later, 2, 2, started_at=210.0),
        attempt(rows, 3, status=404, reason="http_404", wait_cause=None),
        attempt(rows, 3, 2, state="lost", started_at=None, elapsed_s=None, queued_s=None, wait_s=None),
        attempt(other, 9),
    ]
    async with db.write() as connection:
        await connection.execute(insert(tables.attempts), values)
    return rows


async def test_requests_by_host(any_database: Database) -> None:
    """Over all jobs; userinfo and queries are no part of a host; what has no outcome is no request."""
    found = await request_figures.by_host(any_database, (await seeded(any_database)).dataset_id)
    assert found.keys() == {"a.example", "b.example:8443"}
    host = found["a.example"]
    assert (host.requests, host.failures, host.took_s, host.waited_s) == (4, {"service_unavailable": 1, "rate_limited": 1}, 2.0, 8.0)
    assert (host.began_at, host.ended_at) == (110.0, 210.5)
    assert host.rate == pytest.approx(4 / 100.5)
    assert found["b.example:8443"].rate is None


async def test_requests_by_attempt_and_outcome(any_database: Database) -> None:
    """In the order of attempts."""
    found = await request_figures.attempt_counts(any_database, (await seeded(any_database)).dataset_id)
    assert found == [
        AttemptCount(1, "http_404", 1),
        AttemptCount(1, "ok", 1),
        AttemptCount(1, "rate_limited", 1),
        AttemptCount(1, "service_unavailable", 1),
        AttemptCount(2, "ok", 1),
    ]


async def test_what_retries_brought(any_database: Database) -> None:
    """A URL that another job requested again was retried as well."""
    assert await request_figures.retries(any_database, (await seeded(any_database)).dataset_id) == RetryFigures(1, 1, 4.0, 3.0)


async def test_a_dataset_without_requests(database: Database) -> None:
    """As one of a folder."""
    rows = await add_dataset(database, [{}])
    assert await request_figures.by_host(database, rows.dataset_id) == {}
    assert await request_figures.attempt_counts(database, rows.dataset_id) == []
    assert await request_figures.retries(database, rows.dataset_id) == NO_RETRIES
    assert HostRequests("a").rate is None
