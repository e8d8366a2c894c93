"""Paging through a search."""

import json
from typing import Any

import pytest

import errors
from app.discovery import wikimedia
from app.discovery.base import JsonClient, Page
from tests.discovery.fakes import Commons, ScriptedClient, picture


async def collect(client: JsonClient, cursor: str | None = None, **options: Any) -> list[Page]:
    return [page async for page in wikimedia.Wikimedia(client, **options).pages("cat", cursor)]


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
    """A cursor is the continue object in JSON and leads to the rest."""
    first, *rest = await collect(Commons(120))
    assert first.cursor == json.dumps({"continue": "gsroffset||", "gsroffset": "50"})
    assert await collect(Commons(120), first.cursor) == rest


async def test_pages_when_asked() -> None:
    """The request searches bitmaps, asks for a standard width, and yields to a lagging server."""
    client = ScriptedClient({"batchcomplete": True})
    assert await collect(client, base_url="http://127.0.0.1:8000/", width_px=700) == [Page((), None)]
    ((url, params),) = client.requests
    assert url == "http://127.0.0.1:8000/w/api.php"
    assert params["gsrsearch"] == "filetype:bitmap cat"
    assert params["iiurlwidth"] == "960"
    assert params["maxlag"] == "5"


async def test_pages_when_originals_are_wanted() -> None:
    """Without a width no thumbnail is asked for."""
    client = Commons(1)
    (page,) = await collect(client, width_px=None)
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
    assert page.note == "1 of 4 files are of a kind that is not taken"


async def test_pages_when_depth_is_reached() -> None:
    """The search engine gives out 10,000 results; the page says that there were more."""
    reply = {"batchcomplete": True, "query": {"pages": [picture(9_960)]}, "continue": {"gsroffset": 10_000, "continue": "x"}}
    (page,) = await collect(ScriptedClient(reply), json.dumps({"gsroffset": "9950"}))
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
    pages = wikimedia.Wikimedia(ScriptedClient(first, busy)).pages("cat", None)
    assert (await anext(pages)).cursor is not None
    with pytest.raises(errors.RateLimitError) as caught:
        await anext(pages)
    assert caught.value.retry_after_s == 60


@pytest.mark.parametrize("cursor", ["", "no json", "[1]", '{"gsroffset": 50}', '{"gsroffset": "x"}', '{"action": "x"}', "[" * 100_000])
async def test_pages_when_cursor_is_not_ours(cursor: str) -> None:
    """A cursor from elsewhere is refused before anything is asked."""
    client = ScriptedClient()
    with pytest.raises(errors.ValidationError, match="cursor"):
        await collect(client, cursor)
    assert client.requests == []


@pytest.mark.parametrize("query", [None, [], {"pages": {}}, {"pages": None}])
async def test_pages_when_query_has_another_shape(query: object) -> None:
    """A body without files is an empty page."""
    assert await collect(ScriptedClient({"batchcomplete": True, "query": query})) == [Page((), None)]
