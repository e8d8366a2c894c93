"""Paging through a search."""

import copy
import json
from typing import Any

import pytest

import errors
from app.discovery.sources import wikimedia
from app.discovery.sources.source import JsonClient, Query, SearchPage, SourceOptions
from app.domain import Candidate, ListProblem
from tests.discovery.fakes import JPEG, Commons, ScriptedClient, picture


def commons(client: JsonClient, *, base_url: str = wikimedia.Wikimedia.info.base_url, side_px: int | None = 640) -> wikimedia.Wikimedia:
    return wikimedia.Wikimedia(client, SourceOptions(base_url, side_px=side_px))


async def collect(client: JsonClient, cursor: str | None = None, **options: Any) -> list[SearchPage]:
    return [page async for page in commons(client, **options).pages(Query("cat"), cursor)]


def cursor_at(page: str, found: int = 0) -> str:
    return json.dumps({"source": "wikimedia", "parts": [{}], "page": page, "found": found, "found_in_part": found}, sort_keys=True)


async def test_pages_when_replies_come_in_no_order() -> None:
    """Candidates are in the search's order and ranks go on over pages."""
    pages = await collect(Commons(120))
    assert [len(page.candidates) for page in pages] == [50, 50, 20]
    assert [found.rank for page in pages for found in page.candidates] == list(range(120))
    assert pages[1].candidates[0].url.endswith("Cat_50.jpg/960px-Cat_50.jpg")
    assert [page.cursor is None for page in pages] == [False, False, True]


async def test_pages_when_a_batch_comes_in_parts() -> None:
    """A page waits for batchcomplete, so no file is lost that got its record in a later reply."""
    client = Commons(6, batch=3, parts=3)
    pages = await collect(client)
    assert [found.rank for page in pages for found in page.candidates] == list(range(6))
    assert not any(page.problems for page in pages)
    assert [request.get("iistart") for request in client.requests] == [None, "1", "2", None, "1", "2"]
    assert client.requests[1]["continue"] == "||"


async def test_pages_when_resumed() -> None:
    """The source's word in a cursor is the continue object in JSON; the cursor leads to the rest."""
    first, *rest = await collect(Commons(120))
    assert first.cursor == cursor_at(json.dumps({"continue": "gsroffset||", "gsroffset": "50"}), 50)
    assert await collect(Commons(120), first.cursor) == rest


async def test_pages_when_asked() -> None:
    """The request searches bitmaps, asks for a standard width, and yields to a lagging server."""
    client = ScriptedClient({"batchcomplete": True})
    assert await collect(client, base_url="http://127.0.0.1:8000/", side_px=450) == [SearchPage((), None)]
    ((url, params),) = client.requests
    assert url == "http://127.0.0.1:8000/w/api.php"
    assert params["gsrsearch"] == "filetype:bitmap cat"
    assert params["iiurlwidth"] == "960"
    assert params["maxlag"] == "5"


async def test_pages_when_originals_are_wanted() -> None:
    """Without a width no thumbnail is asked for."""
    client = Commons(1)
    (page,) = await collect(client, side_px=None)
    assert "iiurlwidth" not in client.requests[0]
    assert page.candidates[0].width == 4000


async def test_pages_when_files_are_not_usable() -> None:
    """Broken records are problems at their position, other kinds are counted in the note, ranks keep their place."""
    files = [picture(number) for number in range(4)]
    del files[0]["imageinfo"]
    files[1]["imageinfo"][0]["mime"] = "image/svg+xml"
    files[3]["index"] = "odd"
    (page,) = await collect(ScriptedClient({"batchcomplete": True, "query": {"pages": [*files, "odd"]}}))
    assert [found.rank for found in page.candidates] == [2, 3]
    assert [problem.line for problem in page.problems] == [1]
    assert page.note == "1 of 4 results are of a kind that is not taken"


async def test_pages_when_depth_is_reached() -> None:
    """The search engine gives out 10,000 results; the page says that there were more."""
    reply = {"batchcomplete": True, "query": {"pages": [picture(9_960)]}, "continue": {"gsroffset": 10_000, "continue": "x"}}
    (page,) = await collect(ScriptedClient(reply), cursor_at(json.dumps({"gsroffset": "9950"}), 9_950))
    assert page.cursor is None
    assert "10000" in page.note
    assert page.candidates[0].rank == 9_950


@pytest.mark.parametrize("offset", [0, "x", 10**12])
async def test_pages_when_continuation_leads_nowhere(offset: object) -> None:
    """An answer that would be asked for again and again ends the search."""
    reply = {"batchcomplete": True, "query": {"pages": [picture(0)]}, "continue": {"gsroffset": offset, "continue": "x"}}
    (page,) = await collect(ScriptedClient(reply))
    assert page.cursor is None
    assert page.note == "the source's continuation leads nowhere"


async def test_pages_when_batch_is_never_complete() -> None:
    """A server that never completes a batch is not asked for ever; the same continuation twice is enough to stop."""
    different = [{"query": {"pages": [picture(0)]}, "continue": {"iistart": n}} for n in range(wikimedia.MAX_REPLIES)]
    (page,) = await collect(ScriptedClient(*different))
    assert len(page.candidates) == 1
    same = {"query": {"pages": [picture(0)]}, "continue": {"iistart": 1}}
    client = ScriptedClient(same, same)
    (page,) = await collect(client)
    assert len(client.requests) == 2


async def test_pages_when_error_comes_later() -> None:
    """The pages before an error stand, and the error carries its wait."""
    busy = {"error": {"code": "ratelimited", "info": "slow down"}}
    first = {"batchcomplete": True, "query": {"pages": [picture(0)]}, "continue": {"gsroffset": 50, "continue": "x"}}
    pages = commons(ScriptedClient(first, busy)).pages(Query("cat"), None)
    assert (await anext(pages)).cursor is not None
    with pytest.raises(errors.RateLimitError) as caught:
        await anext(pages)
    assert caught.value.retry_after_s == 60


@pytest.mark.parametrize("page", ["", "no json", "[1]", '{"gsroffset": 50}', '{"gsroffset": "x"}', '{"action": "x"}', "[" * 100_000])
async def test_pages_when_cursor_is_not_ours(page: str) -> None:
    """A cursor from elsewhere is refused before anything is asked."""
    client = ScriptedClient()
    with pytest.raises(errors.ValidationError, match="cursor"):
        await collect(client, cursor_at(page))
    assert client.requests == []


@pytest.mark.parametrize("query", [None, [], {"pages": {}}, {"pages": None}])
async def test_pages_when_query_has_another_shape(query: object) -> None:
    """A body without files is an empty page."""
    assert await collect(ScriptedClient({"batchcomplete": True, "query": query})) == [SearchPage((), None)]


def read(file: dict[str, Any], width_px: int | None = 960) -> Candidate | ListProblem | None:
    return wikimedia.read_file(file, source="wikimedia", width_px=width_px)


def edited(info: dict[str, Any] | None = None, **metadata: str) -> dict[str, Any]:
    file = copy.deepcopy(JPEG)
    file["imageinfo"][0]["extmetadata"] |= {name: {"value": value} for name, value in metadata.items()}
    file["imageinfo"][0] |= info or {}
    return file


def candidate(file: dict[str, Any], width_px: int | None = 960) -> Candidate:
    found = read(file, width_px)
    assert isinstance(found, Candidate)
    return found


def test_read_when_record_is_whole() -> None:
    """Everything that a dataset needs of a file is taken, as plain text."""
    assert candidate(JPEG) == Candidate(
        url="https://upload.wikimedia.org/wikipedia/commons/thumb/a/ab/Tabby_cat.jpg/960px-Tabby_cat.jpg",
        source="wikimedia",
        page_url="https://commons.wikimedia.org/wiki/File:Tabby_cat.jpg",
        caption="A tabby & a sofa. Second line",
        title="Tabby cat",
        license="CC-BY-SA-4.0",
        license_url="https://creativecommons.org/licenses/by-sa/4.0",
        license_raw="cc-by-sa-4.0 | CC BY-SA 4.0 | https://creativecommons.org/licenses/by-sa/4.0",
        license_confidence="asserted",
        creator="Ann Example",
        attribution="“Tabby cat” by Ann Example via Wikimedia Commons (CC-BY-SA-4.0)",
        width=960,
        height=720,
    )


@pytest.mark.parametrize(
    ("info", "width_px"),
    [
        ({}, None),
        ({"width": 960}, 960),
        ({"width": 500}, 960),
        ({"width": "odd"}, 960),
        ({"thumburl": None}, 960),
        ({"thumbwidth": 800}, 960),
    ],
)
def test_read_when_original_is_the_better_choice(info: dict[str, Any], width_px: int | None) -> None:
    """The original is taken where it is wanted, not wider, or where no standard thumbnail is offered."""
    found = candidate(edited(info), width_px)
    assert found.url == "https://upload.wikimedia.org/wikipedia/commons/a/ab/Tabby_cat.jpg"
    assert found.height == 3000


@pytest.mark.parametrize(("wanted", "expected"), [(None, None), (1, 20), (256, 330), (960, 960), (961, 1280), (5000, None)])
def test_standard_width_when_wanted(wanted: int | None, expected: int | None) -> None:
    """The smallest standard width that reaches the wanted one, else the original."""
    assert wikimedia.standard_width(wanted) == expected


@pytest.mark.parametrize("mime", ["image/svg+xml", "application/pdf", "video/webm", None])
def test_read_when_kind_is_not_taken(mime: str | None) -> None:
    """Drawings, documents and films are passed over."""
    assert read(edited({"mime": mime})) is None


@pytest.mark.parametrize("file", [{"title": "File:Gone.jpg", "missing": True}, {"imageinfo": []}, {"imageinfo": ["odd"]}])
def test_read_when_there_is_no_record(file: dict[str, Any]) -> None:
    """A file without its record is a problem at its position."""
    found = read(file)
    assert isinstance(found, ListProblem)
    assert found.line == 0


def test_read_when_address_is_unusable() -> None:
    """An address that cannot be requested is a problem."""
    found = read(edited({"url": "javascript:alert(1)", "thumburl": None}))
    assert isinstance(found, ListProblem)
    assert "address" in found.message


def test_read_when_licence_statements_disagree() -> None:
    """The strictest of contradicting statements holds."""
    found = candidate(
        edited(
            License="cc-by-4.0", LicenseShortName="<b>CC BY-SA</b> 4.0 or so", LicenseUrl="https://creativecommons.org/licenses/by-sa/4.0"
        )
    )
    assert found.license == "CC-BY-SA-4.0"


def test_read_when_licence_has_no_address() -> None:
    """A Creative Commons licence has a known address; another licence gets none."""
    assert candidate(edited(LicenseUrl="")).license_url == "https://creativecommons.org/licenses/by-sa/4.0/"
    other = candidate(edited(License="gfdl", LicenseShortName="", UsageTerms="GNU FDL", LicenseUrl=""))
    assert (other.license, other.license_url) == ("LicenseRef-GFDL", None)


def test_read_when_there_is_no_metadata() -> None:
    """Nothing is made up: no licence, no creator; the title is the file's name."""
    found = candidate(edited({"extmetadata": None}))
    assert (found.license, found.license_url, found.creator, found.caption) == (None, None, None, None)
    assert found.title == "Tabby cat"
    assert found.attribution == "“Tabby cat” via Wikimedia Commons"


def test_read_when_attribution_is_asked_for() -> None:
    """The creator's own wording wins; without a creator the credit line stands in."""
    assert candidate(edited(Attribution="© <i>Ann</i>, Museum")).attribution == "© Ann, Museum"
    assert candidate(edited(Artist="", Credit="Museum")).attribution == "“Tabby cat” by Museum via Wikimedia Commons (CC-BY-SA-4.0)"


def test_read_when_metadata_is_hostile() -> None:
    """Lengths are bounded and control characters gone, whatever the page says."""
    found = candidate(edited(Artist="<p>\x00" + "a" * 9999, ImageDescription="\u202e" * 5 + "b" * 9999, ObjectName=""))
    assert found.creator == "a" * 300
    assert found.caption == "b" * 2000


def test_read_when_there_is_no_title() -> None:
    """A record without a title is still a picture."""
    file = edited({"extmetadata": {"License": "odd", "Artist": {"value": 3}}})
    file["title"] = None
    assert candidate(file).attribution == "Image via Wikimedia Commons"
