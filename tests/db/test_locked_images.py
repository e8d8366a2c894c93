"""Tests of app.db.locked_images: rows as a lock has them, in its order; what is kept of them, and what is unlike the lock."""

from typing import Any

from app.datasets.lock_format import LockedImage
from app.db import Database, images, jobs, locked_images
from app.db.engine import new_id
from app.domain import ImageState, Reason
from tests.datasets.locks import IMAGE
from tests.db.builders import add_job
from workers.stages.rebuild import as_pending


def row(index: int, **values: Any) -> dict[str, Any]:
    return as_pending(LockedImage(**{**IMAGE} | {"index": index, "url": f"https://example.org/{index}"} | values), "")


async def test_images_of_a_lock_are_inserted_in_its_order(any_database: Database) -> None:
    """With all that a lock knows of them; a page that is read again adds nothing, and names of pictures are recorded."""
    job_id = await add_job(any_database)
    dataset_id = (await jobs.get(any_database, job_id)).dataset_id
    rows = [row(index, label="cat", split="test", extra={"a": 1}, stated={"identities": [f"sha1:{index}"]}) for index in range(1_200)]
    chunks = {new_id("chunk"): rows[:700], new_id("chunk"): rows[700:]}
    ids = {"dataset_id": dataset_id, "job_id": job_id, "search_id": "srch_1"}
    async with any_database.write() as connection:
        assert await locked_images.add(connection, **ids, chunks=chunks) == 1_200
    async with any_database.write() as connection:
        assert await locked_images.add(connection, **ids, chunks={new_id("chunk"): rows[:3]}) == 0
        found = [image for chunk_id in chunks for image in await images.chunk_images(connection, chunk_id, [ImageState.PENDING])]
    assert [image.url for image in found] == [f"https://example.org/{index}" for index in range(1_200)]
    assert [image.id for image in found] == sorted(image.id for image in found)
    first = found[0]
    assert (first.label, first.split, first.extra, first.expected_sha256, first.line) == ("cat", "test", {"a": 1}, "a" * 64, 2)
    assert (first.sha256, first.size_bytes, first.out_sha256) == (None, None, None)


async def test_what_is_valid_is_kept_and_the_rest_is_named(any_database: Database) -> None:
    """Kept images with another form are named too; counts are of what is kept."""
    job_id = await add_job(any_database)
    dataset_id = (await jobs.get(any_database, job_id)).dataset_id
    ids = {"dataset_id": dataset_id, "job_id": job_id, "search_id": "srch_1"}
    states = [
        {"state": ImageState.VALID, "reason": None, "size_bytes": 5},
        {"state": ImageState.VALID, "reason": Reason.CHANGED, "size_bytes": 7},
        {"state": ImageState.FAILED, "reason": Reason.CHANGED, "size_bytes": None},
        {"state": ImageState.FAILED, "reason": Reason.HTTP_404, "size_bytes": None},
    ]
    async with any_database.write() as connection:
        await locked_images.add(connection, **ids, chunks={"chunk_1": [row(index) for index in range(4)]})
        found = await images.chunk_images(connection, "chunk_1", [ImageState.PENDING])
        await images.update_many(connection, [{"id": image.id} | change for image, change in zip(found, states, strict=True)])
        assert await locked_images.keep_valid(connection, dataset_id) == 2
        assert await locked_images.count_kept(connection, dataset_id) == (2, 12)
    assert await locked_images.count_other_forms(any_database, dataset_id) == 1
    unlike = await locked_images.unlike_lock(any_database, dataset_id, limit=10)
    assert [(image.line, image.state) for image in unlike] == [(3, ImageState.KEPT), (4, ImageState.FAILED), (5, ImageState.FAILED)]
    assert len(await locked_images.unlike_lock(any_database, dataset_id, limit=1)) == 1
