"""Tests of app.db.open_hosts: the hosts that jobs ask now, and whose they are."""

from app.db import Database, attempts, image_search, images, open_hosts
from app.db.open_hosts import OpenHost
from app.db.rows import NewUnit
from app.domain import Candidate, ImageState
from app.job_states import JobState, UnitKind
from downloader import Attempt
from errors import Reason
from tests.db.builders import add_job, claimed_all, end_job, job_row

URLS = ("http://a.example/1", "http://a.example/2", "https://ann:secret@B.example:8443/3", "http://c.example/4")


async def being_fetched(db: Database, user_id: str = "local", urls: tuple[str, ...] = URLS) -> tuple[str, list[int]]:
    """A job with one chunk that is being fetched; its id and those of its images."""
    job_id = await add_job(db, [NewUnit(UnitKind.FETCH, {"chunk_id": f"chunk_{user_id}"})], user_id=user_id)
    ids = {"dataset_id": (await job_row(db, job_id)).dataset_id, "job_id": job_id, "search_id": "srch_1"}
    async with db.write() as connection:
        await images.add_candidates(connection, **ids, chunks=[(f"chunk_{user_id}", [(url, Candidate(url, "list", 0)) for url in urls])])
    rows = (await image_search.page(db, image_search.ImageFilter(job_id=job_id))).items
    return job_id, sorted(row.id for row in rows)


async def test_hosts_of_the_chunks_that_are_being_fetched(any_database: Database) -> None:
    """Their requests so far, those that failed and those that the host refused; a host is named without user and password."""
    job_id, ids = await being_fetched(any_database)
    assert await open_hosts.open_hosts(any_database) == []  # its unit is not running yet
    (unit,) = await claimed_all(any_database, job_id)
    async with any_database.write() as connection:
        await attempts.reserve(connection, unit, [(ids[0], 1), (ids[0], 2), (ids[2], 1)])
        busy = Attempt(1, 0.0, 0.1, status=429, error="busy", reason=Reason.RATE_LIMITED)
        await attempts.record(connection, unit, [(ids[0], 1, busy), (ids[2], 1, Attempt(1, 0.0, 0.1, status=200))])
    expected = [
        OpenHost("a.example", images=2, requests=1, failed=1, refused=1),
        OpenHost("b.example:8443", images=1, requests=1),
        OpenHost("c.example", images=1),
    ]
    assert await open_hosts.open_hosts(any_database, job_id=job_id) == expected


async def test_hosts_that_deferred_images_wait_for(any_database: Database) -> None:
    """With the last time; beside what is being fetched."""
    job_id, ids = await being_fetched(any_database)
    async with any_database.write() as connection:
        for image_id, until in ((ids[0], 90.0), (ids[1], 70.0)):
            await images.update_many(connection, [{"id": image_id, "state": ImageState.DEFERRED, "not_before": until}])
    assert await open_hosts.open_hosts(any_database) == [OpenHost("a.example", deferred=2, until=90.0)]
    await claimed_all(any_database, job_id)
    found = await open_hosts.open_hosts(any_database)
    assert found[0] == OpenHost("a.example", images=2, deferred=2, until=90.0)
    assert len(found) == 3


async def test_a_user_has_their_own_hosts(any_database: Database) -> None:
    """Those of jobs at work; a job that has ended has none."""
    ann, _ = await being_fetched(any_database, "ann", URLS[:2])
    bob, _ = await being_fetched(any_database, "bob", URLS[3:])
    for job_id in (ann, bob):
        await claimed_all(any_database, job_id)
    assert [host.host for host in await open_hosts.open_hosts(any_database, user_id="ann")] == ["a.example"]
    assert [host.host for host in await open_hosts.open_hosts(any_database)] == ["a.example", "c.example"]
    assert await open_hosts.has_other_users(any_database, "ann")
    await end_job(any_database, bob, JobState.FAILED)
    assert not await open_hosts.has_other_users(any_database, "ann")
    assert [host.host for host in await open_hosts.open_hosts(any_database)] == ["a.example"]
