"""Reading the NASA Image and Video Library, and dividing it by years."""

from dataclasses import replace
from typing import Any

import pytest

import errors
from app.discovery.sources import nasa
from app.discovery.sources.source import Place, Query, Reply, SourceOptions
from app.domain import Candidate, ListProblem, Rendition
from tests.discovery.fakes import ScriptedClient
from tests.providers.in_process import InProcessClient
from tests.providers.nasa import NasaProvider

BASE = "https://images-api.nasa.gov"
FILES = "http://images-assets.nasa.gov/image/iss 026/iss 026"
URL = "https://images-assets.nasa.gov/image/iss%20026/iss%20026"


def link(name: str, extension: str = "jpg", **stated: int) -> dict[str, Any]:
    return {"href": f"{FILES}~{name}.{extension}", "rel": "alternate", "render": "image", **stated}


ABOUT: dict[str, Any] = {
    "nasa_id": "iss 026",
    "title": "Earth &amp; Moon",
    "description": "Seen from <b>orbit</b>. SpaceX launched a Dragon that day.",
    "photographer": "NASA/Bill Ingalls",
    "keywords": ["Moon", "Earth, Orbit"],
    "media_type": "image",
}
LINKS = [
    link("orig", "tif", width=4000, height=3000, size=36_000_000),
    link("thumb", width=640, height=480),
    link("medium", width=1280, height=960, size=212_000),
    {"href": "https://images-assets.nasa.gov/image/iss 026/metadata.json"},
]


def source(client: Any, side_px: int | None = 640) -> nasa.Nasa:
    return nasa.Nasa(client, SourceOptions(BASE, side_px=side_px))


def collection(*items: Any, **more: Any) -> dict[str, Any]:
    return {"collection": {"items": list(items), "metadata": {"total_hits": len(items)}, **more}}


async def read(*items: Any, side_px: int | None = 640) -> Reply:
    return await source(ScriptedClient(collection(*items)), side_px).read(Query("moon"), Place())


async def read_one(side_px: int | None = 640, links: Any = LINKS, **about: Any) -> Candidate:
    (item,) = (await read({"data": [{**ABOUT, **about}], "links": links}, side_px=side_px)).items
    assert isinstance(item, Candidate)
    return item


async def test_read_when_an_item_has_everything() -> None:
    """The licence follows from the guidelines, addresses are without spaces and over TLS, the smallest size that serves is taken."""
    assert await read_one() == Candidate(
        url=f"{URL}~medium.jpg",
        source="nasa",
        width=1280,
        height=960,
        page_url="https://images.nasa.gov/details/iss%20026",
        title="Earth & Moon",
        caption="Seen from orbit. SpaceX launched a Dragon that day.",
        license="LicenseRef-USGovernmentWork",
        license_url="https://www.nasa.gov/nasa-brand-center/images-and-media/",
        license_raw="NASA/Bill Ingalls",
        license_confidence="derived",
        creator="NASA/Bill Ingalls",
        attribution="“Earth & Moon” by NASA/Bill Ingalls via NASA Image and Video Library (LicenseRef-USGovernmentWork)",
        tags=("Moon", "Earth", "Orbit"),
        stated_bytes=212_000,
        renditions=(Rendition(f"{URL}~thumb.jpg", 640, 480), Rendition(f"{URL}~orig.tif", 4000, 3000, 36_000_000)),
    )


@pytest.mark.parametrize(
    ("about", "raw"),
    [
        ({"photographer": "ESA/Thomas Pesquet"}, "ESA/Thomas Pesquet"),
        ({"photographer": None, "secondary_creator": "NASA/ESA/STScI"}, "NASA/ESA/STScI"),
        ({"description": "A launch. Photo credit: SpaceX. More."}, "NASA/Bill Ingalls | SpaceX"),
        ({"description": "A launch.\nImage Credits: NASA, courtesy of Ann Example"}, "NASA/Bill Ingalls | NASA, courtesy of Ann Example"),
        ({"description": "A map. Copyright 2014 Ann Example, used with permission."}, None),
        ({"description": "A map. © Ann Example"}, None),
        ({"photographer": "(c) 2019 Ann Example"}, None),
        ({"description": "NASA does not own the copyright of this picture."}, None),
    ],
)
async def test_read_when_others_have_rights(about: dict[str, Any], raw: str | None) -> None:
    """A credit of others, or a word of copyright anywhere, leaves the licence unknown, with what was said."""
    found = await read_one(**about)
    assert (found.license, found.license_url, found.license_confidence) == (None, None, "unknown")
    assert raw in (None, found.license_raw)
    assert found.license_raw


@pytest.mark.parametrize(
    "about",
    [
        {"description": "The crew of SpaceX's Dragon with an astronaut of ESA. Photo credit: NASA/Kim Shiflett"},
        {"description": "This image is not copyrighted."},
        {"description": "NASA's images are not subject to copyright; no known copyright restrictions."},
        {"photographer": None, "description": None},
        {"description": "Image courtesy of NASA/JPL-Caltech"},
    ],
)
async def test_read_when_it_is_nasas_own(about: dict[str, Any]) -> None:
    """Companies and agencies that are only spoken of have no rights by that."""
    assert (await read_one(**about)).license == "LicenseRef-USGovernmentWork"


@pytest.mark.parametrize(
    ("side_px", "size"), [(480, "thumb.jpg"), (481, "medium.jpg"), (960, "medium.jpg"), (961, "orig.tif"), (None, "orig.tif")]
)
async def test_read_when_a_size_is_wanted(side_px: int | None, size: str) -> None:
    """By the sides that are stated."""
    assert (await read_one(side_px)).url == f"{URL}~{size}"


@pytest.mark.parametrize(("side_px", "size"), [(400, "small.jpg"), (640, "medium.jpg"), (1_000, "large.jpg"), (2_000, "orig.jpg")])
async def test_read_when_no_sides_are_stated(side_px: int, size: str) -> None:
    """By what the names of sizes stand for."""
    links = [link(name) for name in ("orig", "large", "medium", "small", "thumb")]
    assert (await read_one(side_px, links)).url == f"{URL}~{size}"


async def test_read_when_there_is_a_preview_only() -> None:
    """The list of the item's files is asked for; without one the preview is all there is."""
    item = {"data": [ABOUT], "links": [link("thumb")]}
    assets = collection({"href": f"{FILES}~orig.jpg"}, {"href": f"{FILES}~large.jpg"}, {"href": f"{FILES}.srt"}, {"href": 7}, "x")
    client = ScriptedClient(collection(item, item), assets, errors.NotFoundError("x"))
    first, second = (await source(client).read(Query("moon"), Place())).items
    assert [url for url, _ in client.requests[1:]] == [f"{BASE}/asset/iss%20026"] * 2
    assert isinstance(first, Candidate)
    assert isinstance(second, Candidate)
    assert (first.url, second.url) == (f"{URL}~large.jpg", f"{URL}~thumb.jpg")


async def test_read_when_every_record_is_old() -> None:
    """Each costs one request more, and all come."""
    provider = NasaProvider(120, is_old=True)
    pages = [page async for page in source(InProcessClient(provider)).pages(Query("cat"), None)]
    assert sum(len(page.candidates) for page in pages) == 120
    assert len(provider.requests) == 2 + 120


@pytest.mark.parametrize("item", [None, "x", {}, {"data": []}, {"data": [{"nasa_id": 7}]}, {"data": {}, "links": [link("orig")]}])
async def test_read_when_an_item_is_broken(item: Any) -> None:
    """It costs that item."""
    first, second = (await read(item, {"data": [ABOUT], "links": LINKS})).items
    assert isinstance(first, ListProblem)
    assert isinstance(second, Candidate)


async def test_read_when_an_item_is_no_image() -> None:
    """Other media are passed over, files in formats that are not taken are a problem."""
    client = ScriptedClient(
        collection({"data": [{**ABOUT, "media_type": "video"}]}, {"data": [ABOUT], "links": [link("orig", "psd")]}), collection()
    )
    video, raw = (await source(client).read(Query("moon"), Place())).items
    assert video is None
    assert isinstance(raw, ListProblem)


async def test_read_when_the_body_has_an_error() -> None:
    """Its reason is named."""
    with pytest.raises(errors.ProtocolError, match="no collection: Expected"):
        await source(ScriptedClient({"reason": "Expected 'q' text search parameter"})).read(Query("moon"), Place())


async def test_pages_when_the_source_ends_early() -> None:
    """A refusal of a later page ends the search there, with what came before it."""
    more = {"links": [{"rel": "next", "href": "x"}]}
    client = ScriptedClient(collection({"data": [ABOUT], "links": LINKS}, **more), errors.BadRequestError("refine your search", status=400))
    first, second = [page async for page in source(client).pages(Query("moon"), None)]
    assert len(first.candidates) == 1
    assert (second.candidates, second.cursor) == ((), None)
    assert "no more after 1 results" in second.note


@pytest.mark.parametrize(
    ("part", "parts"),
    [
        ({}, [{"year_end": "1975"}, {"year_start": "1976"}]),
        ({"year_start": "1976"}, [{"year_start": "1976", "year_end": "2013"}, {"year_start": "2014"}]),
        ({"year_end": "1975"}, [{"year_end": "1937"}, {"year_start": "1938", "year_end": "1975"}]),
        (
            {"year_start": "2017", "year_end": "2018"},
            [{"year_start": "2017", "year_end": "2017"}, {"year_start": "2018", "year_end": "2018"}],
        ),
        ({"year_start": "2017", "year_end": "2017"}, []),
        ({"year_start": "2051"}, []),
        ({"year_end": "1900"}, []),
    ],
)
def test_divide(part: dict[str, str], parts: list[dict[str, str]]) -> None:
    """In halves down to a year; the ends stay open."""
    assert list(source(ScriptedClient()).divide(Query("moon"), part, 20_000)) == parts


class Shallow(nasa.Nasa):
    """NASA as if its depth were 2,000."""

    info = replace(nasa.Nasa.info, depth=2_000)


@pytest.mark.parametrize("total", [2_001, 5_000])
async def test_pages_when_there_is_more_than_one_search_reaches(total: int) -> None:
    """All is found, with few more requests than pages, even where a search has only 20 of them."""
    provider = NasaProvider(total, depth=2_000)
    client = InProcessClient(provider)
    pages = [page async for page in Shallow(client, SourceOptions(BASE, side_px=640)).pages(Query("cat"), None)]
    urls = [candidate.url for page in pages for candidate in page.candidates]
    assert len(urls) == len(set(urls)) == total
    assert len(provider.requests) <= 1.2 * provider.minimum_calls()
