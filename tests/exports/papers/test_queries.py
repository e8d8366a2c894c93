"""Each query that a paper names runs against the database, and gives the figures of the paper."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from app.db import datasets
from app.export_spec import ExportRequest
from app.exports.papers import queries
from app.jobs import submit
from tests.images.samples import encode, photo
from tests.origin import Origin, image
from tests.workers.bench import Bench, open_bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A worker's means."""
    async with open_bench(tmp_path) as opened:
        yield opened


async def test_queries_give_the_figures_of_the_papers(bench: Bench) -> None:
    """Of a build of five pictures, one of which is gone, exported from its rows."""
    async with Origin() as origin:
        for number in range(4):
            origin.script(f"/{number}.jpg", image(encode(photo(seed=number), "JPEG")))
        urls = [origin.url(f"/{number}.jpg") for number in range(5)]
        job_id = await bench.submit(urls, splits={"train": 0.5, "test": 0.5}, label="cat")
        await bench.drive()
    dataset_id = (await bench.job(job_id)).dataset_id
    (export,) = (await datasets.page_exports(bench.db, dataset_id=dataset_id)).items
    origins = json.loads(await bench.context.store.get(f"{export.prefix}/origins.json"))
    manifest = json.loads(await bench.context.store.get(f"{export.prefix}/manifest.json"))
    found = {query: await rows_of(bench, query, dataset_id) for query in queries.ALL}
    assert found[queries.TOTAL] == [(origins["images"], origins["bytes"])]
    assert dict(found[queries.SPLITS]) == manifest["splits"]
    assert dict(found[queries.LABELS]) == manifest["labels"] == {"cat": 4}
    assert dict(found[queries.SOURCES]) == manifest["sources"]
    assert sum(size for _, size in found[queries.HOSTS]) == sum(entry["bytes"] for entry in origins["domains"])
    assert {(state, reason): total for state, reason, total in found[queries.FUNNEL]} == {("kept", None): 4, ("failed", "http_404"): 1}
    assert origins["reasons"] == {"http_404": 1}
    assert found[queries.CREATED][0][:2] == (dataset_id, dataset_id)


async def rows_of(bench: Bench, query: str, dataset_id: str) -> list[Any]:
    """What a query gives."""
    async with bench.db.read() as connection:
        return [tuple(row) for row in (await connection.execute(text(query), {"dataset": dataset_id})).all()]


async def test_a_build_leaves_papers_that_verify(bench: Bench) -> None:
    """With the settings' texts in a later export, which changes no row."""
    async with Origin() as origin:
        origin.script("/a.jpg", image(encode(photo(), "JPEG")))
        job_id = await bench.submit([origin.url("/a.jpg")], name="Pets")
        await bench.drive()
    dataset_id = (await bench.job(job_id)).dataset_id
    asked = await submit.submit_export(bench.resources, dataset_id, ExportRequest(export_format="files"))
    await bench.drive()
    export = await datasets.get_export(bench.db, asked.resource)
    assert (export.state, export.problems) == ("ready", [])
    sheet = (await bench.context.store.get(f"{export.prefix}/DATASHEET.md")).decode()
    assert "Datasheet of Pets, version 1.0.0" in sheet
    assert "tests@example.org" in sheet
