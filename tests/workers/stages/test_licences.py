"""The licence gate in a build: what is refused is a row, and never requested."""

import json
from typing import Any

import pytest

from app.db import candidates, datasets, image_search, images
from app.db.exceptions import StateConflict
from app.db.image_search import ImageFilter
from app.domain import Candidate, ImageState, Reason, StoredImage
from app.job_states import CheckKind, JobState, UnitKind
from app.jobs.settle import resolve_spec, store_urls
from app.jobs.submit import submit_build, submit_check, submit_retry
from app.quotas import Supply
from app.spec import JobRequest, JobSpec, ListedImage
from tests.images.samples import encode, photo
from tests.images.test_rights import jpeg_xmp, packet, with_exif
from tests.origin import Origin, image
from tests.workers.bench import Bench
from tests.workers.stages.test_rounds import LIST_SEARCH, Shelf
from workers.stages.rounds import supplies


async def submit_list(bench: Bench, origin: Origin, stated: dict[str, str | None], **request: Any) -> str:
    """Build a list of images, each with what is stated of its licence; return the job's id."""
    for number, name in enumerate(stated):
        origin.script(f"/{name}.jpg", image(encode(photo(80, 80, seed=number + 1))))
    urls = [ListedImage(url=origin.url(f"/{name}.jpg"), license=words) for name, words in stated.items()]
    spec = resolve_spec(bench.resources, JobRequest(urls=urls, **request), url_list=await store_urls(bench.resources, urls))
    return (await submit_build(bench.resources, spec, name="test")).job_id


async def rows(bench: Bench, job_id: str) -> dict[str, StoredImage]:
    """A job's images by the names of their files."""
    page = await image_search.page(bench.db, ImageFilter(job_id=job_id), limit=200)
    return {item.url.rsplit("/", 1)[1].removesuffix(".jpg"): await images.get(bench.db, item.id) for item in page.items}


def requested(origin: Origin) -> set[str]:
    """The files that were requested."""
    return {hit.target.strip("/").removesuffix(".jpg") for hit in origin.log if hit.target.endswith(".jpg")}


STATED = {"by": "CC BY 4.0", "nc": "CC BY-NC 4.0", "reserved": "© Ann, all rights reserved", "nothing": None, "words": "ask us"}


async def test_discover_when_licences_are_refused(bench: Bench, origin: Origin, lines: list[dict[str, Any]]) -> None:
    """A refused image costs no request; its row has the reason, the rule in words, and what was stated."""
    job_id = await submit_list(bench, origin, STATED, license=["open"])
    await bench.drive()
    assert requested(origin) == {"by"}
    found = await rows(bench, job_id)
    assert (found["by"].state, found["by"].license) == (ImageState.KEPT, "CC-BY-4.0")
    refused = {name: row for name, row in found.items() if name != "by"}
    assert {(row.state, row.reason, row.chunk_id) for row in refused.values()} == {(ImageState.REJECTED, Reason.LICENCE, None)}
    assert found["nc"].detail == "CC-BY-NC-4.0: not taken by open"
    assert {name: row.evidence for name, row in refused.items()} == {name: STATED[name] for name in refused}
    funnel = await bench.funnel(job_id)
    assert (funnel.candidates, funnel.requested, funnel.fetched, funnel.refused, funnel.kept) == (5, 1, 1, 4, 1)
    assert funnel.reasons == {"licence": 4}
    assert [line["refused"] for line in lines if line["event"] == "search.page"] == [4]


@pytest.mark.parametrize(
    ("request_", "kept"),
    [
        ({}, {"by", "nc", "reserved", "nothing", "words"}),
        ({"license_unknown": "drop"}, {"by", "nc"}),
        ({"license": ["any"]}, {"by", "nc"}),
        ({"license": ["open"], "license_unknown": "keep"}, {"by", "nothing", "words"}),
        ({"license": ["commercial,by-sa", "by"]}, {"by"}),
    ],
)
async def test_discover_when_list_has_a_policy(bench: Bench, origin: Origin, request_: dict[str, Any], kept: set[str]) -> None:
    """A list keeps all that it names by default, and what a policy takes where one is given."""
    await submit_list(bench, origin, STATED, **request_)
    await bench.drive(until=UnitKind.FETCH)
    await bench.run_kind(UnitKind.FETCH)
    assert requested(origin) == kept


class Licensed(Shelf):
    """A source of which each tenth image is under an open licence."""

    def licence(self, number: int) -> str | None:
        return {0: "cc0", 1: None}.get(number % 10, "CC BY-NC 4.0" if number % 2 else "all rights reserved")


async def test_discover_when_most_results_are_refused(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search goes on to further pages until the target is met; what is refused counts neither as found nor as a failure."""
    shelf = Licensed(origin, monkeypatch, {"cat": 400})
    shelf.fill("cat", range(0, 400, 10))
    job_id = await bench.search("cat", max_images=12, license=["open"], license_unknown="drop")
    await bench.drive()
    job, funnel = await bench.job(job_id), await bench.funnel(job_id)
    assert (job.state, funnel.kept) == (JobState.SUCCEEDED, 12)
    assert len(shelf.requests) <= 16
    assert funnel.refused >= 100


async def test_discover_when_keywords_have_no_policy(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search takes what permits some use, and drops unknown and reserved images."""
    shelf = Licensed(origin, monkeypatch, {"cat": 10})
    shelf.fill("cat", range(10))
    spec = resolve_spec(bench.resources, JobRequest(keywords=["cat"], max_images=10))
    job_id = (await submit_build(bench.resources, spec, name="test")).job_id
    await bench.drive()
    assert set(shelf.requests) == {f"/cat-{number}.jpg" for number in (0, 3, 5, 7, 9)}
    shortfall = (await bench.job(job_id)).shortfall
    assert shortfall is not None
    assert "licence: 5" in shortfall["causes"]


async def test_discover_when_one_url_has_two_licences(bench: Bench, origin: Origin) -> None:
    """The stricter of two rows on one URL holds."""
    url = origin.script("/a.jpg", image(encode(photo(80, 80))))
    listed = [ListedImage(url=url, license=words) for words in ("cc0", "CC BY-NC 4.0")]
    spec = resolve_spec(bench.resources, JobRequest(urls=listed, license=["open"]), url_list=await store_urls(bench.resources, listed))
    job_id = (await submit_build(bench.resources, spec, name="test")).job_id
    await bench.drive()
    assert (await rows(bench, job_id))["a"].reason is Reason.LICENCE
    assert not requested(origin)


async def test_refused_when_dataset_is_checked_again(bench: Bench, origin: Origin) -> None:
    """Another validation, of any level, leaves refused images alone."""
    job_id = await submit_list(bench, origin, STATED, license=["open"])
    await bench.drive()
    await submit_check(bench.resources, CheckKind.VALIDATION, dataset_id=(await bench.job(job_id)).dataset_id, options={"level": "basic"})
    await bench.drive()
    assert {name for name, row in (await rows(bench, job_id)).items() if row.reason is Reason.LICENCE} == STATED.keys() - {"by"}
    assert requested(origin) == {"by"}


async def test_refused_when_job_is_retried(bench: Bench, origin: Origin) -> None:
    """A retry fetches what failed; what was refused did not."""
    job_id = await submit_list(bench, origin, STATED, license=["open"])
    await bench.drive()
    with pytest.raises(StateConflict, match="nothing to retry"):
        await submit_retry(bench.resources, job_id, frozenset({Reason.LICENCE}))


async def test_refused_when_bytes_are_stored(bench: Bench, origin: Origin) -> None:
    """Bytes of an earlier build are not used for an image that this build refuses."""
    await submit_list(bench, origin, {"nc": "CC BY-NC 4.0", "by": "CC BY 4.0"})
    await bench.drive()
    job_id = await submit_list(bench, origin, {"nc": "CC BY-NC 4.0", "by": "CC BY 4.0"}, license=["open"])
    await bench.drive()
    found = await rows(bench, job_id)
    assert (found["nc"].state, found["nc"].sha256) == (ImageState.REJECTED, None)
    assert (found["by"].state, found["by"].reuse) == (ImageState.KEPT, "stored")


def test_supplies_when_some_are_refused() -> None:
    """What was refused was not tried: the yield is that of what was fetched."""
    counts = [
        candidates.SearchCount("srch_l", ImageState.REJECTED, Reason.LICENCE, 90),
        candidates.SearchCount("srch_l", ImageState.REJECTED, Reason.TOO_SMALL, 2),
        candidates.SearchCount("srch_l", ImageState.VALID, None, 8),
    ]
    assert supplies(JobSpec(max_images=9), [LIST_SEARCH], counts, {}) == [Supply(valid=8, tried=10, searches={"srch_l": None})]


async def test_add_refused_when_url_is_known(bench: Bench, origin: Origin) -> None:
    """A URL that the dataset has is left as it is, and long statements are cut."""
    job_id = await submit_list(bench, origin, {"by": "CC BY 4.0"})
    await bench.drive()
    job, known = await bench.job(job_id), (await rows(bench, job_id))["by"]
    refused = [(url, Candidate(url, "list", license="x" * 900), "why") for url in (known.url, "https://img.example/new.jpg")]
    async with bench.db.write() as connection:
        ids = {"dataset_id": job.dataset_id, "job_id": job_id, "search_id": str(known.search_id)}
        assert await images.add_refused(connection, **ids, refused=refused) == 1
    found = await rows(bench, job_id)
    assert found["by"].state is ImageState.KEPT
    assert (found["new"].detail, len(found["new"].evidence or "")) == ("why", 300)


async def test_validate_when_file_states_a_licence(bench: Bench, origin: Origin) -> None:
    """The file's stricter statement refuses the image after its download and says so; a notice does not, nor does what is taken."""
    nc = packet('<cc:license rdf:resource="https://creativecommons.org/licenses/by-nc/4.0/"/>')
    sa = packet("<dc:rights>CC BY-SA 4.0</dc:rights>")
    files = {"nc": jpeg_xmp(nc), "sa": jpeg_xmp(sa), "notice": with_exif("© Ann 2020")}
    for name, body in files.items():
        origin.script(f"/{name}.jpg", image(body))
    urls = [ListedImage(url=origin.url(f"/{name}.jpg"), license="CC BY 4.0") for name in files]
    request = JobRequest(urls=urls, license=["open"], dedupe="none", validation_level="basic", min_width=32, min_height=32)
    spec = resolve_spec(bench.resources, request, url_list=await store_urls(bench.resources, urls))
    job_id = (await submit_build(bench.resources, spec, name="test")).job_id
    await bench.drive()
    found = await rows(bench, job_id)
    nc_row, sa_row, notice = found["nc"], found["sa"], found["notice"]
    assert (nc_row.state, nc_row.reason, nc_row.license) == (ImageState.REJECTED, Reason.LICENCE, "CC-BY-NC-4.0")
    assert nc_row.sha256 is not None
    assert nc_row.detail == "its file states another licence than its source: CC-BY-NC-4.0: not taken by open"
    assert (nc_row.evidence or "").startswith("XMP cc:license: https://")
    assert (sa_row.state, sa_row.license) == (ImageState.KEPT, "CC-BY-SA-4.0")
    assert sa_row.license_note == "the file itself states CC-BY-SA-4.0, its source CC-BY-4.0; the stricter, CC-BY-SA-4.0, holds"
    assert (notice.state, notice.license, notice.license_note) == (ImageState.KEPT, "CC-BY-4.0", None)
    await submit_check(bench.resources, CheckKind.VALIDATION, dataset_id=nc_row.dataset_id)
    await bench.drive()
    assert (await rows(bench, job_id))["nc"].reason is Reason.LICENCE


@pytest.mark.parametrize("request_", [{}, {"license": ["any"], "license_unknown": "keep"}])
async def test_export_when_licences_differ(bench: Bench, origin: Origin, request_: dict[str, Any]) -> None:
    """No row of an export is without a decision on its licence."""
    job_id = await submit_list(bench, origin, STATED, dedupe="none", **request_)
    await bench.drive()
    (export,) = await datasets.exports_of_job(bench.db, job_id)
    lines = (await bench.context.store.get(f"{export.prefix}/metadata.jsonl")).decode().splitlines()
    known = {row["url"].rsplit("/", 1)[1]: (row["license"], row["license_confidence"]) for row in map(json.loads, lines)}
    expected = {
        "by.jpg": ("CC-BY-4.0", "asserted"),
        "nc.jpg": ("CC-BY-NC-4.0", "asserted"),
        "nothing.jpg": ("", "unknown"),
        "words.jpg": ("ask us", "unknown"),
        "reserved.jpg": ("LicenseRef-AllRightsReserved", "asserted"),
    }
    assert known == {name: known_licence for name, known_licence in expected.items() if not request_ or name != "reserved.jpg"}
