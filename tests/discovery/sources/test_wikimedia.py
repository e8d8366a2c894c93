"""Paging through a search."""

import json
from typing import Any

import pytest

import errors
from app.discovery.sources import wikimedia
from app.discovery.sources.source import JsonClient, Query, SearchPage, SourceOptions
from tests.discovery.fakes import Commons, ScriptedClient, picture
from tests.providers.in_process import InProcessClient
from tests.providers.wikimedia import WikimediaProvider


def commons(client: JsonClient, *, base_url: str = wikimedia.Wikimedia.info.base_url, side_px: int | None = 640) -> wikimedia.Wikimedia:
    return wikimedia.Wikimedia(client, SourceOptions(base_url, side_px=side_px))


async def collect(client: JsonClient, cursor: str | None = None, **options: Any) -> list[SearchPage]:
    return [page async for page in commons(client, **options).pages(Query("cat"), cursor)]


def counted(total: object) -> dict[str, Any]:
    return {"batchcomplete": True, "query": {"searchinfo": {"totalhits": total}, "search": []}}


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
    searches = [request for request in client.requests if "generator" in request]
    assert [request.get("iistart") for request in searches] == [None, "1", "2", None, "1", "2"]
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
    (page,) = await collect(ScriptedClient(reply, counted(12_000)), cursor_at(json.dumps({"gsroffset": "9950"}), 9_950))
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
    pages = commons(ScriptedClient(first, counted(99), busy)).pages(Query("cat"), None)
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


async def test_search_by_what_is_depicted_comes_first() -> None:
    """Then the files that the words find besides, so that none comes twice; each part has ranks of its own place in the whole."""
    provider = WikimediaProvider(300)
    source = commons(InProcessClient(provider))
    pages = [page async for page in source.pages(Query("cat", qid="Q146"), None)]
    numbers = [int(found.title.removeprefix("Cat ")) for page in pages for found in page.candidates if found.title]
    assert numbers == [*range(0, 300, 3), *(number for number in range(300) if number % 3)]
    assert [found.rank for page in pages for found in page.candidates] == list(range(300))
    searches = {request.get("gsrsearch") for request in provider.requests} - {""}
    assert searches == {"filetype:bitmap haswbstatement:P180=Q146", "filetype:bitmap cat -haswbstatement:P180=Q146"}
    rest = [page async for page in source.pages(Query("cat", qid="Q146"), pages[1].cursor)]
    assert rest == pages[2:]


def numbers_of(pages: list[SearchPage]) -> list[int]:
    return [int(found.title.removeprefix("Cat ")) for page in pages for found in page.candidates if found.title]


CAT = Query("cat", qid="Q146", category="Domestic cats")


async def test_search_by_category_comes_between() -> None:
    """With the categories below it; each way leaves out what those before it find, and every cursor leads to the rest."""
    provider = WikimediaProvider(300)
    source = commons(InProcessClient(provider))
    pages = [page async for page in source.pages(CAT, None)]
    deep, words = (range(start, 300, 2) for start in (0, 1))
    expected = [*range(0, 300, 3), *(number for number in deep if number % 3), *(number for number in words if number % 3)]
    assert numbers_of(pages) == expected
    assert {request.get("gsrsearch") for request in provider.requests} - {""} == {
        "filetype:bitmap haswbstatement:P180=Q146",
        'filetype:bitmap deepcat:"Domestic cats" -haswbstatement:P180=Q146',
        'filetype:bitmap cat -haswbstatement:P180=Q146 -deepcat:"Domestic cats"',
    }
    for at, page in enumerate(pages[:-1], 1):
        assert [later async for later in source.pages(CAT, page.cursor)] == pages[at:]
    assert sum([await source.count(CAT, part) or 0 for part in source.parts(CAT)]) == 300


async def test_a_category_with_too_many_below_it_is_searched_alone() -> None:
    """Which of those below it were searched is not known, so that files would be missed or come twice; later pages do not ask again."""
    provider = WikimediaProvider(1_500)
    provider.is_tree_cut = True
    source = commons(InProcessClient(provider))
    pages = [page async for page in source.pages(CAT, None)]
    direct = [number for number in range(0, 1_500, 10) if number % 3]
    assert numbers_of(pages) == [*range(0, 1_500, 3), *direct, *(number for number in range(1_500) if number % 3 and number % 10)]
    asked = [request.get("gsrsearch") for request in provider.requests if "deepcat" in request.get("gsrsearch")]
    assert len(asked) == len(set(asked)) == 2
    for at, page in enumerate(pages[:-1], 1):
        assert [later async for later in source.pages(CAT, page.cursor)] == pages[at:]
    assert sum([await source.count(CAT, part) or 0 for part in source.parts(CAT)]) == 1_500


async def test_a_category_that_fails_on_a_later_page_is_asked_for_later() -> None:
    """Its pages would not go on where they stood."""
    warned = {"warnings": {"search": {"warnings": "Deep category search timed out."}}}
    first = {"batchcomplete": True, "query": {"pages": [picture(0)]}, "continue": {"gsroffset": 50, "continue": "x"}}
    pages = commons(ScriptedClient(first, counted(99), {"batchcomplete": True, **warned})).pages(Query("cat", category="Cats"), None)
    await anext(pages)
    with pytest.raises(errors.ServiceUnavailableError, match="below a category"):
        await anext(pages)


async def test_a_category_that_does_not_exist_costs_one_request() -> None:
    """The words are searched as ever."""
    provider = WikimediaProvider(40)
    pages = [page async for page in commons(InProcessClient(provider)).pages(Query("cat", category="Catz"), None)]
    assert numbers_of(pages) == list(range(40))
    assert len(provider.requests) == 2


@pytest.mark.parametrize("category", [None, "", 'Cats" OR dog', "Cats|Dogs", "Cats\n", "x" * 256])
async def test_search_when_there_is_no_usable_category(category: str | None) -> None:
    """Nothing but a title gets into the search."""
    client = ScriptedClient({"batchcomplete": True})
    [page async for page in commons(client).pages(Query("cat", category=category), None)]
    assert [params["gsrsearch"] for _, params in client.requests] == ["filetype:bitmap cat"]


async def test_a_large_category_is_divided() -> None:
    """By the size of the files, as the other ways are."""
    provider = WikimediaProvider(45_000)
    pages = [page async for page in commons(InProcessClient(provider)).pages(CAT, None)]
    numbers = numbers_of(pages)
    assert len(numbers) == len(set(numbers)) == 45_000
    assert len(provider.requests) <= 1.2 * provider.minimum_calls()


@pytest.mark.parametrize("qid", [None, "", "Q", "Q146 OR cat", "P180", "146"])
async def test_search_when_the_item_is_not_known(qid: str | None) -> None:
    """The words alone are searched for, and nothing but an item gets into the search."""
    client = ScriptedClient({"batchcomplete": True})
    [page async for page in commons(client).pages(Query("cat", qid=qid), None)]
    assert [params["gsrsearch"] for _, params in client.requests] == ["filetype:bitmap cat"]


@pytest.mark.parametrize("total", [10_000, 10_001, 30_000])
async def test_search_past_the_depth_is_divided(total: int) -> None:
    """By the size of the files: every file is found once, with few requests more than its pages."""
    provider = WikimediaProvider(total)
    found = [candidate.url for page in await collect(InProcessClient(provider)) for candidate in page.candidates]
    assert len(found) == len(set(found)) == total
    assert len(provider.requests) <= 1.2 * provider.minimum_calls()


async def test_total_is_not_asked_for_where_less_is_wanted() -> None:
    """Before the depth it decides nothing; there it is asked for, and the slices follow."""
    client = Commons(200)
    assert len([page async for page in commons(client).pages(Query("cat", wanted=500), None)]) == len(client.requests) == 4
    provider = WikimediaProvider(10_100)
    cursor = cursor_at(json.dumps({"continue": "gsroffset||", "gsroffset": "9950"}), 9_950)
    pages = [page async for page in commons(InProcessClient(provider)).pages(Query("cat", wanted=500), cursor)]
    assert len({candidate.url for page in pages for candidate in page.candidates}) == 10_100
    assert pages[-1].note == ""


def test_divide_keeps_the_part() -> None:
    """A part that is divided stays one of what is depicted or of words; neighbours share no file."""
    source = commons(ScriptedClient())
    parts = source.divide(Query("cat", qid="Q146"), {"by": "words"}, 13_000)
    assert parts == [{"by": "words", "below_kb": "1600"}, {"by": "words", "from_kb": "1600"}]
    assert source.divide(Query("cat"), {"from_kb": "7", "below_kb": "8"}, 13_000) == []


async def test_total_is_asked_for_where_there_are_several_pages() -> None:
    """A search of one page asks nothing else; of several, once."""
    for total, requests in ((50, 1), (51, 3)):
        client = Commons(total)
        await collect(client)
        assert len(client.requests) == requests


@pytest.mark.parametrize(("total", "expected"), [(7, 7), ("x", None), (None, None), (-1, None)])
async def test_count_when_asked(total: object, expected: int | None) -> None:
    """The number of hits of a part, without files."""
    client = ScriptedClient(counted(total))
    assert await commons(client).count(Query("cat"), {"from_kb": "60", "below_kb": "200"}) == expected
    assert client.requests[0][1]["srsearch"] == "filetype:bitmap cat filesize:>60 -filesize:>200"
