"""Tests of app.db.datasets: what a user asked of a dataset, and what came of it."""

from typing import Any

import pytest

import errors
from app.db import Database, datasets, images, jobs, tables
from app.db.exceptions import StateConflict
from app.db.rows import Export
from app.job_states import JobKind, JobState
from tests.db.builders import add_images, add_job, change, count, dataset_of, end_job, job_row, pages_of


async def add_export(db: Database, *, user_id: str = "ann", dataset_id: str | None = None) -> Export:
    """An export with a job of its own."""
    job_id = await add_job(db, user_id=user_id, dataset_id=dataset_id, kind=JobKind.EXPORT)
    dataset_id = (await job_row(db, job_id)).dataset_id
    async with db.write() as connection:
        export_id = await datasets.add_export(
            connection, user_id=user_id, dataset_id=dataset_id, job_id=job_id, export_format="webdataset", storage_tier="standard"
        )
    return await datasets.get_export(db, export_id)


async def set_export(db: Database, export: Export, **values: Any) -> Export:
    async with db.write() as connection:
        await datasets.set_export(connection, export.id, **values)
    return await datasets.get_export(db, export.id)


async def add_check(db: Database, export: Export, *, kind: str = "verify", with_export: bool = True) -> str:
    async with db.write() as connection:
        return await datasets.add_check(
            connection, user_id=export.user_id, dataset_id=export.dataset_id, job_id=export.job_id, kind=kind,
            options={"level": "strict"}, export_id=export.id if with_export else None,
        )  # fmt: skip


async def test_an_export_from_its_wish_to_its_publication(any_database: Database) -> None:
    """Pending at first; what is written about it is read back; the moment it is ready is the moment it was verified."""
    export = await add_export(any_database)
    assert (export.state, export.format, export.storage_tier, export.prefix, export.report, export.verified_at) == (
        "pending", "webdataset", "standard", None, None, None,
    )  # fmt: skip
    report = {"samples": 3, "files": {"train/000000.tar": 2_000_000_000}}
    export = await set_export(any_database, export, state="written", prefix="exports/x", samples=3, size_bytes=5_000_000_000, report=report)
    assert (export.state, export.samples, export.size_bytes, export.report) == ("written", 3, 5_000_000_000, report)
    assert export.verified_at is None
    export = await set_export(any_database, export, state="failed", problems=["shard 0 is cut"], error="verification failed")
    assert (export.problems, export.error, export.verified_at) == (["shard 0 is cut"], "verification failed", None)
    export = await set_export(any_database, export, state="ready")
    assert export.verified_at is not None
    assert export.verified_at >= export.created_at


async def test_exports_and_checks_belong_to_their_user(any_database: Database) -> None:
    """Foreign ones are not found, as those that do not exist."""
    export = await add_export(any_database)
    check_id = await add_check(any_database, export)
    assert (await datasets.get_export(any_database, export.id, user_id="ann")).id == export.id
    assert (await datasets.get_check(any_database, check_id, user_id="ann")).id == check_id
    assert (await datasets.get_file(any_database, export.id, "a", user_id="ann"))[0].id == export.id
    for wanted, user_id in ((export.id, "bob"), ("exp_unknown", None)):
        with pytest.raises(errors.NotFoundError, match=f"no export {wanted}"):
            await datasets.get_export(any_database, wanted, user_id=user_id)
        with pytest.raises(errors.NotFoundError, match=f"no export {wanted}"):
            await datasets.get_file(any_database, wanted, "a", user_id=user_id)
    with pytest.raises(errors.NotFoundError, match=f"no check {check_id}"):
        await datasets.get_check(any_database, check_id, user_id="bob")
    assert (await datasets.page_exports(any_database, user_id="bob")).items == []
    assert (await datasets.page_checks(any_database, user_id="bob")).items == []


async def test_the_size_of_one_file_of_an_export(any_database: Database) -> None:
    """Read from the report without reading the report; None for any path that the export does not have, whatever its characters."""
    sizes = {"train/cat/000000_0a1b.jpg": 12_345, "train/000000.tar": 5_000_000_000, "metadata.jsonl": 0}
    export = await set_export(any_database, await add_export(any_database), report={"files": sizes, "samples": 7})
    for path, wanted in sizes.items():
        found, size = await datasets.get_file(any_database, export.id, path)
        assert (found.id, found.report, size) == (export.id, None, wanted)
    for path in ("", "train", "samples", 'a"b', "a\\b", "a{}[0]$.b", "'", "é 🐈", "train/000000.tar/", "%"):
        assert (await datasets.get_file(any_database, export.id, path))[1] is None


async def test_an_export_without_a_report_has_no_files(any_database: Database) -> None:
    """Before it is written there is nothing to take."""
    export = await add_export(any_database)
    assert (await datasets.get_file(any_database, export.id, "a"))[1] is None


async def test_the_exports_of_a_job(any_database: Database) -> None:
    """Newest first, with or without their reports; and those that an export job was made for."""
    first = await set_export(any_database, await add_export(any_database), report={"samples": 1})
    assert await datasets.exports_of_job(any_database, first.job_id) == [first]
    (bare,) = await datasets.exports_of_job(any_database, first.job_id, with_report=False)
    assert (bare.id, bare.report, bare.problems) == (first.id, None, None)
    async with any_database.write() as connection:
        assert await datasets.export_ids_of_job(connection, first.job_id) == [first.id]
        assert await datasets.export_ids_of_job(connection, "job_unknown") == []
        second = await datasets.add_export(
            connection, user_id="ann", dataset_id=first.dataset_id, job_id=first.job_id, export_format="files", storage_tier="standard"
        )
    assert [export.id for export in await datasets.exports_of_job(any_database, first.job_id)] == [second, first.id]


async def test_a_check_and_what_it_found(any_database: Database) -> None:
    """Its options as they were given, its report once its job has written one."""
    export = await add_export(any_database)
    check_id, other = await add_check(any_database, export), await add_check(any_database, await add_export(any_database))
    check = await datasets.get_check(any_database, check_id)
    assert (check.kind, check.options, check.report, check.export_id) == ("verify", {"level": "strict"}, None, export.id)
    async with any_database.write() as connection:
        await datasets.set_report(connection, export.job_id, {"problems": []})
    assert (await datasets.get_check(any_database, check_id)).report == {"problems": []}
    assert (await datasets.get_check(any_database, other)).report is None


async def test_exports_and_checks_are_listed_newest_first(any_database: Database) -> None:
    """Of a dataset or of a user, page by page, each once, even where they were made at the same moment."""
    first = await add_export(any_database)
    made = [first, *[await add_export(any_database, dataset_id=first.dataset_id) for _ in range(6)]]
    elsewhere = await add_export(any_database)
    for export in made[2:5]:
        await change(any_database, tables.exports, export.id, created_at=1_700_000_000.5)
    checks = [await add_check(any_database, export, kind="integrity", with_export=False) for export in made]

    async def listed(fetch: Any, **wanted: Any) -> list[str]:
        return [item.id async for page in pages_of(fetch, db=any_database, limit=2, **wanted) for item in page.items]

    ids = [export.id for export in made]
    expected = [*ids[:4:-1], *ids[1::-1], *ids[4:1:-1]]
    assert await listed(datasets.page_exports, dataset_id=first.dataset_id) == expected
    assert await listed(datasets.page_exports, user_id="ann") == [elsewhere.id, *expected]
    assert await listed(datasets.page_checks, dataset_id=first.dataset_id, user_id="ann") == checks[::-1]
    assert len((await datasets.page_exports(any_database, limit=0)).items) == 1


async def test_where_exports_lie(any_database: Database) -> None:
    """Those that were written; clean-up spares them."""
    await add_export(any_database)
    await set_export(any_database, await add_export(any_database), prefix="exports/x")
    assert await datasets.prefixes(any_database) == {"exports/x"}


async def test_a_dataset_belongs_to_its_user(any_database: Database) -> None:
    """A foreign one is not found, as one that does not exist."""
    async with any_database.write() as connection:
        dataset_id = await datasets.create_dataset(connection, user_id="ann", name="cats")
    dataset = await datasets.get_dataset(any_database, dataset_id, user_id="ann")
    assert (dataset.id, dataset.user_id, dataset.name) == (dataset_id, "ann", "cats")
    assert abs(dataset.created_at - await any_database.now()) < 60
    assert await datasets.get_dataset(any_database, dataset_id) == dataset
    for wanted, user_id in ((dataset_id, "bob"), ("ds_unknown", "ann")):
        with pytest.raises(errors.NotFoundError, match=f"no dataset {wanted}"):
            await datasets.get_dataset(any_database, wanted, user_id=user_id)


async def test_datasets_are_listed_newest_first_page_by_page(any_database: Database) -> None:
    """Every dataset of the user once, even where many were made at the same moment."""
    async with any_database.write() as connection:
        ids = [await datasets.create_dataset(connection, user_id="ann", name=f"dataset {number}") for number in range(25)]
        await datasets.create_dataset(connection, user_id="bob", name="other")
    for dataset_id in ids[5:20]:
        await change(any_database, tables.datasets, dataset_id, created_at=1_700_000_000.123456)
    seen = []
    async for page in pages_of(lambda cursor: datasets.list_datasets(any_database, user_id="ann", limit=4, cursor=cursor)):
        seen += [dataset.id for dataset in page.items]
    assert seen == [*ids[:19:-1], *ids[4::-1], *ids[19:4:-1]]


async def test_a_dataset_goes_with_all_that_hangs_on_it(any_database: Database) -> None:
    """Jobs, units, searches, chunks, images, attempts, exports, checks and events; the other dataset keeps its own."""
    job_id, other = await add_job(any_database), await add_job(any_database)
    for owner in (job_id, other):
        dataset_id = await dataset_of(any_database, owner)
        await add_images(any_database, owner, 2)
        async with any_database.write() as connection:
            await jobs.add_searches(connection, owner, [("wikimedia", "cat", "cat")])
            await images.add_chunks(connection, owner, {f"chunk_{owner}"[:40]: 2})
            export_id = await datasets.add_export(
                connection, user_id="local", dataset_id=dataset_id, job_id=owner, export_format="files", storage_tier="standard"
            )
            about = {"user_id": "local", "dataset_id": dataset_id, "job_id": owner, "export_id": export_id}
            await datasets.add_check(connection, kind="verify", options={}, **about)
    with pytest.raises(StateConflict, match=f"job {job_id} still works with dataset"):
        await datasets.delete_dataset(any_database, await dataset_of(any_database, job_id))
    await end_job(any_database, job_id, JobState.SUCCEEDED)
    await datasets.delete_dataset(any_database, await dataset_of(any_database, job_id))
    await datasets.delete_dataset(any_database, "ds_unknown")
    singles = (tables.datasets, tables.jobs, tables.units, tables.searches, tables.chunks)
    assert [await count(any_database, table) for table in singles] == [1] * 5
    assert [await count(any_database, table) for table in (tables.images, tables.exports, tables.checks)] == [2, 1, 1]


async def test_datasets_by_a_part_of_their_name(any_database: Database) -> None:
    """In whatever case; signs of LIKE mean themselves."""
    async with any_database.write() as connection:
        for name in ("Red_Birds", "birds 100%", "cats"):
            await datasets.create_dataset(connection, user_id="ann", name=name)
        await datasets.create_dataset(connection, user_id="bob", name="bobs birds")
    for part, names in (("BIRD", {"Red_Birds", "birds 100%"}), ("d_b", {"Red_Birds"}), ("%", {"birds 100%"}), ("dogs", set())):
        found = await datasets.list_datasets(any_database, user_id="ann", name=part)
        assert {dataset.name for dataset in found.items} == names
