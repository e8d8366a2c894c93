"""Nothing that a build splits by is in two splits: planted near duplicates, groups, creators and pages, counted from the export alone."""

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.datasets.leaks import split_report
from app.datasets.splitting import name_groups, own_groups
from app.db.image_search import Choice
from app.export_spec import ExportRequest
from app.exports import formats, publish
from app.exports.folder import read_manifest, stated_report
from app.images.split_groups import LeakReport
from app.jobs.settle import resolve_spec, store_urls
from app.jobs.submit import submit_build, submit_export
from app.spec import JobRequest, JobSpec, ListedImage
from tests.images.samples import encode, photo
from tests.origin import Origin, image
from tests.workers.bench import Bench, open_bench

SHARES = {"train": 0.5, "val": 0.25, "test": 0.25}
PICTURES = 24


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A worker's means."""
    async with open_bench(tmp_path) as opened_bench:
        yield opened_bench


def again(body: bytes) -> bytes:
    """The picture encoded anew, which its hash survives."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(body)).save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


def planted(origin: Origin) -> list[ListedImage]:
    """Pictures, each beside a copy of another label; every third from one of four creators, every fourth from one of three pages."""
    listed = []
    for at in range(PICTURES):
        body = encode(photo(96, 96, seed=at))
        more: dict[str, Any] = {"creator": f"Creator {at // 3 % 4}"} if at % 3 == 0 else {}
        more |= {"page_url": f"https://example.org/{at // 4 % 3}"} if at % 4 == 0 else {}
        more |= {"group_id": f"group {at // 5 % 2}"} if at % 5 == 0 else {}
        for name, one in (("a", body), ("b", again(body))):
            url = origin.script(f"/{at}-{name}.jpg", image(one))
            listed.append(ListedImage(url=url, label=name, **(more if name == "a" else {})))
    return listed


async def built(bench: Bench, listed: list[ListedImage], **request: Any) -> str:
    """Build a dataset that keeps copies; its id."""
    url_list = await store_urls(bench.resources, listed)
    asked = JobRequest(urls=list(listed), splits=SHARES, dedupe="none", **request)
    spec = resolve_spec(bench.resources, asked, url_list=url_list)
    job_id = (await submit_build(bench.resources, spec, name="test")).job_id
    await bench.drive()
    return (await bench.job(job_id)).dataset_id


async def test_nothing_that_it_splits_by_is_in_two_splits(bench: Bench, origin: Origin) -> None:
    """By default near duplicates and groups; with all four kinds none of them."""
    listed = planted(origin)
    by_default = await split_report(bench.db, await built(bench, listed))
    assert (by_default.pairs["cluster"], by_default.pairs["group"], by_default.leaks) == (0, 0, {})
    assert min(by_default.pairs["creator"], by_default.pairs["page"], by_default.pairs["host"]) > 0
    report = await split_report(bench.db, await built(bench, listed, split_by=["page", "cluster", "creator", "group"]))
    assert report.pairs == {"cluster": 0, "group": 0, "creator": 0, "page": 0, "host": report.pairs["host"]}
    assert (report.split_by, report.images, set(report.splits)) == (("cluster", "group", "creator", "page"), 2 * PICTURES, set(SHARES))
    assert 0 < report.pairs["host"] == sum(one * other for one, other in pairs_of(list(report.splits.values())))


def pairs_of(sizes: list[int]) -> list[tuple[int, int]]:
    return [(one, other) for at, one in enumerate(sizes) for other in sizes[at + 1 :]]


@pytest.mark.parametrize("export_format", list(formats.EXPORTERS))
async def test_the_export_alone_gives_the_same_figures(bench: Bench, origin: Origin, export_format: Any) -> None:
    """Those of the database, those that its manifest states, and those that its rows give."""
    dataset_id = await built(bench, planted(origin), split_by=["cluster"])
    made = await submit_export(bench.resources, dataset_id, ExportRequest(export_format=export_format))
    await bench.drive()
    async with publish.open_folder(bench.context.store, f"exports/{made.resource}") as folder:
        stated = LeakReport.of_json(read_manifest(folder)["split_report"])
        found = await formats.get_exporter(export_format).verify(folder, stated_report(folder))
    assert found.problems == ()
    assert stated == found.split_report == await split_report(bench.db, dataset_id)
    assert stated.pairs["cluster"] == 0 < stated.pairs["creator"]


async def test_a_page_of_most_images_is_named(bench: Bench, origin: Origin) -> None:
    """A build that splits by it says so in its report; the others are divided all the same."""
    pictures = planted(origin)
    listed = [item.model_copy(update={"page_url": "https://example.org/"}) for item in pictures[:18:2]]
    listed += [item.model_copy(update={"page_url": f"{item.url}.html"}) for item in pictures[18:26:2]]
    report = await split_report(bench.db, await built(bench, listed, split_by=["page"]))
    assert (report.largest, report.largest_by, report.is_lopsided) == (9, "page", True)


async def test_a_group_that_is_not_split_by_is_divided(bench: Bench, origin: Origin) -> None:
    """Where the job says what its splits go by."""
    listed = [item.model_copy(update={"group_id": "one"}) for item in planted(origin)[::2]]
    report = await split_report(bench.db, await built(bench, listed, split_by=["cluster"]))
    assert report.pairs["group"] > 0


def test_the_first_image_names_the_group() -> None:
    """By id, whatever the order; a group of the source counts only where it is split by."""
    found = [
        Choice(5, "five", None, None, 0),
        Choice(3, "album", None, None, 0, has_group=True, sha256="three"),
        Choice(4, "four", None, None, 0),
    ]
    assert [item.group for item in name_groups(found, {5: 1, 3: 1, 4: 0})] == ["album", "album", "four"]
    assert own_groups(found, JobSpec()) == found
    assert [item.group for item in own_groups(found, JobSpec(split_by=("cluster",)))] == ["five", "three", "four"]
