"""Tests of app.db.deferred: what deferred images wait for."""

from app.db import Database, deferred, image_search, images
from app.domain import Candidate, ImageState
from tests.db.builders import add_job, job_row


async def test_deferred_hosts_by_the_longest_wait(any_database: Database) -> None:
    """Each with its images and the last time; no user and password of a URL."""
    job_id = await add_job(any_database)
    urls = ["http://dead.example:81/a", "http://ann:secret@slow.example/b", "http://dead.example:81?c", "http://good.example/d"]
    dataset_id, found = (await job_row(any_database, job_id)).dataset_id, [(url, Candidate(url, "list", at)) for at, url in enumerate(urls)]
    async with any_database.write() as connection:
        ids = {"dataset_id": dataset_id, "job_id": job_id, "search_id": "srch_1"}
        await images.add_candidates(connection, **ids, chunks=[("chunk_1", found)])
    rows = (await image_search.page(any_database, image_search.ImageFilter(job_id=job_id))).items
    for row, until in zip(sorted(rows, key=lambda row: row.id), (50.0, 90.0, 70.0), strict=False):
        async with any_database.write() as connection:
            await images.update_many(connection, [{"id": row.id, "state": ImageState.DEFERRED, "not_before": until}])
    expected = [deferred.DeferredHost("slow.example", 1, 90.0), deferred.DeferredHost("dead.example:81", 2, 70.0)]
    assert await deferred.deferred_hosts(any_database, job_id) == expected
