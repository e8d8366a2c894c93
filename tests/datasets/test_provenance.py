"""What the papers of an export are filled from: rows of a dataset, the spec of its build and settings; nothing of the machine."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import delete, select

import errors
from app.datasets import provenance
from app.datasets.provenance import asked_by, sources_of
from app.db import datasets, tables, versions
from app.db.funnel import Funnel, SourceCount
from app.db.rows import Search
from app.domain import ImageState
from app.export_spec import ExportRequest, ExportSpec
from app.exports.provenance import Provenance, SourceFigures
from app.jobs import submit
from app.paper_texts import PaperTexts
from app.spec import FolderSpec, JobSpec, ListSpec, PagesSpec
from tests.exports.test_provenance import FACTS
from tests.images.samples import encode, photo
from tests.origin import Origin, image
from tests.workers.bench import Bench, open_bench
from workers.stages.export import make_options


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A worker's means, with texts for papers."""
    async with open_bench(tmp_path, {"papers.creator": "Ann", "papers.limitations": ["Photos only."]}) as opened:
        yield opened


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    """A scripted origin on a real socket."""
    async with Origin() as started:
        yield started


async def built(bench: Bench, origin: Origin) -> str:
    """A build of two pictures of three; return the id of its dataset."""
    origin.script("/a.jpg", image(encode(photo(), "JPEG")))
    origin.script("/b.jpg", image(encode(photo(seed=2), "JPEG")))
    urls = [origin.url(path) for path in ("/a.jpg", "/b.jpg", "/gone.jpg")]
    job_id = await bench.submit(urls, splits={"train": 0.5, "test": 0.5}, seed=3, name="Pets")
    await bench.drive()
    return (await bench.job(job_id)).dataset_id


async def test_gathers_rows_spec_and_settings(bench: Bench, origin: Origin) -> None:
    dataset_id = await built(bench, origin)
    facts = await provenance.gather(bench.resources, dataset_id, version="1.1.0", previous_version="1.0.0", changes={"added": 2})
    assert (facts.name, facts.version, facts.previous_version, facts.changes) == ("Pets", "1.1.0", "1.0.0", {"added": 2})
    assert facts.funnel == {"candidates": 3, "fetched": 2, "valid": 2, "unique": 2, "kept": 2}
    assert facts.reasons == {"http_404": 1}
    assert facts.sources == (SourceFigures("list", 0, 3, 2),)
    assert (facts.asked.splits, facts.asked.seed, facts.asked.url_list) == ({"train": 0.5, "test": 0.5}, 3, "request")
    assert facts.asked.checks["min_width"] == 64
    assert facts.crawler.user_agent.startswith("pictrawl/")
    assert "(+tests@example.org)" in facts.crawler.user_agent
    assert (facts.crawler.robots, facts.crawler.attempts) == (True, 3)
    assert facts.texts == PaperTexts(creator="Ann", limitations=("Photos only.",))
    assert Provenance.from_json(json.loads(json.dumps(facts.to_json()))) == facts


async def test_the_period_is_that_of_the_kept_images(bench: Bench, origin: Origin) -> None:
    facts = await provenance.gather(bench.resources, await built(bench, origin))
    async with bench.db.read() as connection:
        rows = (await connection.execute(select(tables.images))).all()
    kept = [row.fetched_at for row in rows if row.state == "kept"]
    assert (facts.collected_from, facts.collected_until) == (min(kept), max(kept))


async def test_knows_nothing_of_the_machine(bench: Bench, origin: Origin, tmp_path: Path) -> None:
    """No path, and no id of a job, an image or an export."""
    text = json.dumps((await provenance.gather(bench.resources, await built(bench, origin))).to_json())
    assert str(tmp_path) not in text
    assert "job_" not in text


async def test_an_unknown_dataset_is_named(bench: Bench) -> None:
    with pytest.raises(errors.NotFoundError, match="no dataset ds_none"):
        await provenance.gather(bench.resources, "ds_none")


def test_a_folder_is_known_by_its_name() -> None:
    assert asked_by(JobSpec(folder=FolderSpec(path="/home/ann/pets", name="pets"))).folder == "pets"


def test_a_list_is_known_by_its_name() -> None:
    asked = asked_by(JobSpec(url_list=ListSpec(key="lists/1.csv", suffix=".csv", name="pets.csv")))
    assert (asked.url_list, asked.keywords, asked.languages, asked.synonyms) == ("pets.csv", (), (), 0)


def test_pages_are_named_without_secrets() -> None:
    pages = PagesSpec(urls=["https://ann:secret@example.org/gallery?token=abc"])
    (url,) = asked_by(JobSpec(pages=pages)).pages
    assert url.startswith("https://")
    assert "secret" not in url
    assert "abc" not in url


def test_a_search_has_its_keywords_and_languages() -> None:
    asked = asked_by(JobSpec(keywords=["cat", "dog"], expand=2, lang=["en", "de"]))
    assert (asked.keywords, asked.languages, asked.synonyms) == (("cat", "dog"), ("en", "de"), 2)


def test_a_source_that_found_nothing_counts_its_requests() -> None:
    def search(source: str, requests: int) -> Search:
        return Search("s", "j", source, "cat", None, None, True, 0, 0, 0, None, requests=requests)

    funnel = Funnel((SourceCount("wikimedia", ImageState.KEPT, None, 4), SourceCount("wikimedia", ImageState.FAILED, None, 1)))
    found = sources_of(funnel, [search("wikimedia", 2), search("wikimedia", 3), search("openverse", 1)])
    assert found == (SourceFigures("openverse", 1, 0, 0), SourceFigures("wikimedia", 5, 5, 4))


async def test_an_export_is_of_the_version_that_was_recorded(bench: Bench, origin: Origin) -> None:
    """Its number and its time come from the version, not from the dataset's row."""
    dataset_id = await built(bench, origin)
    facts = await provenance.gather(bench.resources, dataset_id, version="3.1.4", created_at=1_700_000_000.0)
    digest = (await versions.newest_of_each(bench.db, [dataset_id]))[dataset_id].digest
    row = {"dataset_id": dataset_id, "lineage_id": dataset_id, "kind": "build", "digest": digest, "images": 2, "size_bytes": 2}
    async with bench.db.write() as connection:
        await versions.add(connection, row | {"major": 3, "minor": 1, "patch": 4, "provenance": facts.to_json()})
    asked = await submit.submit_export(bench.resources, dataset_id, ExportRequest(export_format="files"))
    await bench.drive()
    export = await datasets.get_export(bench.db, asked.resource)
    manifest = json.loads(await bench.context.store.get(f"{export.prefix}/manifest.json"))
    assert manifest["dataset"] == {"id": dataset_id, "name": "Pets", "version": "3.1.4", "created_at": "2023-11-14T22:13:20+00:00"}


async def test_an_export_of_a_dataset_without_a_version_is_its_first(bench: Bench, origin: Origin) -> None:
    """As of datasets that were built before versions were recorded."""
    dataset_id = await built(bench, origin)
    async with bench.db.write() as connection:
        await connection.execute(delete(tables.versions))
    asked = await submit.submit_export(bench.resources, dataset_id, ExportRequest(export_format="files"))
    await bench.drive()
    export = await datasets.get_export(bench.db, asked.resource)
    manifest = json.loads(await bench.context.store.get(f"{export.prefix}/manifest.json"))
    assert (manifest["dataset"]["version"], export.state) == ("1.0.0", "ready")


def test_texts_of_a_later_export_replace_those_of_the_version() -> None:
    """Where it has any; those of a build are those of the version, which a lock may have brought."""
    said, other = PaperTexts(purpose="To learn."), PaperTexts(purpose="To test.")
    facts = replace(FACTS, texts=said)
    assert make_options(facts, ExportSpec(export_format="files", papers=other)).texts == other
    assert make_options(facts, ExportSpec(export_format="files")).texts == said
    assert make_options(facts, ExportSpec.of_build(JobSpec(papers=other))).texts == said
