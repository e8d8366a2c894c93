"""Reading occurrence records of GBIF, and dividing them by year and country."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

import errors
from app.discovery.licences.policy import LicencePolicy
from app.discovery.sources import gbif
from app.discovery.sources.source import Part, Place, Query, Reply, SourceOptions
from app.domain import Candidate, ListProblem, Rendition
from tests.discovery.fakes import ScriptedClient
from tests.providers.answers import Request, Response
from tests.providers.gbif import GbifProvider
from tests.providers.in_process import InProcessClient

BASE = "https://api.gbif.org"
IDENTIFIER = "https://museum.test/image?id=7&size=original"
MD5 = hashlib.md5(IDENTIFIER.encode(), usedforsecurity=False).hexdigest()

MEDIUM: dict[str, Any] = {
    "type": "StillImage",
    "format": "image/jpeg",
    "identifier": IDENTIFIER,
    "license": '<a href="http://creativecommons.org/licenses/by-sa/4.0/">CC BY-SA</a>',
    "creator": "Ann Example",
    "rightsHolder": "A museum",
    "title": "A <i>fox</i>",
    "description": "In a drawer",
}
RECORD: dict[str, Any] = {
    "key": 2005380410,
    "license": "http://creativecommons.org/licenses/by/4.0/legalcode",
    "scientificName": "Vulpes vulpes (Linnaeus, 1758)",
    "species": "Vulpes vulpes",
    "genus": "Vulpes",
    "family": "Canidae",
    "recordedBy": "Bob",
    "media": [MEDIUM],
}


def source(client: Any, side_px: int | None = 640) -> gbif.Gbif:
    return gbif.Gbif(client, SourceOptions(BASE, side_px=side_px))


async def read(*records: Any, side_px: int | None = 640, **reply: Any) -> Reply:
    client = ScriptedClient({"count": len(records), "endOfRecords": True, "results": list(records), **reply})
    return await source(client, side_px).read(Query("red fox"), Place(page="5219243:300"))


async def read_medium(side_px: int | None = 640, record: dict[str, Any] | None = None, **medium: Any) -> Candidate:
    changed = {name: value for name, value in {**MEDIUM, **medium}.items() if value != "-"}
    (item,) = (await read({**RECORD, **(record or {}), "media": [changed]}, side_px=side_px)).items
    assert isinstance(item, Candidate)
    return item


async def test_read_when_an_image_has_everything() -> None:
    """The image's own licence counts, the cache gives the size that is wanted, the record is the group."""
    (item,) = (await read(RECORD)).items
    assert item == Candidate(
        url=f"{BASE}/v1/image/cache/fit-in/960x960/occurrence/2005380410/media/{MD5}",
        source="gbif",
        page_url="https://www.gbif.org/occurrence/2005380410",
        title="A fox",
        caption="In a drawer",
        license="CC-BY-SA-4.0",
        license_url="https://creativecommons.org/licenses/by-sa/4.0/",
        license_raw="CC BY-SA",
        license_confidence="asserted",
        creator="Ann Example",
        attribution="“A fox” by Ann Example via GBIF (CC-BY-SA-4.0)",
        tags=("Vulpes vulpes", "Vulpes", "Canidae"),
        group_id="gbif:2005380410",
        renditions=(Rendition(IDENTIFIER),),
    )


@pytest.mark.parametrize("side_px", [801, None])
async def test_read_when_the_cache_is_too_small(side_px: int | None) -> None:
    """The publisher's file, with the cache's largest as another size."""
    found = await read_medium(side_px)
    assert found.url == IDENTIFIER
    assert found.renditions == (Rendition(f"{BASE}/v1/image/cache/occurrence/2005380410/media/{MD5}"),)


async def test_read_when_the_image_is_of_inaturalist() -> None:
    """Its own sizes are nearer than the cache; photo and observation are named as iNaturalist's."""
    own = "https://inaturalist-open-data.s3.amazonaws.com/photos/31610070"
    observation = {"references": "https://www.inaturalist.org/observations/20"}
    found = await read_medium(identifier=f"{own}/original.jpg", record=observation)
    assert found.url == f"{own}/large.jpg"
    assert found.identities == ("inaturalist:31610070",)
    assert found.group_id == "inaturalist:20"


@pytest.mark.parametrize(
    ("identifier", "names"),
    [
        ("https://ids.si.edu/ids/deliveryService?id=NMNH-1", ("smithsonian:NMNH-1",)),
        ("https://bs.plantnet.org/photos/5/original.jpg", ()),
    ],
)
async def test_read_when_the_image_is_of_another_source(identifier: str, names: tuple[str, ...]) -> None:
    """It is known by its name there, though the cache gives it out; a look-alike of iNaturalist's addresses is none."""
    found = await read_medium(identifier=identifier)
    assert found.url.startswith(f"{BASE}/v1/image/cache/fit-in/960x960/")
    assert found.identities == names


@pytest.mark.parametrize(
    ("own", "of_record", "licence", "confidence", "raw"),
    [
        (
            "http://creativecommons.org/licenses/by-nc/4.0/",
            "CC0_1_0",
            "CC-BY-NC-4.0",
            "asserted",
            "http://creativecommons.org/licenses/by-nc/4.0/",
        ),
        ("© Ann, all rights reserved", RECORD["license"], "LicenseRef-AllRightsReserved", "asserted", "© Ann, all rights reserved"),
        ("see the website", RECORD["license"], "see the website", "unknown", "see the website"),
        ("-", RECORD["license"], "CC-BY-4.0", "derived", RECORD["license"]),
        ("", RECORD["license"], "CC-BY-4.0", "derived", RECORD["license"]),
        ({}, RECORD["license"], "CC-BY-4.0", "derived", RECORD["license"]),
        ("-", "UNSPECIFIED", "UNSPECIFIED", "unknown", "UNSPECIFIED"),
        ("-", None, None, "unknown", None),
    ],
)
async def test_read_when_licences_differ(own: Any, of_record: Any, licence: str | None, confidence: str, raw: str | None) -> None:
    """Words of the image are never replaced by the licence of its record: images may have stricter terms."""
    found = await read_medium(record={"license": of_record}, license=own)
    assert (found.license, found.license_confidence, found.license_raw) == (licence, confidence, raw)


async def test_read_when_a_record_has_several_media() -> None:
    """Each image is a candidate of one group; sounds and pages for people are none."""
    media = [MEDIUM, {**MEDIUM, "identifier": "https://museum.test/2.jpg"}, {**MEDIUM, "type": "Sound"}, {**MEDIUM, "format": "text/html"}]
    reply = await read({**RECORD, "media": media})
    assert [isinstance(item, Candidate) for item in reply.items] == [True, True, False, False]
    assert reply.items[2:] == [None, None]
    assert reply.results == 1


@pytest.mark.parametrize("record", [None, "x", {}, {"key": 1}, {"key": "x", "media": [MEDIUM]}, {"key": 1, "media": [{"identifier": 7}]}])
async def test_read_when_a_record_is_broken(record: Any) -> None:
    """It costs that record."""
    first, second = (await read(record, RECORD)).items
    assert isinstance(first, ListProblem)
    assert isinstance(second, Candidate)


@pytest.mark.parametrize(
    ("words", "asked"), [(["any"], None), (["commercial"], ["CC0_1_0", "CC_BY_4_0"]), (["cc0"], ["CC0_1_0"]), (["by-sa"], None)]
)
async def test_read_when_licences_are_wanted(words: list[str], asked: list[str] | None) -> None:
    """Records are limited to licences that are taken; where none of theirs is, an image may still have one that is."""
    client = ScriptedClient({"results": []})
    await source(client).read(Query("red fox", LicencePolicy.of(words)), Place(page="7:0"))
    assert client.requests[0][1].get("license") == asked


@pytest.mark.parametrize(
    ("taxa", "asked"),
    [
        ([{"key": 1, "canonicalName": "Vulpes"}, {"key": 2, "vernacularNames": [{"vernacularName": "red fox"}]}], ("taxonKey", "2")),
        ([{"key": 1, "vernacularNames": [{"vernacularName": "Red Fox"}]}, {"key": 2, "canonicalName": "RED FOX"}], ("taxonKey", "2")),
        ([{"key": 1, "acceptedKey": 9, "scientificName": "Red Fox"}], ("taxonKey", "9")),
        ([{"key": "x", "canonicalName": "Red Fox"}, "x", {"vernacularNames": [None]}], ("q", "Red Fox")),
    ],
)
async def test_read_when_the_taxon_is_looked_up(taxa: Any, asked: tuple[str, str]) -> None:
    """A scientific name before a common one, the accepted name for a synonym; else the words are searched, and the note says so."""
    client = ScriptedClient({"results": taxa}, {"results": []})
    reply = await source(client).read(Query("Red Fox"), Place())
    assert client.requests[0][0] == f"{BASE}/v1/species/search"
    assert asked in client.requests[1][1].items()
    assert bool(reply.note) == (asked[0] == "q")


@pytest.mark.parametrize("page", ["x", "1:x", "1", ":", "-1:4"])
async def test_read_when_the_page_is_of_another_source(page: str) -> None:
    """Nothing is requested."""
    with pytest.raises(errors.ValidationError):
        await source(ScriptedClient()).read(Query("cat"), Place(page=page))


async def test_read_when_the_last_page_is_at_the_limit() -> None:
    """Offset and limit together stay at 100,000; what is beyond is answered with 400."""
    client = ScriptedClient({"results": []})
    await source(client).read(Query("cat"), Place(page="7:99900"))
    assert (client.requests[0][1]["offset"], client.requests[0][1]["limit"]) == ("99900", "100")


def facet(field: str, **counts: int) -> list[dict[str, Any]]:
    entries: list[Any] = [{"name": name.removeprefix("y"), "count": count} for name, count in counts.items()]
    return [{"field": field, "counts": [*entries, {"name": "x", "count": 9}, {"name": "1x", "count": "many"}, 7]}]


@pytest.mark.parametrize(
    ("part", "facets", "parts"),
    [
        (
            {},
            facet("YEAR", y2019=150_000, y1990=40_000, y1850=60_000, y2020=20_000, y2021=70_000),
            [{"year": "1850,1990"}, {"year": "2019"}, {"year": "2020,2021"}],
        ),
        ({"year": "2019"}, facet("COUNTRY", DE=60_000, FR=50_000, AT=30_000), [{"country": "AT DE"}, {"country": "FR"}]),
        ({"year": "2019", "country": "DE"}, [], []),
        ({}, facet("YEAR", y2019=150_000), []),
        ({}, [], []),
        ({}, "x", []),
    ],
)
async def test_read_when_a_part_is_too_deep(part: Part, facets: Any, parts: list[Part]) -> None:
    """Neighbouring years are together as long as they can be read, a single year is divided by country, a single country not at all."""
    client = ScriptedClient({"count": 340_000, "results": [], "facets": facets})
    reply = await source(client).read(Query("cat"), Place({"taxonKey": "7", **part}))
    assert reply.parts == [{"taxonKey": "7", **part, **one} for one in parts] or (reply.parts == () and not parts)


@pytest.mark.parametrize(
    ("part", "parts"),
    [
        ({}, ["1600,1825", "1826,2050"]),
        ({"year": "2017,2018"}, ["2017", "2018"]),
        ({"year": "2017,2019"}, ["2017,2018", "2019"]),
        ({"year": "2017"}, []),
        ({"year": "2017", "country": "DE"}, []),
    ],
)
def test_divide(part: Part, parts: list[str]) -> None:
    """Without counts of years a plan, or a search, goes by halves down to a year."""
    assert list(source(ScriptedClient()).divide(Query("cat"), part, 200_000)) == [{**part, "year": years} for years in parts]


class NoFacets(GbifProvider):
    """An API that counts no years."""

    def answer(self, request: Request) -> Response:
        return super().answer(replace(request, query={name: value for name, value in request.query.items() if name != "facet"}))


class Shallow(gbif.Gbif):
    """GBIF as if its depth were 3,000."""

    info = replace(gbif.Gbif.info, depth=3_000)


async def test_pages_when_there_is_more_than_one_search_reaches() -> None:
    """All that states a year is found with few more requests than pages; how much cannot be reached is said."""
    provider = GbifProvider(9_000, undated=50, depth=3_000)
    shallow = Shallow(InProcessClient(provider), SourceOptions("http://127.0.0.1:8000", side_px=640))
    pages = [page async for page in shallow.pages(Query("cat"), None)]
    urls = [candidate.url for page in pages for candidate in page.candidates]
    assert len(urls) == len(set(urls)) == provider.reachable()
    assert len(urls) >= 0.95 * 9_000
    assert len(provider.requests) <= 1.2 * provider.minimum_calls()
    assert "180 records without a year" in pages[0].note


async def test_pages_when_parts_are_resumed() -> None:
    """A new process goes on within a part without looking the taxon up again."""
    provider = GbifProvider(4_000, depth=3_000)
    shallow = Shallow(InProcessClient(provider), SourceOptions("http://127.0.0.1:8000"))
    pages = [page async for page in shallow.pages(Query("cat"), None)]
    provider.requests.clear()
    rest = [page async for page in shallow.pages(Query("cat"), pages[5].cursor)]
    assert rest == pages[6:]
    assert {request.path for request in provider.requests} == {"/v1/occurrence/search"}


async def test_pages_when_no_years_are_counted() -> None:
    """All is found by halves."""
    provider = NoFacets(4_000, depth=3_000)
    shallow = Shallow(InProcessClient(provider), SourceOptions("http://127.0.0.1:8000"))
    pages = [page async for page in shallow.pages(Query("cat"), None)]
    assert len({candidate.url for page in pages for candidate in page.candidates}) == 4_000
