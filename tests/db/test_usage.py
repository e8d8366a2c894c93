"""Tests of app.db.usage: what a dataset takes, which versions are replaced, and logs of jobs that ended."""

from app.db import Database, datasets, events, jobs, usage, versions
from app.db.usage import DatasetUsage, LabelSplits
from app.job_states import JobState
from tests.db.builders import add_images, add_job
from tests.db.test_versions import version


async def test_bytes_of_a_dataset_are_its_own_or_shared(any_database: Database) -> None:
    """Equal bytes count once; so does an exported form, and is shared where another dataset has it, but not one that is only promised."""
    mine, other = await add_job(any_database), await add_job(any_database)
    stored = {"state": "kept", "sha256": "a" * 64, "size_bytes": 10}
    await add_images(any_database, mine, 2, changes=stored)
    resized = {"state": "kept", "sha256": "b" * 64, "size_bytes": 5, "out_sha256": "c" * 64, "out_size_bytes": 3}
    await add_images(any_database, mine, 1, first=2, changes=resized)
    promised = {"state": "failed", "reason": "timeout", "out_sha256": "d" * 64, "out_size_bytes": 7}
    await add_images(any_database, mine, 1, first=3, changes=promised)
    await add_images(any_database, other, 1, changes={"state": "kept", "sha256": "c" * 64, "size_bytes": 3})
    dataset_id = (await jobs.get(any_database, mine)).dataset_id
    found = await usage.of_dataset(any_database, dataset_id)
    assert found == DatasetUsage(rows=4, images=3, size_bytes=18, shared_bytes=3)
    assert found.own_bytes == 15
    async with any_database.write() as connection:
        empty = await datasets.create_dataset(connection, user_id="local", name="none")
    assert await usage.of_dataset(any_database, empty) == DatasetUsage(0, 0, 0, 0)


async def test_finished_versions_replace_older_ones(any_database: Database) -> None:
    """So many stay of each lineage; one that was never finished replaces nothing, and one with a job at work stays."""
    async with any_database.write() as connection:
        first = await datasets.create_dataset(connection, user_id="local", name="cats")
        second, third, unfinished = [
            await datasets.create_dataset(connection, user_id="local", name="cats", lineage_id=first) for _ in range(3)
        ]
        alone = await datasets.create_dataset(connection, user_id="local", name="dogs")
        for minor, dataset_id in enumerate((first, second, third)):
            await versions.add(connection, version(dataset_id, first, (1, minor, 0)))
        await versions.add(connection, version(alone, alone, (1, 0, 0)))
    assert [old.id for old in await usage.replaced_versions(any_database, 1)] == [first, second]
    assert [old.id for old in await usage.replaced_versions(any_database, 2)] == [first]
    assert await usage.replaced_versions(any_database, 3) == []
    assert unfinished


async def test_a_dataset_that_a_job_works_on_is_not_replaced(any_database: Database) -> None:
    """Until the job has ended."""
    job_id = await add_job(any_database)
    dataset_id = (await jobs.get(any_database, job_id)).dataset_id
    async with any_database.write() as connection:
        newer = await datasets.create_dataset(connection, user_id="local", name="cats", lineage_id=dataset_id)
        for minor, one in enumerate((dataset_id, newer)):
            await versions.add(connection, version(one, dataset_id, (1, minor, 0)))
    assert await usage.replaced_versions(any_database, 1) == []
    async with any_database.write() as connection:
        await jobs.end(connection, job_id, JobState.SUCCEEDED)
    assert [old.id for old in await usage.replaced_versions(any_database, 1)] == [dataset_id]


async def test_logs_of_ended_jobs_are_deleted_in_parts(any_database: Database) -> None:
    """Those of jobs at work stay."""
    ended, at_work = await add_job(any_database), await add_job(any_database)
    line = {"at": 1.0, "level": "INFO", "event": "job.planning", "data": {}}
    await events.add(any_database, [line | {"job_id": job_id} for job_id in (ended, ended, at_work)])
    async with any_database.write() as connection:
        await jobs.end(connection, ended, JobState.SUCCEEDED)
    now = await any_database.now() + 10
    assert await usage.count_log_lines(any_database, 0.0) == 0
    assert await usage.count_log_lines(any_database, now) == 2
    assert await usage.delete_log_lines(any_database, now) == 2
    assert await usage.count_log_lines(any_database, now) == 0
    assert len(await events.after(any_database, at_work)) == 1


async def test_labels_and_splits_of_kept_images(any_database: Database) -> None:
    """The most frequent label first; images without a label or a split are counted too, and others are not."""
    job_id = await add_job(any_database)
    for first, (number, values) in enumerate(
        [
            (3, {"state": "kept", "label": "cat", "split": "train"}),
            (1, {"state": "kept", "label": "cat", "split": "val"}),
            (2, {"state": "kept", "label": "dog"}),
            (1, {"state": "kept"}),
            (5, {"state": "rejected", "reason": "corrupt", "label": "cat", "split": "train"}),
        ]
    ):
        await add_images(any_database, job_id, number, first=10 * first, changes=values)
    dataset_id = (await jobs.get(any_database, job_id)).dataset_id
    found = await usage.labels_and_splits(any_database, dataset_id)
    assert found == [LabelSplits("cat", {"train": 3, "val": 1}), LabelSplits("dog", {None: 2}), LabelSplits(None, {None: 1})]
    assert found[0].kept == 4
    assert await usage.labels_and_splits(any_database, "ds_none") == []
