"""Which images a build takes by ``where``, and which an export holds."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.db import tables
from app.domain import ImageState
from app.export_spec import ExportRequest
from app.jobs.settle import resolve_spec, store_urls
from app.jobs.submit import submit_build, submit_export
from app.spec import JobRequest, ListedImage
from tests.images.samples import encode, photo
from tests.origin import Origin, image
from tests.workers.bench import Bench, open_bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A worker's means."""
    async with open_bench(tmp_path) as opened_bench:
        yield opened_bench


async def build(bench: Bench, listed: list[Mapping[str, Any]], **request: Any) -> list[Any]:
    """Build a list; the rows of its images by id."""
    items = [ListedImage(**item) for item in listed]
    url_list = await store_urls(bench.resources, items)
    spec = resolve_spec(bench.resources, JobRequest(urls=list(items), **request), url_list=url_list)
    job_id = (await submit_build(bench.resources, spec, name="test")).job_id
    await bench.drive()
    async with bench.db.read() as connection:
        query = select(tables.images).where(tables.images.c.job_id == job_id).order_by(tables.images.c.id)
        return list((await connection.execute(query)).all())


def pictures(origin: Origin, sizes: Mapping[str, int], *, side: int = 96) -> list[dict[str, Any]]:
    """Different images of some labels."""
    labels = [label for label, number in sizes.items() for _ in range(number)]
    urls = [origin.script(f"/{at}-{side}.jpg", image(encode(photo(side, side, seed=at)))) for at in range(len(labels))]
    return [{"url": url, "label": label or None} for url, label in zip(urls, labels, strict=True)]


def kept(rows: list[Any]) -> dict[str | None, int]:
    labels = [row.label for row in rows if row.state == ImageState.KEPT]
    return {label: labels.count(label) for label in labels}


async def exported(bench: Bench, dataset_id: str, **request: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Export; the row, and the rows that the export holds."""
    made = await submit_export(bench.resources, dataset_id, ExportRequest(export_format="files", **request))
    await bench.drive()
    async with bench.db.read() as connection:
        row = (await connection.execute(select(tables.exports).where(tables.exports.c.id == made.resource))).one()
    if row.prefix is None:
        return row, []
    lines = (await bench.context.store.get(f"{row.prefix}/metadata.jsonl")).splitlines()
    return row, [json.loads(line) for line in lines]


async def test_a_build_keeps_what_where_takes(bench: Bench, origin: Origin) -> None:
    """The others are rejected, with what they did not meet."""
    listed = [*pictures(origin, {"cat": 2, "dog": 2}), *pictures(origin, {"cat": 1}, side=128)]
    listed[0]["license"] = "CC-BY-4.0"
    rows = await build(bench, listed, where="label = CAT and (width < 100 or license is known)")
    assert [row.state for row in rows] == ["kept", "kept", "rejected", "rejected", "rejected"]
    assert {row.reason for row in rows[2:]} == {"not_selected"}
    assert rows[2].detail == "not selected by where: label = CAT and (width < 100 or license != none)"


async def test_of_two_copies_the_one_that_is_taken_stays(bench: Bench, origin: Origin) -> None:
    """Although the other one is larger."""
    small, large = (encode(photo(96, 96, noise=0.0).resize((side, side)), "PNG") for side in (96, 192))
    urls = [origin.script(f"/{name}.png", image(body)) for name, body in (("small", small), ("large", large))]
    listed = [{"url": urls[0], "license": "CC0-1.0"}, {"url": urls[1], "license": "CC-BY-NC-4.0"}]
    rows = await build(bench, listed, where="license = cc0", license_unknown="keep")
    assert [(row.state, row.reason) for row in rows] == [("kept", None), ("rejected", "not_selected")]


async def test_a_search_is_asked_for_others_in_place_of_those_that_are_not_taken(bench: Bench, origin: Origin) -> None:
    """A target counts images that are taken."""
    listed = [{"url": item["url"], "caption": "no" if at < 3 else "yes"} for at, item in enumerate(pictures(origin, {"": 8}))]
    rows = await build(bench, listed, where="caption = yes", max_images=4)
    assert sum(row.state == ImageState.KEPT for row in rows) == 4
    assert {row.caption for row in rows if row.state == ImageState.KEPT} == {"yes"}


async def test_a_build_balances_its_labels_and_says_what_is_over(bench: Bench, origin: Origin) -> None:
    """An image without a label is not limited; a repeated run takes the same."""
    listed = pictures(origin, {"cat": 6, "dog": 3, "elk": 4, "": 2})
    rows = await build(bench, listed, balance=True)
    assert kept(rows) == {"cat": 3, "dog": 3, "elk": 3, None: 2}
    over = [row for row in rows if row.state == ImageState.REJECTED]
    words = "valid, but its label has 3 images without it (balance: the smallest label has no more)"
    assert {(row.reason, row.detail) for row in over} == {("over_target", words)}
    again = await build(bench, listed[::-1], balance=True)
    assert {row.url for row in again if row.state == ImageState.KEPT} == {row.url for row in rows if row.state == ImageState.KEPT}


async def test_a_limit_comes_before_the_target(bench: Bench, origin: Origin) -> None:
    """The surplus of one label takes no room from another."""
    listed = pictures(origin, {"cat": 8, "dog": 4})
    rows = await build(bench, listed, max_per_label=3, max_images=6, min_images=6)
    assert kept(rows) == {"cat": 3, "dog": 3}


async def test_an_export_holds_what_is_selected(bench: Bench, origin: Origin) -> None:
    """The dataset stays as it is; what was asked for is recorded with the export."""
    rows = await build(bench, pictures(origin, {"cat": 5, "dog": 3}), splits={"train": 0.5, "test": 0.5})
    dataset_id = rows[0].dataset_id
    row, found = await exported(bench, dataset_id, where="label = dog")
    assert ([one["label"] for one in found], row.state, row.samples) == (["dog"] * 3, "ready", 3)
    assert row.options["where"] == "label = dog"
    _, found = await exported(bench, dataset_id, where="split = test", max_per_label=1)
    assert {(one["label"], one["split"]) for one in found} <= {("cat", "test"), ("dog", "test")}
    assert len(found) == len({one["label"] for one in found})
    _, found = await exported(bench, dataset_id, balance=True)
    assert sorted(one["label"] for one in found) == ["cat"] * 3 + ["dog"] * 3
    others = [await exported(bench, dataset_id, balance=True, seed=seed) for seed in (1, 2, 3)]
    assert len({frozenset(one["url"] for one in rows) for _, rows in others}) > 1
    _, found = await exported(bench, dataset_id)
    assert len(found) == 8


async def test_an_export_of_nothing_says_so(bench: Bench, origin: Origin) -> None:
    """It fails with the selection in words; nothing is published."""
    rows = await build(bench, pictures(origin, {"cat": 1}))
    row, found = await exported(bench, rows[0].dataset_id, where="label = dog")
    words = f"where selects no image of dataset {rows[0].dataset_id}: label = dog"
    assert (row.state, row.error, row.problems, row.prefix, found) == ("failed", words, [words], None, [])
