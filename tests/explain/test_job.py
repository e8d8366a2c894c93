"""Where a job's time went, on both databases."""

from dataclasses import replace
from typing import Any

import pytest

import errors
from app.db import Database, attempts, jobs, tables
from app.db.rows import NewUnit
from app.domain import Reason
from app.explain import explain_job
from app.job_states import JobState, UnitKind, UnitState
from downloader.models import Attempt
from tests.db.builders import add_images, add_job, change, claimed, unit_ids

BUSY = ("ServiceUnavailableError", Reason.SERVICE_UNAVAILABLE)


async def try_image(db: Database, unit: Any, image_id: int, *made: Attempt) -> None:
    """Attempts of an image, on record with their outcomes."""
    async with db.write() as connection:
        await attempts.reserve(connection, unit, [(image_id, attempt.number) for attempt in made])
        await attempts.record(connection, unit, [(image_id, attempt.number, attempt) for attempt in made])


async def test_a_job_tells_hosts_waits_retries_and_what_it_waits_for(any_database: Database) -> None:
    """Waits by their cause, hosts whatever their spelling, retries that came to nothing, what is deferred, what died."""
    db = any_database
    job_id = await add_job(db, [NewUnit(UnitKind.FETCH, {"chunk_id": "chunk_a"}), NewUnit(UnitKind.VALIDATE, {"chunk_id": "chunk_b"})])
    fetch, validate = await unit_ids(db, job_id)
    one, two, three = await add_images(db, job_id, 3)
    await change(db, tables.images, one, url="http://user:pw@H.test?x=1", state="failed", reason="service_unavailable")
    await change(db, tables.images, two, url="http://h.test/b.jpg", state="fetched")
    await change(db, tables.images, three, url="https://other.test:8443/c.jpg", state="deferred", reason="rate_limited")
    await change(db, tables.images, three, not_before=await db.now() + 90)
    unit = await claimed(db, fetch)
    await try_image(db, unit, one, Attempt(1, 1.0, 0.5, 503, *BUSY, 2.0, "backoff", 0.25), Attempt(2, 4.0, 0.5, 503, *BUSY))
    asked = Attempt(1, 1.0, 1.0, 429, "RateLimitError", Reason.RATE_LIMITED, 3.0, "retry_after")
    await try_image(db, unit, two, asked, Attempt(2, 4.0, 1.0, 200))
    await try_image(db, unit, three, Attempt(1, 1.0, 0.125, 429, "RateLimitError", Reason.RATE_LIMITED))
    await change(db, tables.units, validate, state="dead", error="MemoryError: \x1b[31mout", crashes=1)
    story = await explain_job(db, job_id)
    busy, other = story.hosts
    assert (busy.host, busy.requests, busy.failed, busy.took_s) == ("h.test", 4, 3, 3.0)
    assert (busy.queued_s, busy.backoff_s, busy.retry_after_s, busy.waited_s) == (0.25, 2.0, 3.0, 5.25)
    assert other.host == "other.test:8443"
    assert (story.retried, story.recovered, story.exhausted) == (2, 1, 1)
    assert list(story.failures.items()) == [("rate_limited", 2), ("service_unavailable", 2)]
    assert [(stage.kind, stage.units, stage.open, stage.ended_at) for stage in story.stages] == [
        ("fetch", 1, 1, None),
        ("validate", 1, 0, None),
    ]
    (waits,) = story.waits()
    assert waits.startswith("1 image deferred for 1m")
    told = {line.topic: line.words for line in story.slow()}
    assert told["host"].startswith("other.test:8443: 1 request, 1 failed")
    assert told["retries"] == "2 URLs retried: 1 succeeded, 1 failed"
    assert told["unit"] == "validate is dead, 1 crash: MemoryError:  [31mout"
    assert [command.split()[1] for command in story.next_commands()] == ["jobs", "jobs", "dead", "images"]


async def test_retries_that_brought_nothing_and_requests_without_an_outcome_are_told(database: Database) -> None:
    """A reservation of a process that died is no request; a search has retries of its own."""
    job_id = await add_job(database, [NewUnit(UnitKind.FETCH, {"chunk_id": "chunk_a"})])
    one, two = await add_images(database, job_id, 2)
    await change(database, tables.images, one, state="failed", reason="service_unavailable")
    unit = await claimed(database, (await unit_ids(database, job_id))[0])
    await try_image(database, unit, one, Attempt(1, 1.0, 0.5, 503, *BUSY), Attempt(2, 4.0, 0.5, 503, *BUSY))
    async with database.write() as connection:
        await attempts.reserve(connection, unit, [(two, 1)])
        await attempts.used(connection, replace(unit, epoch=unit.epoch + 1), [two])
        (search_id,) = await jobs.add_searches(connection, job_id, [("wikimedia", "cat", None)])
        await jobs.count_search_requests(connection, search_id, requests=3, retries=2)
    story = await explain_job(database, job_id)
    told = {line.topic: line.words for line in story.slow()}
    assert (story.made, story.lost) == (2, 1)
    assert told["retries"] == "no retry brought an image; 1 URL failed"
    assert told["requests"] == "up to 1 request more may have been sent: reserved when a process died"
    assert told["searches"] == "searches: 3 requests, 2 of them retries"


async def test_a_job_that_nobody_works_at_says_so(database: Database) -> None:
    """It waits for a worker; paused, for whoever paused it; ended, for nothing."""
    job_id = await add_job(database)
    assert (await explain_job(database, job_id)).waits() == ["its turn: none of its units is running yet"]
    await change(database, tables.jobs, job_id, waiting_for="storage failed (put a: disk full); retried in 60 s")
    assert (await explain_job(database, job_id)).waits() == ["storage failed (put a: disk full); retried in 60 s"]
    await change(database, tables.jobs, job_id, waiting_for="the disk")
    assert (await explain_job(database, job_id)).waits()[0] == "the disk"
    await change(database, tables.jobs, job_id, desired_state="paused")
    assert (await explain_job(database, job_id)).waits() == ["it is paused"]
    async with database.write() as connection:
        await jobs.end(connection, job_id, JobState.CANCELLED)
    assert (await explain_job(database, job_id)).waits() == []
    (unit_id,) = await unit_ids(database, job_id)
    await change(database, tables.units, unit_id, state=UnitState.QUARANTINED, crashes=3)
    assert any(
        line.words.startswith("fetch is quarantined, 3 crashes: no error recorded") for line in (await explain_job(database, job_id)).slow()
    )


async def test_a_job_that_waited_for_a_worker_says_how_long(database: Database) -> None:
    """Time before its first work is nobody's host."""
    job_id = await add_job(database)
    await change(database, tables.jobs, job_id, created_at=100.0, started_at=190.0)
    assert (await explain_job(database, job_id)).slow()[0].words == "1m30s for a worker"


async def test_hosts_beyond_the_most_expensive_are_counted(database: Database) -> None:
    """A list of a thousand hosts is no page of a thousand lines."""
    job_id = await add_job(database)
    (unit_id,) = await unit_ids(database, job_id)
    unit = await claimed(database, unit_id)
    for number, image_id in enumerate(await add_images(database, job_id, 12)):
        await change(database, tables.images, image_id, url=f"http://h{number}.test/")
        await try_image(database, unit, image_id, Attempt(1, 1.0, 1.0 + number, 200))
    story = await explain_job(database, job_id)
    assert [host.host for host in story.costly_hosts][:2] == ["h11.test", "h10.test"]
    assert story.slow()[-1].words == "and 2 more hosts with less time each"


async def test_a_foreign_job_is_not_found(database: Database) -> None:
    """Users see their own."""
    job_id = await add_job(database, user_id="ann")
    with pytest.raises(errors.NotFoundError):
        await explain_job(database, job_id, user_id="bob")
