"""Tests of app.datasets.versions: what a version says of a dataset, and which jobs record one."""

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import errors
from app.datasets import versions
from app.datasets.diff import Changes
from app.datasets.versions import changes_in_place, recipe_of
from app.db import Database, datasets, tables
from app.db import versions as version_rows
from app.db.exceptions import StateConflict
from app.db.rows import Version
from app.domain import ImageState
from app.export_spec import ExportRequest
from app.exports.provenance import Provenance
from app.job_states import CheckKind, JobKind
from app.jobs.submit import submit_check, submit_export, submit_retry
from app.resources import Resources
from app.rules import CompressionRules
from app.settings import load_settings
from logging_setup.config import add_sink, remove_sink
from tests.db.builders import add_images, add_job, dataset_of
from tests.images.samples import encode, photo
from tests.origin import Origin, image, reply
from tests.workers.bench import Bench, open_bench


def kept(number: int, **more: Any) -> dict[str, Any]:
    """The columns of a kept image."""
    values = {"state": ImageState.KEPT, "sha256": f"{number:064x}", "size_bytes": 100 + number, "label": "cat", "split": "train"}
    return values | {"license": "CC-BY-4.0", "caption": f"ünï {number}", "captions": ["a", "b"], "extra": {"b": 1.5, "a": [True]}} | more


def on(db: Database) -> Resources:
    """What a version is read with: a database and settings."""
    return Resources(load_settings({}), db, None, None)  # type: ignore[arg-type]


async def add_kept(db: Database, job_id: str, numbers: Sequence[int], **more: Any) -> None:
    """Kept images, one for each number, in this order."""
    for number in numbers:
        await add_images(db, job_id, first=number, changes=kept(number, **more))


async def test_the_digest_does_not_depend_on_the_order_in_which_images_came(any_database: Database) -> None:
    """Nor on ids, times and jobs; it is the same in every database."""
    one, other = [await add_job(any_database) for _ in range(2)]
    await add_kept(any_database, one, [1, 2, 3])
    await add_kept(any_database, other, [3, 1, 2])
    found = [await versions.read_state(on(any_database), await dataset_of(any_database, job_id)) for job_id in (one, other)]
    assert found[0].digest == found[1].digest == "9dbde3a3b1f8242aea456a65fa25d5329e8a05254143e8f18ffca4ebf5f2dad5"
    assert (found[0].images, found[0].size_bytes, found[0].changes) == (3, 306, Changes(added=3))


@pytest.mark.parametrize(
    "change",
    [{"sha256": "f" * 64}, {"label": "dog"}, {"labels": ["cat", "dog"]}, {"split": "test"}, {"license": None}, {"boxes": [{"label": "x"}]}],
)
async def test_the_digest_sees_what_leaves_with_an_image(database: Database, change: dict[str, Any]) -> None:
    """Its bytes, labels, split and texts."""
    one, other = [await add_job(database) for _ in range(2)]
    await add_kept(database, one, [1])
    await add_kept(database, other, [1], **change)
    found = [await versions.read_state(on(database), await dataset_of(database, job_id)) for job_id in (one, other)]
    assert found[0].digest != found[1].digest


async def test_the_form_of_the_images_is_part_of_the_digest(database: Database) -> None:
    """By its recipe, not by the bytes that a library made of it."""
    jpeg = {"compression": {"format": "jpeg"}}
    plain, encoded = await add_job(database), await add_job(database, spec=jpeg)
    await add_kept(database, plain, [1])
    await add_kept(database, encoded, [1], out_sha256="e" * 64)
    found = [await versions.read_state(on(database), await dataset_of(database, job_id)) for job_id in (plain, encoded)]
    assert found[0].digest != found[1].digest
    assert recipe_of(CompressionRules()) == recipe_of(CompressionRules(size=512)) == {}
    assert recipe_of(CompressionRules(format="webp", level=80)) == {"format": "webp", "level": 80}


async def test_a_dataset_without_a_version_gets_one(any_database: Database) -> None:
    """Once: what has not changed is not recorded again."""
    dataset_id = await dataset_of(any_database, job_id := await add_job(any_database, 0, kind=JobKind.EXPORT))
    await add_kept(any_database, job_id, [1, 2])
    first = await versions.ensure(on(any_database), dataset_id)
    assert (first.number, first.kind, first.images, first.changes, first.parent_id) == ("1.0.0", "build", 2, None, None)
    assert await versions.ensure(on(any_database), dataset_id) == first
    facts = Provenance.from_json(first.provenance or {})
    assert (facts.version, facts.previous_version, facts.created_at, facts.changes) == ("1.0.0", "", first.created_at, {})


async def test_a_dataset_that_a_job_changes_has_no_version_to_give(database: Database) -> None:
    """Nor has one without images."""
    dataset_id = await dataset_of(database, await add_job(database))
    with pytest.raises(StateConflict, match="still works on dataset"):
        await versions.ensure(on(database), dataset_id)
    async with database.write() as connection:
        empty = await datasets.create_dataset(connection, user_id="local", name="empty")
    with pytest.raises(StateConflict, match="no image is kept"):
        await versions.ensure(on(database), empty)
    with pytest.raises(errors.NotFoundError):
        await versions.ensure(on(database), "ds_none")


async def test_a_version_beside_another_says_what_differs(any_database: Database) -> None:
    """Of the newest of its lineage: added, removed, changed, relabelled and in another split."""
    old = await dataset_of(any_database, first := await add_job(any_database, 0, kind=JobKind.EXPORT))
    await add_kept(any_database, first, [1, 2, 3, 4, 5])
    parent = await versions.ensure(on(any_database), old)
    async with any_database.write() as connection:
        new = await datasets.create_dataset(connection, user_id="local", name="a dataset", lineage_id=old)
    second = await add_job(any_database, 0, dataset_id=new, kind=JobKind.EXPORT)
    await add_kept(any_database, second, [2, 7])
    await add_kept(any_database, second, [3], sha256="e" * 64)
    await add_kept(any_database, second, [4], label="dog", split="test")
    await add_kept(any_database, second, [5], caption="another")
    found = await versions.ensure(on(any_database), new)
    changes = {"added": 1, "removed": 1, "changed": 2, "relabelled": 1, "resplit": 1}
    assert (found.number, found.parent_id, found.changes, found.lineage_id) == ("2.0.0", parent.id, changes, old)
    facts = Provenance.from_json(found.provenance or {})
    assert (facts.version, facts.previous_version, facts.changes) == ("2.0.0", "1.0.0", changes)


@pytest.mark.parametrize(
    ("before", "now", "added", "expected"),
    [
        (10, 12, 2, Changes(added=2)),
        (10, 11, 2, Changes(added=2, removed=1)),
        (10, 8, 0, Changes(removed=2)),
        (10, 10, 0, Changes(changed=1)),
        (10, 12, 0, Changes(added=2, changed=1)),
    ],
)
def test_what_changed_in_place_is_known_by_numbers(before: int, now: int, added: int, expected: Changes) -> None:
    """Where the images that a job has fetched do not explain them, others were changed."""
    assert changes_in_place(before, now, added) == expected


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with Origin() as origin:
        yield origin


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path / "workspace") as bench:
        yield bench


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """What is logged meanwhile."""
    taken: list[dict[str, Any]] = []
    sink = add_sink(taken.append, level="INFO")
    yield taken
    remove_sink(sink)


def serve(origin: Origin, number: int) -> list[str]:
    """Different pictures, each at a URL of its own."""
    return [origin.script(f"/{index}.jpg", image(encode(photo(160, 120, seed=index)))) for index in range(number)]


async def recorded(bench: Bench, job_id: str) -> list[Version]:
    """The versions of the dataset of a job, the newest first."""
    dataset = await datasets.get_dataset(bench.db, (await bench.job(job_id)).dataset_id)
    return await version_rows.of_lineage(bench.db, dataset.lineage_id)


async def exported_versions(bench: Bench) -> list[str | None]:
    async with bench.db.read() as connection:
        query = select(tables.exports.c.version).order_by(tables.exports.c.created_at, tables.exports.c.id)
        return [row.version for row in (await connection.execute(query)).all()]


async def test_a_build_records_a_version_before_its_export(bench: Bench, origin: Origin, lines: list[dict[str, Any]]) -> None:
    """The export carries its number; another export of the same state does too."""
    job_id = await bench.submit(serve(origin, 3), compression=CompressionRules(format="png"))
    await bench.drive()
    (made,) = await recorded(bench, job_id)
    assert (made.number, made.kind, made.images, made.job_id, made.changes) == ("1.0.0", "build", 3, job_id, None)
    async with bench.db.read() as connection:
        sizes = (await connection.execute(select(tables.images.c.out_size_bytes))).scalars().all()
    assert made.size_bytes == sum(sizes)
    await submit_export(bench.resources, made.dataset_id, ExportRequest(export_format="imagefolder"))
    await bench.drive()
    assert await exported_versions(bench) == ["1.0.0", "1.0.0"]
    assert len(await recorded(bench, job_id)) == 1
    assert [line["version"] for line in lines if line["event"] == "dataset.version"] == ["1.0.0"]


async def test_a_retry_that_adds_an_image_makes_a_minor_version(bench: Bench, origin: Origin) -> None:
    """One that adds none makes none, and its export is of the version that there is."""
    urls = serve(origin, 2)
    urls.append(origin.script("/late.jpg", *[reply(503)] * 6, image(encode(photo(160, 120, seed=9)))))
    job_id = await bench.submit(urls)
    await bench.drive()
    for _ in range(2):
        await submit_retry(bench.resources, job_id)
        await bench.drive()
    found = await recorded(bench, job_id)
    assert [(one.number, one.kind, one.images) for one in found] == [("1.1.0", "retry", 3), ("1.0.0", "build", 2)]
    assert found[0].changes == Changes(added=1).as_json()
    assert await exported_versions(bench) == ["1.0.0", "1.0.0", "1.1.0"]


async def test_a_check_that_leaves_images_out_makes_a_major_version(bench: Bench, origin: Origin) -> None:
    """A check that changes nothing records nothing."""
    urls = [*serve(origin, 2), origin.script("/copy.jpg", image(encode(photo(160, 120, seed=0))))]
    job_id = await bench.submit(urls, dedupe="none")
    await bench.drive()
    dataset_id = (await bench.job(job_id)).dataset_id
    for options in ({}, {"apply": True}):
        await submit_check(bench.resources, CheckKind.DUPLICATES, dataset_id=dataset_id, options=options)
        await bench.drive()
    await submit_check(bench.resources, CheckKind.VALIDATION, dataset_id=dataset_id, options={"min_width": 1000})
    await bench.drive()
    found = await recorded(bench, job_id)
    assert [(one.number, one.kind, one.images) for one in found] == [
        ("3.0.0", "validation", 0),
        ("2.0.0", "duplicates", 2),
        ("1.0.0", "build", 3),
    ]


async def test_a_build_that_keeps_nothing_has_no_version(bench: Bench, origin: Origin) -> None:
    """There is nothing to name."""
    job_id = await bench.submit([origin.url("/gone.jpg")])
    await bench.drive()
    assert await recorded(bench, job_id) == []
