"""Tests of workers.stages.offers: a picture that two sources offer is fetched once, with both on its row. The origin counts."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import select

from app.db import tables
from app.discovery import Query, SearchPage
from app.domain import Candidate
from app.explain.keywords import load_keywords
from app.jobs.settle import resolve_spec
from app.jobs.submit import submit_build
from app.spec import JobRequest
from tests.images.samples import encode, photo
from tests.origin import Origin, image
from tests.workers.bench import Bench


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
