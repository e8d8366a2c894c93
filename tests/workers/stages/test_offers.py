"""Tests of workers.stages.offers: a picture that two sources offer is fetched once, with both on its row. The origin counts."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image
from sqlalchemy import select, update

from app.db import Database, datasets, tables
from app.db.exceptions import StateConflict
from app.discovery import Query, SearchPage
from app.discovery.licences.policy import LicencePolicy
from app.domain import Candidate, Reason
from app.explain.keywords import load_keywords
from app.job_states import UnitKind
from app.jobs.settle import resolve_spec
from app.jobs.submit import submit_build, submit_retry
from app.spec import JobRequest
from tests.images.samples import encode, photo
from tests.origin import Exchange, Origin, Step, image, reply
from tests.workers.bench import Bench, InlineDecoders, open_bench
from workers.stages.offers import name_candidate, record_offers


class Offering:
    """Sources with the candidates that they are given, all on one page."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stock: Mapping[str, Sequence[Candidate]]) -> None:
        self.stock = stock
        monkeypatch.setattr("workers.stages.discover.make_source", lambda _, name, *__, **___: OneSource(stock[name]))


class OneSource:
    """One page."""

    def __init__(self, found: Sequence[Candidate]) -> None:
        self.found = found

    async def pages(self, query: Query, cursor: str | None) -> Any:
        yield SearchPage(tuple(self.found), None)


async def build(bench: Bench, sources: Sequence[str], **request: Any) -> str:
    """Build from these sources."""
    spec = resolve_spec(bench.resources, JobRequest(keywords=["cat"], **request))
    job_id = (await submit_build(bench.resources, spec.model_copy(update={"sources": list(sources)}), name="test")).job_id
    await bench.drive()
    return job_id


async def rows(bench: Bench) -> Any:
    """What the images say of their origin."""
    c = tables.images.c
    query = select(c.source, c.state, c.reason, c.license, c.license_note, c.offers).order_by(c.id)
    async with bench.db.read() as connection:
        return (await connection.execute(query)).all()


def offered(origin: Origin, source: str, number: int, licence: str = "CC-BY-4.0", **values: Any) -> Candidate:
    """A picture as a source offers it, at an address of the source's own."""
    path = f"/{source}/{number}.jpg"
    origin.script(path, image(encode(photo(80, 80, seed=number))))
    return Candidate(origin.url(path), source, number, license=licence, identities=(f"flickr:{number}",), **values)


async def test_a_picture_of_two_sources_is_fetched_once(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row has both; the second source says that its results were known."""
    Offering(monkeypatch, {
        "flickr": [offered(origin, "flickr", number) for number in range(4)],
        "openverse": [offered(origin, "openverse", number, page_url=f"https://www.flickr.com/photos/a/{number}") for number in range(6)],
    })  # fmt: skip
    job_id = await build(bench, ["flickr", "openverse"])
    found = await rows(bench)
    assert [row.source for row in found] == ["flickr"] * 4 + ["openverse"] * 2
    assert [[offer["source"] for offer in row.offers or ()] for row in found] == [["openverse"]] * 4 + [[]] * 2
    assert found[0].offers[0]["page_url"] == "https://www.flickr.com/photos/a/0"
    assert len([hit for hit in origin.log if hit.target.endswith(".jpg")]) == 6
    (figures,) = await load_keywords(bench.db, await bench.job(job_id))
    assert [(item.found, item.known, item.kept) for item in figures.sources] == [(4, 0, 4), (6, 4, 2)]
    assert (await bench.funnel(job_id)).kept == 6


@pytest.mark.parametrize(("first", "second"), [("CC-BY-4.0", "CC-BY-NC-4.0"), ("CC-BY-NC-4.0", "CC-BY-4.0")])
async def test_the_stricter_of_two_licences_holds(
    bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    """Whichever source comes first, the picture is never kept."""
    Offering(monkeypatch, {"flickr": [offered(origin, "flickr", 1, first)], "openverse": [offered(origin, "openverse", 1, second)]})
    await build(bench, ["flickr", "openverse"], license=["open"])
    (row,) = await rows(bench)
    assert (row.state, row.reason, row.license) == ("rejected", "licence", "CC-BY-NC-4.0")
    assert row.license_note == f"{first} and {second} were stated; the stricter, CC-BY-NC-4.0, holds"
    assert origin.hits("/openverse/1.jpg") == []


async def test_a_licence_that_only_the_second_source_knows_counts(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first source said nothing, and its candidate was refused for that: the picture is fetched after all, once."""
    silent = offered(origin, "flickr", 1, "")
    Offering(monkeypatch, {"flickr": [silent], "openverse": [offered(origin, "openverse", 1, "CC0-1.0")]})
    await build(bench, ["flickr", "openverse"], license=["open"])
    (row,) = await rows(bench)
    assert (row.source, row.state, row.reason, row.license) == ("flickr", "kept", None, "CC0-1.0")
    assert len(origin.hits("/flickr/1.jpg")) == 1
    assert origin.hits("/openverse/1.jpg") == []


async def test_one_page_that_names_a_picture_twice(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a chain of names: the first is the image, the others are its offers."""
    one, two, three = (offered(origin, name, 1) for name in ("a", "b", "c"))
    digest = f"sha1:{'0' * 40}"
    stock = [one, Candidate(two.url, "b", license="CC0-1.0", identities=("flickr:1", digest))]
    stock.append(Candidate(three.url, "c", license="CC0-1.0", identities=(digest,)))
    Offering(monkeypatch, {"all": stock})
    await build(bench, ["all"])
    (row,) = await rows(bench)
    assert (row.source, [offer["source"] for offer in row.offers], row.license) == ("a", ["b", "c"], "CC-BY-4.0")


STRICTER = "CC-BY-NC-4.0"


@pytest.fixture
async def any_bench(any_database: Database, tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench on each kind of database."""
    async with open_bench(tmp_path / "workspace", url=any_database.url) as opened:
        yield opened


async def offer_again(bench: Bench, job_id: str, item: Candidate) -> None:
    """Record what another search finds meanwhile, under the licences that the job takes."""
    dataset_id = (await bench.job(job_id)).dataset_id
    async with bench.db.write() as connection:
        await record_offers(connection, dataset_id, [name_candidate(item.url, item)], LicencePolicy.of(["open"]))


async def begin(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch, **request: Any) -> tuple[str, Candidate]:
    """Begin a build of two images; return its job, and an offer of the first under a licence that is not taken."""
    Offering(monkeypatch, {"flickr": [offered(origin, "flickr", number) for number in (1, 2)]})
    spec = resolve_spec(bench.resources, JobRequest(keywords=["cat"], license=["open"], **request))
    job_id = (await submit_build(bench.resources, spec.model_copy(update={"sources": ["flickr"]}), name="test")).job_id
    return job_id, offered(origin, "openverse", 1, STRICTER)


async def assert_out(bench: Bench, job_id: str) -> None:
    """The first image is refused in the end, the other is kept, and the job knows it."""
    first, second = await rows(bench)
    assert (first.state, first.reason, first.license) == ("rejected", "licence", STRICTER)
    assert (second.state, second.reason, second.license) == ("kept", None, "CC-BY-4.0")
    funnel = await bench.funnel(job_id)
    assert (funnel.kept, funnel.reasons) == (1, {"licence": 1})
    (export,) = await datasets.exports_of_job(bench.db, job_id)
    assert export.samples == 1


@pytest.mark.parametrize("stage", [UnitKind.FETCH, UnitKind.VALIDATE, UnitKind.DUPLICATES, UnitKind.LABELS, UnitKind.EXPORT])
async def test_a_stricter_offer_between_two_stages(
    any_bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch, stage: UnitKind
) -> None:
    """It is out whatever it was: pending, fetched, valid or kept."""
    job_id, stricter = await begin(any_bench, origin, monkeypatch)
    await any_bench.drive(until=stage)
    await offer_again(any_bench, job_id, stricter)
    await any_bench.drive()
    await assert_out(any_bench, job_id)


@pytest.mark.parametrize("answer", [image(encode(photo(80, 80, seed=1))), reply(404), reply(503)])
async def test_a_stricter_offer_during_the_request(any_bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch, answer: Step) -> None:
    """The outcome of the request, whatever it is, does not bring the image back."""
    job_id, stricter = await begin(any_bench, origin, monkeypatch)

    async def offer_first(exchange: Exchange) -> None:
        await offer_again(any_bench, job_id, stricter)
        await answer(exchange)

    origin.script("/flickr/1.jpg", offer_first)
    await any_bench.drive()
    await assert_out(any_bench, job_id)


@pytest.mark.parametrize("compression", [None, {"format": "jpeg", "level": 90}])
async def test_a_stricter_offer_during_the_checks(
    any_bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch, compression: dict[str, Any] | None
) -> None:
    """A verdict on the picture is none on its licence."""
    job_id, stricter = await begin(any_bench, origin, monkeypatch, compression=compression)
    judge = InlineDecoders.run_batch

    async def offer_first(self: InlineDecoders, *args: Any) -> Any:
        await offer_again(any_bench, job_id, stricter)
        async for group in judge(self, *args):
            yield group

    monkeypatch.setattr(InlineDecoders, "run_batch", offer_first)
    await any_bench.drive()
    await assert_out(any_bench, job_id)


async def test_an_offer_and_the_file_state_licences_at_once(any_bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where both are taken the strictest of all three holds, though the file is read while the offer comes."""
    job_id, _ = await begin(any_bench, origin, monkeypatch)
    exif = Image.Exif()
    exif[ExifTags.Base.Copyright] = "CC BY 3.0"
    origin.script("/flickr/1.jpg", image(encode(photo(80, 80, seed=1), exif=exif)))
    strictest, judge = offered(origin, "openverse", 1, "CC-BY-SA-4.0"), InlineDecoders.run_batch

    async def offer_first(self: InlineDecoders, *args: Any) -> Any:
        await offer_again(any_bench, job_id, strictest)
        async for group in judge(self, *args):
            yield group

    monkeypatch.setattr(InlineDecoders, "run_batch", offer_first)
    await any_bench.drive()
    first, _ = await rows(any_bench)
    assert (first.state, first.license) == ("kept", "CC-BY-SA-4.0")


async def test_a_retry_requests_no_image_that_was_refused_since(any_bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """It failed first, then the stricter licence came."""
    job_id, stricter = await begin(any_bench, origin, monkeypatch)
    origin.script("/flickr/1.jpg", reply(404))
    await any_bench.drive()
    await offer_again(any_bench, job_id, stricter)
    with pytest.raises(StateConflict):
        await submit_retry(any_bench.resources, job_id, frozenset({Reason.HTTP_404}))
    await assert_out(any_bench, job_id)


async def test_a_build_decides_again_what_an_earlier_one_took(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row whose licence became stricter by other means is decided again when it is checked."""
    job_id, _ = await begin(bench, origin, monkeypatch)
    await bench.drive(until=UnitKind.VALIDATE)
    async with bench.db.write() as connection:
        own = update(tables.images).where(tables.images.c.url.endswith("/1.jpg"))
        await connection.execute(own.values(license=STRICTER, license_raw=STRICTER, license_url=None))
    await bench.drive()
    await assert_out(bench, job_id)
