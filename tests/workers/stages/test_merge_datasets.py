"""A merge is a new dataset with the images of others: each URL and each picture once, and no split moves."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import errors
from app.datasets.leaks import split_report
from app.datasets.merge import submit_merge
from app.db import datasets, tables, versions
from app.db.exceptions import StateConflict
from app.domain import ImageState
from app.jobs.settle import resolve_spec, store_urls
from app.jobs.submit import Caller, submit_build
from app.spec import JobRequest, ListedImage
from tests.images.samples import encode, photo
from tests.origin import Origin, image, reply
from tests.workers.bench import Bench, open_bench

SHARES = {"train": 0.5, "val": 0.25, "test": 0.25}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A worker's means."""
    async with open_bench(tmp_path) as opened_bench:
        yield opened_bench


async def built(bench: Bench, name: str, listed: list[Mapping[str, Any]], **request: Any) -> str:
    """Build a list; the dataset's id."""
    items = [ListedImage(**item) for item in listed]
    spec = resolve_spec(bench.resources, JobRequest(urls=list(items), **request), url_list=await store_urls(bench.resources, items))
    job_id = (await submit_build(bench.resources, spec, name=name)).job_id
    await bench.drive()
    return (await bench.job(job_id)).dataset_id


async def merged(bench: Bench, *dataset_ids: str, **options: Any) -> str:
    """Merge datasets; the new one's id."""
    made = await submit_merge(bench.resources, dataset_ids, **options)
    await bench.drive()
    job = await bench.job(made.job_id)
    assert (job.state, job.error) == ("succeeded", None)
    return job.dataset_id


async def rows_of(bench: Bench, dataset_id: str) -> dict[str, Any]:
    """The rows of a dataset by the last part of their URLs."""
    async with bench.db.read() as connection:
        rows = (await connection.execute(select(tables.images).where(tables.images.c.dataset_id == dataset_id))).all()
    return {row.url.rpartition("/")[2]: row for row in rows}


def served(origin: Origin, name: str, seed: int, **values: Any) -> dict[str, Any]:
    return {"url": origin.script(f"/{name}", image(encode(photo(96, 96, seed=seed)))), **values}


async def test_a_merge_has_the_images_of_all_and_keeps_their_splits(bench: Bench, origin: Origin) -> None:
    """Nothing is requested; licence and origin stay; the version names its parents, and these are as they were."""
    first = [served(origin, f"a{at}.jpg", at, label="cat", license="CC0-1.0", creator="Ann") for at in range(12)]
    second = [served(origin, f"b{at}.jpg", 100 + at, label="dog") for at in range(12)]
    one = await built(bench, "cats", first, splits=SHARES)
    other = await built(bench, "dogs", second, splits={"train": 0.5, "holdout": 0.5}, export_format="webdataset")
    before = {**await rows_of(bench, one), **await rows_of(bench, other)}
    dataset_id = await merged(bench, one, other)
    rows = await rows_of(bench, dataset_id)
    assert {name: (row.state, row.label, row.split) for name, row in rows.items()} == {
        name: ("kept", row.label, row.split) for name, row in before.items()
    }
    assert {rows[f"a{at}.jpg"].license for at in range(12)} == {"CC0-1.0"}
    assert {row.copied_from for row in rows.values()} == {row.id for row in before.values()}
    assert all(len(origin.hits(f"/{name}")) == 1 for name in rows)
    async with bench.db.read() as connection:
        version = await versions.newest_of_dataset(connection, dataset_id)
        export = (await connection.execute(select(tables.exports).where(tables.exports.c.dataset_id == dataset_id))).one()
        dataset = (await connection.execute(select(tables.datasets).where(tables.datasets.c.id == dataset_id))).one()
    assert version is not None
    assert version.changes is not None
    assert (version.kind, version.number, version.changes["merged"]) == ("merge", "1.0.0", ["cats 1.0.0", "dogs 1.0.0"])
    assert (export.state, export.format, export.samples) == ("ready", "files", 24)
    assert (dataset.name, dataset.lineage_id) == ("cats + dogs", dataset_id)
    assert {**await rows_of(bench, one), **await rows_of(bench, other)} == before


async def test_a_url_of_both_is_there_once_and_the_image_that_is_kept_wins(bench: Bench, origin: Origin) -> None:
    """Its first label by the policy for labels, or none where they differ; a failure gives way to an image."""
    shared = served(origin, "shared.jpg", 1)
    agreed = served(origin, "agreed.jpg", 2, label="cat")
    gone = {"url": origin.script("/late.jpg", reply(404), image(encode(photo(96, 96, seed=3)))), "label": "cat"}
    one = await built(bench, "one", [shared | {"label": "cat"}, agreed, gone])
    other = await built(
        bench, "two", [shared | {"label": "dog"}, agreed | {"label": "Cat"}, gone, served(origin, "own.jpg", 4, label="dog")]
    )
    assert (await rows_of(bench, one))["late.jpg"].state == ImageState.FAILED
    first = await rows_of(bench, await merged(bench, one, other, label_conflicts="keep-first"))
    assert {name: (row.state, row.label) for name, row in first.items()} == {
        "shared.jpg": ("kept", "cat"), "agreed.jpg": ("kept", "cat"), "late.jpg": ("kept", "cat"), "own.jpg": ("kept", "dog")
    }  # fmt: skip
    none = await rows_of(bench, await merged(bench, one, other, label_conflicts="drop"))
    assert (none["shared.jpg"].state, none["shared.jpg"].reason) == ("rejected", "label_conflict")
    assert none["shared.jpg"].detail == "the datasets give its URL different labels: cat, dog"
    assert [none[name].state for name in ("agreed.jpg", "late.jpg", "own.jpg")] == ["kept"] * 3


async def test_copies_are_found_over_all_and_train_wins(bench: Bench, origin: Origin) -> None:
    """An image that one dataset trained on is not tested on as the better copy of the other."""
    small = [photo(96, 96, seed=seed, noise=0.0) for seed in range(16)]
    one = await built(
        bench,
        "small",
        [{"url": origin.script(f"/s{at}.png", image(encode(one, "PNG")))} for at, one in enumerate(small)],
        splits={"train": 1.0},
    )
    large = [picture.resize((192, 192)) for picture in small]
    listed = [{"url": origin.script(f"/l{at}.png", image(encode(one, "PNG")))} for at, one in enumerate(large)]
    other = await built(bench, "large", listed, splits={"train": 0.5, "test": 0.5})
    assert "test" in {row.split for row in (await rows_of(bench, other)).values()}
    rows = await rows_of(bench, await merged(bench, other, one))
    assert {(row.state, row.split) for name, row in rows.items() if name[0] == "l"} == {("kept", "train")}
    assert {(row.state, row.reason) for name, row in rows.items() if name[0] == "s"} == {("duplicate", "duplicate_near")}
    assert (await split_report(bench.db, next(iter(rows.values())).dataset_id)).leaks == {}


async def test_a_dataset_that_is_merged_is_not_removed_meanwhile(bench: Bench, origin: Origin) -> None:
    """The merge would silently lack its images."""
    ids = [await built(bench, name, [served(origin, f"{name}.jpg", number)]) for number, name in enumerate(("one", "two"))]
    await submit_merge(bench.resources, ids)
    for dataset_id in ids:
        with pytest.raises(StateConflict, match=f"works with dataset {dataset_id}"):
            await datasets.delete_dataset(bench.db, dataset_id)


async def test_what_cannot_be_merged_is_refused(bench: Bench, origin: Origin) -> None:
    """One dataset, one twice, somebody else's, an empty one, and one that is being built; nothing is written."""
    one = await built(bench, "one", [served(origin, "a.jpg", 1)])
    other = await built(bench, "two", [served(origin, "b.jpg", 2)])
    empty = await built(bench, "none", [{"url": origin.script("/none.jpg", reply(404))}])
    running = (await bench.job(await bench.submit([origin.url("/a.jpg")]))).dataset_id
    for ids, caller, kind, words in (
        ([one], "local", errors.ValidationError, "a merge takes 2 to 100 datasets, 1 were given"),
        ([one, other, one], "local", errors.ValidationError, f"dataset {one} is named twice"),
        ([one, other], "bob", errors.NotFoundError, f"no dataset {one}"),
        ([one, empty], "local", StateConflict, f"dataset {empty} has no version: no image is kept"),
        ([one, running], "local", StateConflict, f"still works on dataset {running}; wait for its end, or cancel it"),
    ):
        with pytest.raises(kind, match=words):
            await submit_merge(bench.resources, ids, caller=Caller(user_id=caller))
    async with bench.db.read() as connection:
        assert len((await connection.execute(select(tables.datasets.c.id))).all()) == 4
