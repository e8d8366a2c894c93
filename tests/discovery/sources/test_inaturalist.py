"""Reading observations of iNaturalist."""

from typing import Any

import pytest

import errors
from app.discovery.licences.policy import LicencePolicy
from app.discovery.sources import inaturalist
from app.discovery.sources.source import Place, Query, Reply, SearchPage, SourceOptions
from app.domain import Candidate, ListProblem, Rendition
from tests.discovery.fakes import ScriptedClient
from tests.providers.in_process import InProcessClient
from tests.providers.inaturalist import INaturalistProvider

BASE = "https://api.inaturalist.org"
OPEN_DATA = "https://inaturalist-open-data.s3.amazonaws.com/photos"

PHOTO: dict[str, Any] = {
    "id": 31610070,
    "license_code": "cc-by-nc",
    "attribution": "(c) Ann Example, some rights reserved (CC BY-NC)",
    "url": f"{OPEN_DATA}/31610070/square.jpg?1545328695",
    "original_dimensions": {"width": 2048, "height": 1365},
    "flags": [],
}
OBSERVATION: dict[str, Any] = {
    "id": 20,
    "uri": "https://www.inaturalist.org/observations/20",
    "license_code": "cc0",
    "description": "By the <b>road</b>",
    "tags": ["night"],
    "user": {"login": "ann/e", "name": "Ann Example"},
    "taxon": {"id": 42069, "name": "Vulpes vulpes", "preferred_common_name": "Red Fox", "iconic_taxon_name": "Mammalia"},
    "photos": [PHOTO],
}


def source(client: Any, side_px: int | None = 640) -> inaturalist.INaturalist:
    return inaturalist.INaturalist(client, SourceOptions(BASE, side_px=side_px))


async def read(*observations: Any, side_px: int | None = 640, **reply: Any) -> Reply:
    """The page of these observations, with a taxon that was found."""
    client = ScriptedClient({"total_results": len(observations), "results": list(observations), **reply})
    return await source(client, side_px).read(Query("red fox"), Place(page="42069:10"))


async def read_photo(side_px: int | None = 640, **photo: Any) -> Candidate:
    (item,) = (await read({**OBSERVATION, "photos": [{**PHOTO, **photo}]}, side_px=side_px)).items
    assert isinstance(item, Candidate)
    return item


async def test_read_when_a_photo_has_everything() -> None:
    """The licence is the photo's in version 4.0, the observation is the group, the taxon stands in title and tags."""
    (item,) = (await read(OBSERVATION)).items
    assert item == Candidate(
        url=f"{OPEN_DATA}/31610070/large.jpg?1545328695",
        source="inaturalist",
        width=1024,
        height=682,
        page_url="https://www.inaturalist.org/observations/20",
        title="Vulpes vulpes (Red Fox)",
        caption="By the road",
        license="CC-BY-NC-4.0",
        license_url="https://creativecommons.org/licenses/by-nc/4.0/",
        license_raw="cc-by-nc | (c) Ann Example, some rights reserved (CC BY-NC)",
        license_confidence="asserted",
        creator="Ann Example",
        creator_url="https://www.inaturalist.org/people/ann%2Fe",
        attribution="(c) Ann Example, some rights reserved (CC BY-NC)",
        tags=("Vulpes vulpes", "Red Fox", "Mammalia", "night"),
        identities=("inaturalist:31610070",),
        group_id="inaturalist:20",
        renditions=(
            Rendition(f"{OPEN_DATA}/31610070/small.jpg?1545328695", 240, 160),
            Rendition(f"{OPEN_DATA}/31610070/medium.jpg?1545328695", 500, 333),
            Rendition(f"{OPEN_DATA}/31610070/original.jpg?1545328695", 2048, 1365),
        ),
    )


@pytest.mark.parametrize(
    ("side_px", "dimensions", "size"),
    [
        (160, (2048, 1365), "small"),
        (333, (2048, 1365), "medium"),
        (334, (2048, 1365), "large"),
        (683, (2048, 1365), "original"),
        (None, (2048, 1365), "original"),
        (200, (400, 300), "original"),  # a medium one would be as large
        (160, None, "small"),
        (682, None, "large"),
        (683, None, "original"),
        (None, None, "original"),
    ],
)
async def test_read_when_a_size_is_wanted(side_px: int | None, dimensions: tuple[int, int] | None, size: str) -> None:
    """The smallest that serves; by the usual proportion where a photo states no sides."""
    stated = dict(zip(("width", "height"), dimensions, strict=True)) if dimensions else None
    found = await read_photo(side_px, original_dimensions=stated)
    assert found.url == f"{OPEN_DATA}/31610070/{size}.jpg?1545328695"
    assert (found.width is None) == (dimensions is None)


@pytest.mark.parametrize(
    ("photo", "licence", "confidence"),
    [
        ({"license_code": "cc0", "attribution": "no rights reserved"}, "CC0-1.0", "asserted"),
        ({"license_code": "pd"}, "LicenseRef-PublicDomain", "asserted"),
        ({"license_code": None, "attribution": "(c) Ann, all rights reserved"}, "LicenseRef-AllRightsReserved", "asserted"),
        ({"license_code": None, "attribution": "Ann"}, "LicenseRef-AllRightsReserved", "derived"),
        ({"license_code": "odd"}, "odd", "unknown"),
        ({"license_code": 7}, None, "unknown"),
    ],
)
async def test_read_when_licences_differ(photo: dict[str, Any], licence: str | None, confidence: str) -> None:
    """A code that is null reserves all rights; one of another type says nothing."""
    found = await read_photo(**photo)
    assert (found.license, found.license_confidence) == (licence, confidence)


async def test_read_when_an_observation_has_several_photos() -> None:
    """Each is a candidate of one group; flagged ones are left out, which the note says, until the flag is resolved."""
    flagged = {**PHOTO, "id": 2, "flags": [{"flag": "ai-generated", "resolved": False}]}
    resolved = {**PHOTO, "id": 3, "flags": [{"flag": "spam", "resolved": True}]}
    reply = await read({**OBSERVATION, "photos": [PHOTO, flagged, resolved]})
    assert [item.identities for item in reply.items if isinstance(item, Candidate)] == [("inaturalist:31610070",), ("inaturalist:3",)]
    assert {item.group_id for item in reply.items if isinstance(item, Candidate)} == {"inaturalist:20"}
    assert reply.note == "1 photo left out, flagged by users"
    assert reply.results == 1


@pytest.mark.parametrize(
    "observation", [None, "x", {}, {"photos": {}}, {"photos": [{}]}, {"photos": [{"url": "https://a.test/hidden.png"}]}]
)
async def test_read_when_an_observation_is_broken(observation: Any) -> None:
    """It costs that observation."""
    first, second = (await read(observation, OBSERVATION)).items
    assert isinstance(first, ListProblem)
    assert isinstance(second, Candidate)


async def test_read_when_fields_have_other_types() -> None:
    """What is not of its type is not stated."""
    found = await read_photo(id={}, attribution=[], original_dimensions=[1])
    assert found.identities == ()
    assert found.attribution == "“Vulpes vulpes (Red Fox)” by Ann Example via iNaturalist (CC-BY-NC-4.0)"
    (item,) = (await read({"photos": [PHOTO], "id": "x", "user": 1, "taxon": "x", "uri": 7, "tags": {}})).items
    assert isinstance(item, Candidate)
    assert (item.group_id, item.page_url, item.title, item.creator, item.creator_url, item.tags) == (None, None, None, None, None, ())


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["any"], "cc0,cc-by,cc-by-nc,cc-by-sa,cc-by-nd,cc-by-nc-sa,cc-by-nc-nd"),
        (["open"], "cc0,cc-by,cc-by-sa"),
        (["cc0"], "cc0"),
        ([], None),
    ],
)
async def test_read_when_licences_are_wanted(words: list[str], asked: str | None) -> None:
    """The search is limited to the codes that are taken; not where reserved rights are taken too."""
    client = ScriptedClient({"results": []})
    await source(client).read(Query("red fox", LicencePolicy.of(words)), Place(page="7:0"))
    assert client.requests[0][1].get("photo_license") == asked


async def test_read_when_no_licence_is_taken() -> None:
    """Nothing is asked where nothing can come."""
    query = Query("red fox", LicencePolicy.of(["pdm"]))
    reply = await source(ScriptedClient()).read(query, Place())
    assert (reply.items, reply.following, reply.note) == ((), None, "it has no licence that is taken")
    assert await source(ScriptedClient()).count(query, {}) == 0


@pytest.mark.parametrize(
    ("taxa", "asked"),
    [
        ([{"id": 1, "name": "Vulpes", "matched_term": "Red Foxglove"}, {"id": 2, "preferred_common_name": "Red Fox"}], ("taxon_id", "2")),
        (
            [{"id": 1, "matched_term": "red fox", "observations_count": 3}, {"id": 2, "name": "red  fox", "observations_count": 9}],
            ("taxon_id", "2"),
        ),
        ([{"id": "x", "name": "red fox"}, {"name": None}, "x"], ("taxon_name", "Red Fox")),
        ({}, ("taxon_name", "Red Fox")),
    ],
)
async def test_read_when_the_taxon_is_looked_up(taxa: Any, asked: tuple[str, str]) -> None:
    """The most observed one of exactly that name; without one the words are searched in names, and the note says so."""
    client = ScriptedClient({"results": taxa}, {"results": []})
    reply = await source(client).read(Query("Red Fox"), Place())
    (lookup, looked_up), (_, params) = client.requests
    assert (lookup, looked_up["q"]) == (f"{BASE}/v1/taxa/autocomplete", "Red Fox")
    assert asked in params.items()
    assert bool(reply.note) == (asked[0] == "taxon_name")


@pytest.mark.parametrize("page", ["x", "1:x", "1", ":", "-1:4", "1:2:3"])
async def test_read_when_the_page_is_of_another_source(page: str) -> None:
    """Nothing is requested."""
    with pytest.raises(errors.ValidationError):
        await source(ScriptedClient()).read(Query("cat"), Place(page=page))


async def collect(client: Any, side_px: int | None = 640) -> list[SearchPage]:
    return [page async for page in source(client, side_px).pages(Query("cat"), None)]


async def test_pages_go_by_id() -> None:
    """Pages by number would end at 10,000; nothing is asked for after the last observation."""
    provider = INaturalistProvider(1_200)
    pages = await collect(InProcessClient(provider))
    assert sum(len(page.candidates) for page in pages) == 1_200
    assert [request.get("id_above") for request in provider.requests] == ["", "0", "1597", "2197", "2797", "3397", "3997"]
    assert {request.get("page") for request in provider.requests} == {""}


async def test_pages_when_observations_have_several_photos() -> None:
    """Photos of a page are more than its observations."""
    pages = await collect(InProcessClient(INaturalistProvider(1_000, photos=4)))
    found = [candidate for page in pages for candidate in page.candidates]
    assert [len(page.candidates) for page in pages] == [800, 200]
    assert len({candidate.url for candidate in found}) == 1_000
    assert len({candidate.group_id for candidate in found}) == 250
