"""Reading results of Openverse, and dividing its searches."""

import copy
from typing import Any

import pytest

import errors
from app.discovery.licences.policy import LicencePolicy
from app.discovery.sources.openverse import DEPTH, Openverse
from app.discovery.sources.source import Place, Query, SearchPage, SourceOptions
from app.domain import Candidate, ListProblem, Rendition
from tests.discovery.fakes import ScriptedClient
from tests.providers.in_process import InProcessClient
from tests.providers.openverse import OpenverseProvider

API = "https://api.openverse.org"

ITEM: dict[str, Any] = {
    "id": "f9384235-b72e-4f1e-9b05-e1b116262a29",
    "title": "Cat",
    "foreign_landing_url": "https://www.flickr.com/photos/7788419@N05/15218475961",
    "url": "https://live.staticflickr.com/3903/15218475961_963a4c116e_b.jpg",
    "creator": "Ann & Bob",
    "creator_url": "https://www.flickr.com/photos/7788419@N05",
    "license": "by-sa",
    "license_version": "2.0",
    "license_url": "https://creativecommons.org/licenses/by-sa/2.0/",
    "provider": "flickr",
    "source": "flickr",
    "filesize": 235_467,
    "filetype": "jpg",
    "tags": [{"name": "cat", "accuracy": None}, {"name": "animal", "accuracy": 0.9}, {"name": " Tabby "}, "odd"],
    "attribution": '"Cat" by Ann &amp; Bob is licensed under CC BY-SA 2.0.',
    "mature": False,
    "height": 681,
    "width": 1024,
    "thumbnail": f"{API}/v1/images/f9384235-b72e-4f1e-9b05-e1b116262a29/thumb/",
}


def reply(*items: Any, **fields: Any) -> dict[str, Any]:
    return {"result_count": len(items), "page_count": 1, "page_size": 20, "page": 1, "results": list(items), **fields}


def edited(**fields: Any) -> dict[str, Any]:
    return copy.deepcopy(ITEM) | fields


def openverse(client: Any, *, key: str | None = None, side_px: int | None = 640) -> Openverse:
    return Openverse(client, SourceOptions(API, key=key, side_px=side_px))


async def search(client: Any, query: Query = Query("cat"), **options: Any) -> list[SearchPage]:
    return [page async for page in openverse(client, **options).pages(query, None)]


async def read(item: Any, **options: Any) -> Candidate | ListProblem | None:
    (found,) = (await openverse(ScriptedClient(reply(item)), **options).read(Query("cat"), Place())).items
    return found


async def candidate(item: Any, **options: Any) -> Candidate:
    found = await read(item, **options)
    assert isinstance(found, Candidate)
    return found


async def test_read_when_record_is_whole() -> None:
    """Everything that a dataset needs of an image is taken, and only tags that people gave."""
    thumbnail, image = Rendition(ITEM["thumbnail"], 600, 399), Rendition(ITEM["url"], 1024, 681, 235_467)
    assert await candidate(ITEM) == Candidate(
        url=ITEM["url"],
        source="openverse",
        page_url=ITEM["foreign_landing_url"],
        title="Cat",
        license="CC-BY-SA-2.0",
        license_url="https://creativecommons.org/licenses/by-sa/2.0/",
        license_raw="cc by-sa 2.0 | https://creativecommons.org/licenses/by-sa/2.0/",
        license_confidence="asserted",
        creator="Ann & Bob",
        creator_url=ITEM["creator_url"],
        attribution='"Cat" by Ann & Bob is licensed under CC BY-SA 2.0.',
        width=1024,
        height=681,
        tags=("cat", "Tabby"),
        stated_bytes=235_467,
        renditions=(thumbnail, image),
    )


@pytest.mark.parametrize(
    ("item", "side_px", "width"),
    [
        (ITEM, 399, 600),
        (ITEM, 400, 1024),
        (ITEM, None, 1024),
        (edited(width=600, height=300), 200, 600),
        (edited(width=None), 200, None),
        (edited(thumbnail="x y"), 200, 1024),
    ],
)
async def test_read_chooses_the_smallest_sufficient_size(item: dict[str, Any], side_px: int | None, width: int | None) -> None:
    """The thumbnail where its shorter side is enough; where sizes are not known, the image."""
    assert (await candidate(item, side_px=side_px)).width == width


@pytest.mark.parametrize("fields", [{"filetype": "svg"}, {"mature": True}])
async def test_read_when_kind_is_not_taken(fields: dict[str, Any]) -> None:
    """Drawings and what is marked as sensitive are passed over."""
    assert await read(edited(**fields)) is None


@pytest.mark.parametrize("item", [None, "x", 7, [], {}, edited(url=None), edited(url="javascript:alert(1)")])
async def test_read_when_there_is_no_address(item: Any) -> None:
    """A result without an address is a problem at its position."""
    assert isinstance(await read(item), ListProblem)


async def test_read_when_statements_of_the_licence_differ() -> None:
    """The strictest holds; what is not understood or not stated is unknown, and nothing is made up."""
    stricter = await candidate(edited(license="by", license_url="https://creativecommons.org/licenses/by-nc/2.0/"))
    assert stricter.license == "CC-BY-NC-2.0"
    for code, version, licence in (("cc0", "1.0", "CC0-1.0"), ("pdm", "1.0", "CC-PDM-1.0"), ("by", "4.0", "CC-BY-4.0"), ("BY", None, None)):
        found = await candidate(edited(license=code, license_version=version, license_url=None))
        assert found.license == (licence or "LicenseRef-CC-BY")
    odd = await candidate(edited(license="sampling+", license_version="1.0", license_url=None))
    assert (odd.license, odd.license_confidence, odd.license_raw) == ("sampling+ 1.0", "unknown", "sampling+ 1.0")
    none = await candidate(edited(license=None, license_url=7))
    assert (none.license, none.license_url, none.license_raw, none.license_confidence) == (None, None, None, "unknown")


async def test_read_when_values_are_hostile() -> None:
    """Each field is read by its type, cleaned and bounded."""
    found = await candidate(
        edited(title="\x00<b>" + "a" * 999, creator=["x"], creator_url="ftp://x", filesize=-1, tags={}, attribution=None)
    )
    assert found.title == "a" * 300
    assert (found.creator, found.creator_url, found.stated_bytes, found.tags) == (None, None, None, ())
    assert found.attribution == f"“{'a' * 300}” via Openverse (CC-BY-SA-2.0)"


async def test_search_when_asked() -> None:
    """A client without a token asks for 20 results of what is not sensitive; a keyword is cut to what the API reads."""
    client = ScriptedClient(reply())
    assert await search(client, Query("cat " * 100)) == [SearchPage((), None)]
    ((url, params),) = client.requests
    assert url == f"{API}/v1/images/"
    assert params == {"q": ("cat " * 100)[:200], "mature": "false", "page": "1", "page_size": "20"}


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        (["any"], "by,by-sa,by-nc-nd,by-nc-sa,by-nc,cc0,by-nd,pdm"),
        (["open"], "by,by-sa,cc0,pdm"),
        (["CC-BY-2.0"], "by"),
        (["CC-BY-3.0-DE"], None),
    ],
)
async def test_search_asks_for_the_licences_that_are_taken(words: list[str], codes: str | None) -> None:
    """The API filters by licence without its version; it is not asked to filter where no code is sure to be taken."""
    client = ScriptedClient(reply())
    await search(client, Query("cat", LicencePolicy.of(words)))
    assert client.requests[0][1].get("license") == codes


async def test_search_with_a_token() -> None:
    """Pages are larger, five of them are the depth, and the token is in a header, never in the address."""
    provider = OpenverseProvider(240)
    pages = await search(InProcessClient(provider), key="a-key-of-ours")
    assert [len(page.candidates) for page in pages] == [48] * 5
    assert {request.headers["authorization"] for request in provider.requests} == {"Bearer a-key-of-ours"}
    assert not any("a-key-of-ours" in str(request.query) for request in provider.requests)


async def test_search_when_the_token_is_refused() -> None:
    """The error names the setting and the way out, not the token."""
    with pytest.raises(errors.AuthenticationError, match=r"sources\.openverse\.key.*it answers without one") as caught:
        await search(InProcessClient(OpenverseProvider()), key="old-token")
    assert "old-token" not in str(caught.value)
    for error, key in ((errors.AuthenticationError("x", status=401), None), (errors.AuthenticationError("x", status=403), "k")):
        with pytest.raises(errors.AuthenticationError, match=r"\Ax\Z"):
            await search(ScriptedClient(error), key=key)


async def test_search_goes_on_where_a_token_came_or_went() -> None:
    """The place is a number of results, whatever the size of a page; no result is passed over."""
    provider = OpenverseProvider(200)
    first = await anext(openverse(InProcessClient(provider), key="a-key-of-ours").pages(Query("cat"), None))
    pages = [page async for page in openverse(InProcessClient(provider)).pages(Query("cat"), first.cursor)]
    assert len({found.url for page in (first, *pages) for found in page.candidates}) == 200


async def test_search_when_the_number_of_pages_is_missing() -> None:
    """A full page may have a successor, one that is not full has none."""
    full = reply(*[ITEM] * 20, page_count=None)
    assert [len(page.candidates) for page in await search(ScriptedClient(full, reply(ITEM, page_count="odd")))] == [20, 1]


@pytest.mark.parametrize("total", [2_000, 10_000])
async def test_search_past_the_depth_is_divided(total: int) -> None:
    """Nearly all that slices can reach is found, each once, with few requests more than its pages."""
    provider = OpenverseProvider(total)
    found = [candidate.url for page in await search(InProcessClient(provider)) for candidate in page.candidates]
    assert len(found) == len(set(found)) >= 0.95 * provider.reachable()
    assert provider.reachable() > 0.9 * total
    assert len(provider.requests) <= 1.2 * provider.minimum_calls()


async def test_search_begins_with_the_most_relevant_where_these_are_enough() -> None:
    """A slice would show one licence and one collection only; past the depth the slices follow."""
    provider = OpenverseProvider(2_000)
    pages = await search(InProcessClient(provider), Query("cat", wanted=100))
    assert [candidate.title for page in pages[:12] for candidate in page.candidates] == [f"Cat {number}" for number in range(DEPTH)]
    assert len({candidate.url for page in pages for candidate in page.candidates}) == 2_000
    assert len(provider.requests) <= 1.2 * provider.minimum_calls() + 12


async def test_search_past_the_depth_stays_within_the_licences() -> None:
    """A search that is filtered is divided into what is taken only."""
    provider = OpenverseProvider(2_000)
    pages = await search(InProcessClient(provider), Query("cat", LicencePolicy.of(["open"])))
    found = [candidate.license for page in pages for candidate in page.candidates]
    assert {*found} == {"CC-BY-2.0", "CC-BY-SA-4.0", "CC0-1.0", "CC-PDM-1.0"}
    assert len(found) == sum(provider.facts(number).licence in found for number in range(2_000))


async def test_search_when_a_collection_is_gone() -> None:
    """A filter of which the API knows no value is ignored: what then comes is of other slices, and is not taken twice."""
    client = ScriptedClient(reply(ITEM, result_count=9))
    found = await openverse(client).read(Query("cat"), Place({"license": "by-sa", "source": "nypl"}))
    assert (list(found.items), found.following, found.total) == ([], None, None)
    assert found.note == "Openverse no longer has the collection nypl"


def test_divide_when_nothing_is_left_to_divide_by() -> None:
    """A slice of one value of each filter is read as far as it goes; a slice names each value once."""
    source = openverse(ScriptedClient())
    assert source.divide(Query("cat"), {"license": "by", "source": "flickr", "aspect_ratio": "wide", "size": "large"}, 999) == ()
    parts = source.divide(Query("cat"), {"license": "by"}, DEPTH + 1)
    assert len(parts) == 2
    assert sorted(source for part in parts for source in part["source"].split(",")).count("flickr") == 1


async def test_count_asks_for_one_result() -> None:
    """A count is of a part, if one is given."""
    client = ScriptedClient(reply(ITEM, result_count=4_711), reply(result_count="many"))
    source = openverse(client)
    assert await source.count(Query("cat"), {"source": "met,*"}) == 4_711
    params = client.requests[0][1]
    assert params["page_size"] == "1"
    assert "source" not in params
    assert "flickr" in params["excluded_source"].split(",")
    assert "met" not in params["excluded_source"].split(",")
    assert await source.count(Query("cat"), {}) is None
