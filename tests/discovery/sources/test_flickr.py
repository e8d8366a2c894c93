"""Reading photos of Flickr, what its numbers of licences mean, and dividing its searches."""

import copy
from collections import Counter
from typing import Any

import pytest

import errors
from app.discovery.licences.policy import LicencePolicy
from app.discovery.sources.flickr import LICENCES, PAGE_SIZE, UPLOADS, Flickr
from app.discovery.sources.source import Place, Query, SearchPage, SourceOptions
from app.domain import Candidate, ListProblem, Rendition
from tests.discovery.fakes import ScriptedClient
from tests.providers.flickr import FlickrProvider
from tests.providers.in_process import InProcessClient
from tests.providers.server import KEY

API = "https://api.flickr.com"
STATIC = "https://live.staticflickr.com/3903/15218475961_963a4c116e"

PHOTO: dict[str, Any] = {
    "id": "15218475961",
    "owner": "7788419@N05",
    "title": "Cat &amp; sofa",
    "license": "5",
    "description": {"_content": 'A <a href="https://a.test">tabby</a> cat.'},
    "media": "photo",
    "ownername": "Ann",
    "tags": "cat tabby cat",
    "url_m": f"{STATIC}.jpg",
    "height_m": "333",
    "width_m": "500",
    "url_l": f"{STATIC}_b.jpg",
    "height_l": 681,
    "width_l": 1024,
    "url_o": f"{STATIC}_o.jpg",
    "height_o": 2662,
    "width_o": 4000,
}

GET_INFO: dict[str, Any] = {
    "licenses": {
        "license": [
            {"id": "0", "name": "All Rights Reserved", "url": ""},
            {"id": 4, "name": "Attribution License", "url": "https://creativecommons.org/licenses/by/2.0/"},
            {"id": "11", "name": "CC BY 4.0", "url": "https://creativecommons.org/licenses/by/4.0/"},
            {"id": "x", "name": "odd"},
            {"id": "12", "name": None},
            "odd",
        ]
    },
    "stat": "ok",
}


def reply(*photos: Any, **fields: Any) -> dict[str, Any]:
    return {"photos": {"page": 1, "pages": 1, "perpage": 500, "total": len(photos), "photo": list(photos), **fields}, "stat": "ok"}


def failure(code: object) -> dict[str, Any]:
    return {"stat": "fail", "code": code, "message": "Some words"}


def edited(**fields: Any) -> dict[str, Any]:
    return copy.deepcopy(PHOTO) | fields


def flickr(client: Any, *, side_px: int | None = 640) -> Flickr:
    return Flickr(client, SourceOptions(API, key=KEY, side_px=side_px))


async def search(client: Any, query: Query = Query("cat")) -> list[SearchPage]:
    return [page async for page in flickr(client).pages(query, None)]


async def read(photo: Any, *more: Any, **options: Any) -> Candidate | ListProblem | None:
    (found,) = (await flickr(ScriptedClient(reply(photo), *more), **options).read(Query("cat"), Place())).items
    return found


async def candidate(photo: Any, *more: Any, **options: Any) -> Candidate:
    found = await read(photo, *more, **options)
    assert isinstance(found, Candidate)
    return found


async def test_read_when_record_is_whole() -> None:
    """Everything that a dataset needs of a photo is taken, with the link to its page that the terms ask for."""
    assert await candidate(PHOTO) == Candidate(
        url=f"{STATIC}_b.jpg",
        source="flickr",
        page_url="https://www.flickr.com/photos/7788419@N05/15218475961",
        title="Cat & sofa",
        caption="A tabby cat.",
        license="CC-BY-SA-2.0",
        license_url="https://creativecommons.org/licenses/by-sa/2.0/",
        license_raw="Attribution-ShareAlike License | https://creativecommons.org/licenses/by-sa/2.0/",
        license_confidence="asserted",
        creator="Ann",
        creator_url="https://www.flickr.com/people/7788419@N05/",
        attribution="“Cat & sofa” by Ann via Flickr (CC-BY-SA-2.0)",
        width=1024,
        height=681,
        tags=("cat", "tabby"),
        identities=("flickr:15218475961",),
        renditions=(
            Rendition(f"{STATIC}.jpg", 500, 333),
            Rendition(f"{STATIC}_b.jpg", 1024, 681),
            Rendition(f"{STATIC}_o.jpg", 4000, 2662),
        ),
    )


@pytest.mark.parametrize(("side_px", "width"), [(333, 500), (334, 1024), (682, 4000), (5_000, 4000), (None, 4000)])
async def test_read_chooses_the_smallest_sufficient_size(side_px: int | None, width: int) -> None:
    """The shorter side decides; the original only where nothing smaller is enough."""
    assert (await candidate(PHOTO, side_px=side_px)).width == width


async def test_read_when_it_is_a_video() -> None:
    """Films are passed over."""
    assert await read(edited(media="video")) is None


@pytest.mark.parametrize("photo", [None, "x", [], {}, edited(url_m=None, url_l=7, url_o="javascript:alert(1)")])
async def test_read_when_there_is_no_address(photo: Any) -> None:
    """A photo whose owner shows no size is a problem at its position."""
    assert isinstance(await read(photo), ListProblem)


async def test_read_when_values_are_hostile() -> None:
    """Each field is read by its type; no address is made of what is no id."""
    found = await candidate(
        edited(id="1/../2", owner="x", title=["y"], ownername="\x00", description="z", tags=None, license=None, height_l=-1)
    )
    assert (found.page_url, found.creator_url, found.title, found.creator, found.caption) == (None,) * 5
    assert (found.license, found.license_raw, found.license_confidence, found.identities) == (None, None, "unknown", ())
    assert found.attribution == "Image via Flickr"


@pytest.mark.parametrize(
    ("number", "licence"),
    [
        ("0", "LicenseRef-AllRightsReserved"),
        (2, "CC-BY-NC-2.0"),
        ("8", "LicenseRef-USGovernmentWork"),
        ("9", "CC0-1.0"),
        ("10", "CC-PDM-1.0"),
    ],
)
async def test_licence_when_its_number_is_known(number: object, licence: str) -> None:
    """No request is needed for numbers that have had their meaning for years."""
    assert (await candidate(edited(license=number))).license == licence


async def test_licence_when_its_number_is_new() -> None:
    """The site is asked what it means, once for all photos and pages."""
    client = ScriptedClient(
        reply(edited(license="11"), edited(license="4"), pages=2), GET_INFO, reply(edited(license="11"), edited(license="12"))
    )
    found = [candidate for page in await search(client) for candidate in page.candidates]
    assert [candidate.license for candidate in found] == ["CC-BY-4.0", "CC-BY-2.0", "CC-BY-4.0", "Flickr licence 12"]
    assert [candidate.license_confidence for candidate in found] == [*["asserted"] * 3, "unknown"]
    assert [params["method"].split(".")[-1] for _, params in client.requests] == ["search", "getInfo", "search"]


@pytest.mark.parametrize("answer", [failure(112), {"stat": "ok"}, {"stat": "ok", "licenses": {"license": {}}}, [], None])
async def test_licence_when_the_site_does_not_say(answer: Any) -> None:
    """Known numbers keep their meaning; a new one is unknown, and never guessed."""
    found = await candidate(edited(license="11"), answer)
    assert (found.license, found.license_url, found.license_confidence) == ("Flickr licence 11", None, "unknown")
    client = ScriptedClient(reply(edited(license="11"), PHOTO), answer)
    assert (await search(client))[0].candidates[1].license == "CC-BY-SA-2.0"


async def test_search_asks_for_the_licences_that_are_taken() -> None:
    """Those of which the site says that it has them; for all of them nothing is asked, for none of them neither."""
    client = ScriptedClient(GET_INFO, reply(PHOTO), reply(PHOTO))
    source = flickr(client)
    await source.read(Query("cat", LicencePolicy.of(["open"])), Place())
    await source.count(Query("cat", LicencePolicy.of(["by"])), {})
    assert [params.get("license") for _, params in client.requests] == [None, "4,11", "4,11"]
    nothing = flickr(ScriptedClient(GET_INFO))
    assert (
        await nothing.read(Query("cat", LicencePolicy.of(["CC-BY-3.0"])), Place())
    ).note == "none of the licences that Flickr has is taken"
    assert await nothing.count(Query("cat", LicencePolicy.of(["CC-BY-3.0"])), {}) == 0


async def test_search_when_asked() -> None:
    """The request asks for safe photographs, by relevance, with everything that is read."""
    client = ScriptedClient(reply())
    assert await search(client) == [SearchPage((), None)]
    ((url, params),) = client.requests
    assert url == f"{API}/services/rest/"
    assert {
        "text": "cat",
        "media": "photos",
        "content_types": "0",
        "safe_search": "1",
        "sort": "relevance",
        "per_page": "500",
    }.items() <= params.items()
    assert {"license", "owner_name", "url_l", "url_o"} <= set(params["extras"].split(","))
    assert (params["format"], params["nojsoncallback"]) == ("json", "1")


async def test_search_when_the_number_of_pages_is_missing() -> None:
    """A full page may have a successor, one that is not full has none."""
    full = reply(*[PHOTO] * PAGE_SIZE, pages=None)
    assert [len(page.candidates) for page in await search(ScriptedClient(full, reply(PHOTO, pages="odd")))] == [PAGE_SIZE, 1]


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (100, errors.AuthenticationError, r"does not accept the API key in sources\.flickr\.key \(code 100\)"),
        ("98", errors.AuthenticationError, r"sources\.flickr\.key"),
        (105, errors.ServiceUnavailableError, "not available now"),
        (10, errors.ServiceUnavailableError, "not available now"),
        (3, errors.BadRequestError, r"code 3"),
        ("odd", errors.BadRequestError, "refuses the request"),
    ],
)
async def test_search_when_the_answer_is_a_failure(code: object, kind: type[errors.PictrawlError], words: str) -> None:
    """With status 200 all of them; temporary errors and refusals are different classes, and no message holds the key."""
    with pytest.raises(kind, match=words) as caught:
        await search(ScriptedClient(failure(code)))
    assert caught.value.evidence == "Some words"
    assert KEY not in repr(caught.value)


@pytest.mark.parametrize("answer", [{}, {"photos": {"photo": []}}, {"stat": "ok"}, {"stat": "ok", "photos": {"photo": {}}}])
async def test_search_when_the_answer_has_another_shape(answer: dict[str, Any]) -> None:
    """It is named as such."""
    with pytest.raises(errors.ProtocolError, match="Flickr"):
        await search(ScriptedClient(answer))


@pytest.mark.parametrize("total", [4_000, 4_001, 30_000])
async def test_search_past_the_depth_is_divided(total: int) -> None:
    """Every photo is found once, with few requests more than its pages, though a tenth of them came within one week."""
    provider = FlickrProvider(total)
    found = [candidate.url for page in await search(InProcessClient(provider)) for candidate in page.candidates]
    assert len(found) == len(set(found)) == total
    assert len(provider.requests) <= 1.2 * provider.minimum_calls()


def test_divide_goes_down_to_the_second() -> None:
    """Slices share no second, and together have all; one second cannot be divided."""
    source = flickr(ScriptedClient())
    parts = source.divide(Query("cat"), {}, 9_000)
    assert [sorted(part) for part in parts] == [["uploaded_before"], *[["uploaded_before", "uploaded_from"]] * 2, ["uploaded_from"]]
    assert [part["uploaded_before"] for part in parts[:-1]] == [part["uploaded_from"] for part in parts[1:]]
    assert (
        Counter(min(max(int(part.get("uploaded_from", 0)), UPLOADS.points[0]), UPLOADS.points[-1]) for part in parts).most_common(1)[0][1]
        == 1
    )
    assert source.divide(Query("cat"), {"uploaded_from": "7", "uploaded_before": "8"}, 9_000) == []


async def test_count_is_of_a_part() -> None:
    """Both bounds of the API belong to the range, so one second is taken off the end."""
    client = ScriptedClient(reply(total="4711"))
    assert await flickr(client).count(Query("cat"), {"uploaded_from": "1300000000", "uploaded_before": "1400000000"}) == 4_711
    params = client.requests[0][1]
    assert (params["min_upload_date"], params["max_upload_date"], params["per_page"]) == ("1300000000", "1399999999", "1")


def test_known_licences_are_understood() -> None:
    """Each of them has an id."""
    assert all(licence.id for licence in LICENCES.values())
