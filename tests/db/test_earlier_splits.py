"""Tests of app.db.earlier_splits: members of clusters, the earlier dataset of the same name, and the splits that it gave."""

from app.db import Database, datasets, tables
from app.db.earlier_splits import ClusterMember, find_earlier, left_out, split_keys, splits_in
from app.domain import ImageState
from app.images.split_groups import SplitKeys
from tests.db.builders import add_images, add_job, change

SHARES = {"train": 0.8, "test": 0.2}
SPEC = {"splits": SHARES, "seed": 3}


async def built(db: Database, name: str = "cats", user_id: str = "local", spec: dict[str, object] = SPEC) -> tuple[str, str]:
    """A dataset of that name with a build; its id and its job's."""
    async with db.write() as connection:
        dataset_id = await datasets.create_dataset(connection, user_id=user_id, name=name)
    return dataset_id, await add_job(db, dataset_id=dataset_id, user_id=user_id, spec=spec)


async def test_images_that_were_left_out_are_read_with_their_group(any_database: Database) -> None:
    """By id, page by page: the group that a source gave, else the digest. Other images are none."""
    dataset_id, job_id = await built(any_database)
    kept, *copies = await add_images(any_database, job_id, 3, changes={"state": "kept", "sha256": "a" * 64})
    for copy, values in zip(copies, ({"sha256": "b" * 64}, {"group_id": "album"}), strict=True):
        await change(any_database, tables.images, copy, state="duplicate", duplicate_of=kept, **values)
    async with any_database.read() as connection:
        found = await left_out(connection, dataset_id, page=1)
    assert found == [ClusterMember(copies[0], kept, "b" * 64), ClusterMember(copies[1], kept, "album")]


async def test_keys_of_an_image_in_a_folder_have_the_url_that_it_came_from(any_database: Database) -> None:
    """As its exports do; of other images their own. Pages of any size give all of them."""
    dataset_id, job_id = await built(any_database)
    here, stated, listed = await add_images(any_database, job_id, 3, changes={"state": "kept", "sha256": "a" * 64, "split": "test"})
    for image_id, values in ((here, {}), (stated, {"stated": {"url": "https://example.net/x.jpg"}})):
        await change(any_database, tables.images, image_id, source="folder", **values)
    await change(any_database, tables.images, listed, phash="0f", group_id="g", creator="Ann", page_url="https://example.org/")
    async with any_database.read() as connection:
        found = [row async for page in split_keys(connection, dataset_id, [ImageState.KEPT], page=2) for row in page]
    assert [(image_id, split, keys.url) for image_id, split, keys in found] == [
        (here, "test", "https://example.org/0.jpg"),
        (stated, "test", "https://example.net/x.jpg"),
        (listed, "test", "https://example.org/2.jpg"),
    ]
    assert found[2][2] == SplitKeys("0f", "g", "Ann", "https://example.org/", "https://example.org/2.jpg")


async def test_the_newest_earlier_dataset_with_the_same_shares_is_found(any_database: Database) -> None:
    """Of the same user and name, with images; other shares or another seed ask for another division."""
    dataset_id, job_id = await built(any_database)
    await add_images(any_database, job_id, 1, changes={"state": "kept"})
    others = [
        await built(any_database, "dogs"),
        await built(any_database, user_id="other"),
        await built(any_database, spec={"splits": {"train": 0.7, "test": 0.3}, "seed": 3}),
        await built(any_database, spec={"splits": {"train": 1.0}, "seed": 3}),
        await built(any_database, spec=SPEC | {"seed": 4}),
    ]
    for _, other in others:
        await add_images(any_database, other, 1, changes={"state": "kept"})
    await built(any_database)  # without images
    now, _ = await built(any_database)
    async with any_database.read() as connection:
        assert await find_earlier(connection, now, SHARES, 3) == dataset_id
        assert await find_earlier(connection, now, SHARES, 5) is None
        assert await find_earlier(connection, dataset_id, SHARES, 3) is None, "nothing is earlier than the first"


async def test_an_image_had_the_split_of_its_url_or_of_the_image_kept_for_it(any_database: Database) -> None:
    """What was not part of the earlier dataset had none; nor has what is not part of this one."""
    earlier_id, earlier_job = await built(any_database)
    kept, copy, failed, out, _ = await add_images(any_database, earlier_job, 5, changes={"state": "kept", "split": "test"})
    await change(any_database, tables.images, copy, state="duplicate", duplicate_of=kept, split="train")
    await change(any_database, tables.images, failed, state="failed")
    await change(any_database, tables.images, out, state="rejected")
    now, job_id = await built(any_database)
    images = await add_images(any_database, job_id, 6, changes={"state": "valid"})
    await change(any_database, tables.images, images[0], state="duplicate", duplicate_of=images[1])
    await change(any_database, tables.images, images[4], state="rejected")
    async with any_database.read() as connection:
        assert await splits_in(connection, now, earlier_id) == {images[0]: "test", images[1]: "test"}
