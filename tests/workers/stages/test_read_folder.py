"""Tests of workers.stages.read_folder: a folder's images become rows and blobs, each once, whatever dies in between."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import errors
from app.cli.demo import pictures
from app.db import images, tables
from app.domain import ImageState, Reason
from app.job_states import UnitKind
from app.jobs import cleaning
from app.jobs.settle import resolve_spec
from app.jobs.submit import submit_build
from app.spec import FolderSpec, JobRequest
from app.storage import open_store, paths
from logging_setup.config import add_sink, remove_sink
from tests.discovery.folders.trees import hugging_face_table, img2dataset_shard, jpeg, write
from tests.workers.bench import Bench, open_bench
from workers.stages.read_folder import folder_pages


async def submit(bench: Bench, folder: Path, **request: Any) -> str:
    """Submit a build of a folder, return the job's id."""
    spec = FolderSpec(path=str(folder), name=folder.name)
    asked = JobRequest(urls=["in a folder"], **request)
    return (await submit_build(bench.resources, resolve_spec(bench.resources, asked, folder=spec), name="test")).job_id


async def rows(bench: Bench) -> list[Any]:
    """The rows of all images, by id."""
    async with bench.db.read() as connection:
        return list((await connection.execute(select(tables.images).order_by(tables.images.c.id))).all())


def mixed(root: Path) -> Path:
    """Files, a tar, a packed tar and a table."""
    write(root, {f"cat/{number}.jpg": jpeg(number) for number in range(530)})
    img2dataset_shard(root / "shards/0.tar", range(1300, 1330))
    img2dataset_shard(root / "shards/1.tar.gz", range(1400, 1420), "w:gz")
    hugging_face_table(root / "table/0.parquet", range(1500, 1520))
    return root


async def test_every_image_becomes_a_row_with_its_bytes(bench: Bench, tmp_path: Path) -> None:
    """Files are linked, parts of files copied; no request is made, and nothing of it is counted as one."""
    folder = mixed(tmp_path / "data")
    await submit(bench, folder)
    for kind in (UnitKind.PLAN, UnitKind.SEARCH, UnitKind.FETCH):
        await bench.run_kind(kind)
    found = await rows(bench)
    assert len(found) == 600
    assert {row.state for row in found} == {ImageState.FETCHED}
    assert {(row.robots, row.opt_out, row.final_url) for row in found} == {(None, None, None)}
    for row in found:
        blob = bench.context.store.local_path(paths.blob(row.sha256))
        assert blob is not None
        assert blob.read_bytes().startswith(b"\xff\xd8\xff\xe0image")
        assert blob.stat().st_nlink == (2 if row.url.endswith(".jpg") and "#" not in row.url else 1)
    async with bench.db.read() as connection:
        assert (await connection.execute(select(tables.attempts))).all() == []
        searches = (await connection.execute(select(tables.searches))).all()
    assert [(search.source, search.found, search.new, search.bad, search.is_exhausted) for search in searches] == [
        ("folder", 600, 600, 0, True)
    ]


async def test_a_search_that_dies_at_any_page_loses_and_doubles_nothing(bench: Bench, tmp_path: Path) -> None:
    """It is stopped after each page, and a new one goes on with nothing but the row of the search."""
    folder = mixed(tmp_path / "data")
    await submit(bench, folder)
    await bench.run_kind(UnitKind.PLAN)
    pages = 0
    while not await _one_page(bench):
        pages += 1
        assert pages < 50
    found = await rows(bench)
    assert pages >= 2
    assert len(found) == len({row.url for row in found}) == 600
    assert sorted(row.rank for row in found) == list(range(600))


async def _one_page(bench: Bench) -> bool:
    """Run the search until its first page is in; whether it is exhausted."""
    async with bench.db.read() as connection:
        before = (await connection.execute(select(tables.searches.c.cursor))).scalar_one()
    (delivery,) = [delivery for delivery in await bench.due() if delivery.kind is UnitKind.SEARCH]
    sink = add_sink(lambda line: bench.stop_what_runs() if line["event"] == "search.page" else None, level="DEBUG")
    try:
        await bench.run(delivery)
    finally:
        remove_sink(sink)
    async with bench.db.read() as connection:
        after = (await connection.execute(select(tables.searches))).one()
    assert after.is_exhausted or after.cursor != before
    return bool(after.is_exhausted)


async def test_a_chunk_that_is_read_again_reads_what_is_missing(bench: Bench, tmp_path: Path) -> None:
    """A stop in the middle releases the unit; images with an outcome stay."""
    folder = write(tmp_path / "data", {f"{number}.jpg": jpeg(number) for number in range(3)})
    await submit(bench, folder)
    await bench.run_kind(UnitKind.PLAN)
    await bench.run_kind(UnitKind.SEARCH)
    found = await rows(bench)
    async with bench.db.write() as connection:
        await images.update_alike(connection, [found[0].id], {"state": ImageState.FAILED, "reason": Reason.CANCELLED})
    await bench.run_kind(UnitKind.FETCH)
    assert [row.state for row in await rows(bench)] == [ImageState.FAILED, ImageState.FETCHED, ImageState.FETCHED]


async def test_what_cannot_be_read_is_a_row_with_its_reason(bench: Bench, tmp_path: Path) -> None:
    """And the limit on bytes holds."""
    files = {"empty.jpg": b"", "ok.jpg": jpeg(1), "page.jpg": b"<html>", "big.jpg": jpeg(1) + bytes(30_000_000)}
    folder = write(tmp_path / "data", files)
    (folder / "gone.jpg").symlink_to("nothing")
    await submit(bench, folder)
    for kind in (UnitKind.PLAN, UnitKind.SEARCH, UnitKind.FETCH):
        await bench.run_kind(kind)
    found = {row.url.rpartition("/")[2]: (row.state, row.reason, row.detail) for row in await rows(bench)}
    assert found == {
        "big.jpg": ("failed", "too_large", "30000011 bytes, more than 30000000"),
        "empty.jpg": ("failed", "empty_body", "the file is empty"),
        "gone.jpg": ("failed", "unreadable", "the file cannot be read: No such file or directory"),
        "ok.jpg": ("fetched", None, None),
        "page.jpg": ("failed", "not_an_image", "the file is HTML"),
    }


async def test_a_folder_that_is_gone_fails_nothing(bench: Bench, tmp_path: Path) -> None:
    """The unit is released, in each stage; once the disk is mounted again the build goes on."""
    folder = write(tmp_path / "data", {"1.jpg": jpeg(1)})
    job_id = await submit(bench, folder)
    await bench.run_kind(UnitKind.PLAN)
    await bench.run_kind(UnitKind.SEARCH)
    shutil.move(folder, tmp_path / "away")
    await bench.run_kind(UnitKind.FETCH)
    assert [row.state for row in await rows(bench)] == [ImageState.PENDING]
    assert "is its disk mounted" in str((await bench.job(job_id)).waiting_for)
    with pytest.raises(errors.StorageError, match="is its disk mounted"):
        await anext(folder_pages(FolderSpec(path=str(folder), name="data"), bench.context.worker_resources.tars, None))


async def test_a_whole_build_keeps_what_is_good(bench: Bench, tmp_path: Path) -> None:
    """From the folder to the export: labels and splits are the folder's, a duplicate is one."""
    bodies = [pictures.encoded(pictures.photograph(seed)) for seed in range(4)]
    files = {f"{'test' if at == 3 else 'train'}/{'owl' if at % 2 else 'cat'}/{at}.jpg": body for at, body in enumerate(bodies)}
    folder = write(tmp_path / "data", files | {"train/cat/copy.jpg": bodies[0]})
    job_id = await submit(bench, folder)
    await bench.drive()
    found = [(row.split, row.label) for row in await rows(bench) if row.state == ImageState.KEPT]
    assert sorted(found) == [("test", "owl"), ("train", "cat"), ("train", "cat"), ("train", "owl")]
    assert (await bench.funnel(job_id)).reasons == {Reason.DUPLICATE_EXACT: 1}


async def test_a_target_leaves_the_rest_of_a_folder_unread(bench: Bench, tmp_path: Path) -> None:
    """As with a list."""
    bodies = [pictures.encoded(pictures.photograph(seed)) for seed in range(8)]
    folder = write(tmp_path / "data", {f"{at}.jpg": body for at, body in enumerate(bodies)})
    job_id = await submit(bench, folder, max_images=2)
    await bench.drive()
    assert (await bench.funnel(job_id)).kept == 2


async def test_bytes_are_copied_into_a_store_that_is_no_folder(tmp_path: Path) -> None:
    """The process that reads the folder sends them."""
    folder = write(tmp_path / "data", {"1.jpg": jpeg(1)})
    async with open_bench(tmp_path / "workspace", {"storage.url": "memory://"}) as bench:
        await submit(bench, folder)
        for kind in (UnitKind.PLAN, UnitKind.SEARCH, UnitKind.FETCH):
            await bench.run_kind(kind)
        (row,) = await rows(bench)
        assert await bench.context.store.get(paths.blob(row.sha256)) == jpeg(1)
    assert open_store("memory://").root is None


async def test_a_linked_blob_is_as_young_as_its_link(bench: Bench, tmp_path: Path) -> None:
    """Its file may be years old: what was linked just now, and has no row yet, is not cleaned up, and never the file itself."""
    folder = write(tmp_path / "data", {"1.jpg": jpeg(1)})
    os.utime(folder / "1.jpg", (1_000_000_000, 1_000_000_000))
    await submit(bench, folder)
    for kind in (UnitKind.PLAN, UnitKind.SEARCH, UnitKind.FETCH):
        await bench.run_kind(kind)
    (row,) = await rows(bench)
    async with bench.db.write() as connection:
        await images.update_alike(connection, [row.id], {"sha256": None, "state": ImageState.PENDING})
    store = bench.context.store
    assert (await cleaning.clean(bench.db, store)).blobs == 0
    assert await store.exists(paths.blob(row.sha256))
    assert (await cleaning.clean(bench.db, store, min_age_s=-60.0)).blobs == 1
    assert not await store.exists(paths.blob(row.sha256))
    assert (folder / "1.jpg").read_bytes() == jpeg(1)
    assert await store.linked_at(paths.blob(row.sha256)) == 0.0
