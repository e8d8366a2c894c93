"""Tests of app.db.earlier_fetches: which rows of a user speak of the URLs of a chunk, in which order, and how reuse is counted."""

from typing import Any

from app.db import Database, earlier_fetches
from app.db.earlier_fetches import MOST, EarlierFetch, of_chunk, reuse_figures
from app.domain import ImageState
from tests.db.builders import add_images, add_job, explained, job_row, statements

SHA = "a" * 64
KEPT = {"state": "kept", "sha256": SHA, "size_bytes": 9, "media_type": "image/png", "robots": "allowed", "opt_out": "none"}
OPEN = (ImageState.PENDING, ImageState.DEFERRED)


async def earlier(db: Database, number: int = 1, *, user_id: str = "local", **changes: Any) -> tuple[str, list[int]]:
    """Images of another dataset with the URLs of ours; their job and ids."""
    job_id = await add_job(db, user_id=user_id)
    return job_id, await add_images(db, job_id, number, chunk_id="chunk_old", changes=changes)


async def wanted(db: Database, number: int = 1, **changes: Any) -> list[int]:
    """Images that are to be fetched now."""
    return await add_images(db, await add_job(db), number, chunk_id="chunk_now", changes=changes)


async def found(db: Database, user_id: str = "local") -> dict[int, list[EarlierFetch]]:
    async with db.read() as connection:
        return await of_chunk(connection, "chunk_now", OPEN, user_id=user_id)


async def test_rows_with_bytes_and_refusals_are_found(any_database: Database) -> None:
    """The newest first; all that was recorded of the bytes comes along, with the job whose request brought them."""
    more = {"final_url": "https://example.org/b", "exempt_networks": "", "etag": '"1"', "last_modified": "then"}
    job_id, (old,) = await earlier(any_database, **KEPT, **more, fetched_at=100.0)
    _, (refusal,) = await earlier(any_database, state="failed", reason="opt_out")
    await earlier(any_database, state="failed", reason="http_404")
    await earlier(any_database, state="failed", reason="cancelled")
    (image,) = await wanted(any_database)
    refused, stored = (await found(any_database))[image]
    assert (refused.image_id, refused.state) == (refusal, ImageState.FAILED)
    assert refused.at > 1e9
    assert stored == EarlierFetch(
        old, "https://example.org/0.jpg", ImageState.KEPT, 100.0, job_id, SHA, 9, "image/png", **more, robots="allowed", opt_out="none"
    )


async def test_a_reuse_names_the_job_of_the_request(any_database: Database) -> None:
    """Not the one that used its bytes."""
    await earlier(any_database, **KEPT, fetched_at=100.0, reuse="stored", reused_from="job_first")
    (image,) = await wanted(any_database)
    assert [fetch.job_id for fetch in (await found(any_database))[image]] == ["job_first"]


async def test_only_open_images_and_rows_of_the_user_count(any_database: Database) -> None:
    """Neither what the chunk has already nor what others have; of many rows a few."""
    for at in range(MOST + 2):
        await earlier(any_database, 2, **KEPT, fetched_at=float(at))
    await earlier(any_database, 2, user_id="other", **KEPT, fetched_at=1000.0)
    first, second = await wanted(any_database, 2)
    assert {image: [fetch.at for fetch in rows] for image, rows in (await found(any_database)).items()} == {
        first: [4.0, 3.0, 2.0],
        second: [4.0, 3.0, 2.0],
    }
    assert {image: len(rows) for image, rows in (await found(any_database, "other")).items()} == {first: 1, second: 1}
    assert await found(any_database, "nobody") == {}


async def test_a_chunk_takes_one_statement_and_reads_by_key(database: Database) -> None:
    """No table is scanned, so that a first build pays for one lookup an image."""
    await wanted(database, 3)
    with statements(database) as sent:
        await found(database)
    (query,) = [statement for statement in sent if statement.startswith("SELECT")]
    plan = await explained(database, query)
    assert "ix_images_chunk" in plan
    assert "ix_images_url_key" in plan
    assert not [line for line in plan.splitlines() if line.startswith("SCAN") and "SCAN (" not in line and "SCAN anon" not in line], plan


async def test_reuse_is_counted_for_a_dataset(any_database: Database) -> None:
    """Over its jobs."""
    job_id = await add_job(any_database)
    await add_images(any_database, job_id, 3, changes={"reuse": "stored"})
    await add_images(any_database, job_id, 2, first=3, changes={"reuse": "not_modified"})
    await add_images(any_database, job_id, 1, first=5)
    assert await reuse_figures(any_database, (await job_row(any_database, job_id)).dataset_id) == (3, 2)
    assert await earlier_fetches.reuse_figures(any_database, "ds_unknown") == (0, 0)
