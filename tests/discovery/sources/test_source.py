"""Following the pages of a source, and dividing what is too deep."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

import errors
from app.discovery.licences.policy import LicencePolicy
from app.discovery.sources.source import MAX_EMPTY_PAGES, Part, Place, Query, Reply, Source, SourceInfo, SourceOptions
from app.domain import Candidate
from tests.discovery.fakes import ScriptedClient

WHOLE, PAGE = 250, 10


class Years(Source):
    """250 results in 25 years, 10 in each, 10 in a page, each with two images; 100 can be reached in one search."""

    info = SourceInfo("years", "Years", "https://a.test", "", "", "", depth=100, page_size=PAGE)

    def __init__(self, *, names_parts: bool = True) -> None:
        super().__init__(ScriptedClient(), SourceOptions("https://a.test"))
        self.names_parts = names_parts
        self.calls = 0

    async def read(self, query: Query, place: Place) -> Reply:
        self.calls += 1
        first, last = (int(year) for year in place.part.get("years", "0-24").split("-"))
        at = int(place.page or 0)
        total = (last - first + 1) * PAGE
        numbers = range(first * PAGE + at, first * PAGE + at + PAGE)
        items = [Candidate(f"https://a.test/{number}/{view}.jpg", "years") for number in numbers for view in "ab"]
        following = str(at + PAGE) if at + PAGE < total else None
        parts = _halves(first, last) if self.names_parts else ()
        return Reply(items, following, total, note="in parts" if total > 100 else "", results=PAGE, parts=parts)

    async def count(self, query: Query, part: Part) -> int | None:
        return WHOLE


def _halves(first: int, last: int) -> Sequence[Part]:
    middle = (first + last) // 2
    return ({"years": f"{first}-{middle}"}, {"years": f"{middle + 1}-{last}"})


async def test_pages_when_an_answer_names_the_parts() -> None:
    """Parts are read in order until every result came once; results count towards the depth, not images."""
    source = Years()
    pages = [page async for page in source.pages(Query("cat"), None)]
    found = [candidate.url for page in pages for candidate in page.candidates]
    assert len(found) == len(set(found)) == 2 * WHOLE
    assert [candidate.rank for page in pages for candidate in page.candidates] == list(range(2 * WHOLE))
    assert source.calls == 25 + 3


async def test_pages_when_a_divided_answer_has_a_remark() -> None:
    """What a source says of a part that it divides is on the next page, once."""
    pages = [page async for page in Years().pages(Query("cat"), None)]
    assert [number for number, page in enumerate(pages) if page.note] == [0, 13]
    assert pages[0].note == "in parts; in parts"


async def test_pages_when_no_parts_are_named() -> None:
    """The search ends at the depth, counted in results, and says so."""
    pages = [page async for page in Years(names_parts=False).pages(Query("cat"), None)]
    assert len(pages) == 10
    assert pages[-1].note == "in parts; the search ends at 100 results"


async def test_pages_when_less_is_wanted_than_can_be_reached() -> None:
    """The source's own order comes first; what is beyond its depth is read in parts afterwards, even if more is wanted then."""
    pages = [page async for page in Years().pages(Query("cat", wanted=50), None)]
    assert [page.candidates[0].url for page in pages[:10]] == [f"https://a.test/{number}/a.jpg" for number in range(0, 100, PAGE)]
    assert [page.note for page in pages[:10]] == ["in parts"] * 10
    assert len({candidate.url for page in pages for candidate in page.candidates}) == 2 * WHOLE
    assert len(pages) == 10 + 25
    for wanted in (50, 500):
        assert [page async for page in Years().pages(Query("cat", wanted=wanted), pages[8].cursor)] == pages[9:]


async def test_pages_when_more_is_wanted_than_can_be_reached() -> None:
    """It is divided at once, so that nothing is read twice."""
    source = Years()
    assert len([page async for page in source.pages(Query("cat", wanted=101), None)]) == 25
    assert source.calls == 25 + 3


class Sorted(Years):
    """Searches in two parts from the beginning."""

    def parts(self, query: Query) -> Sequence[Part]:
        return ({"years": "3-4"}, {"years": "0-1"})


async def test_pages_when_a_query_is_searched_in_parts() -> None:
    """The parts come in their order, and a cursor goes on in them."""
    pages = [page async for page in Sorted().pages(Query("cat"), None)]
    assert [page.candidates[0].url for page in pages] == [f"https://a.test/{number}/a.jpg" for number in (30, 40, 0, 10)]
    assert [page async for page in Sorted().pages(Query("cat"), pages[1].cursor)] == pages[2:]


def years(*replies: Any, secret: str | None = None, **facts: Any) -> Source:
    """A source of these facts behind scripted replies."""

    class Scripted(Years):
        info = replace(Years.info, **facts)

        def __init__(self) -> None:
            Source.__init__(self, ScriptedClient(*replies), SourceOptions("https://a.test/api/", key=secret))

    return Scripted()


async def test_get_asks_below_the_address() -> None:
    """A slash at the end of the setting does not matter."""
    source = years({"a": 1})
    assert await source.get("/x", {"q": "cat"}) == {"a": 1}
    assert isinstance(source._client, ScriptedClient)
    assert source._client.requests == [("https://a.test/api/x", {"q": "cat"})]


@pytest.mark.parametrize("reply", [None, [], "x", 1])
async def test_get_when_the_answer_is_no_object(reply: object) -> None:
    """The error names the source."""
    with pytest.raises(errors.ProtocolError, match="Years"):
        await years(reply).get("/x")


@pytest.mark.parametrize(
    ("secret", "status", "facts", "words"),
    [
        ("k", 401, {"key": "required"}, r"refused the API key \(401\); check sources\.years\.key"),
        ("k", 403, {"key": "optional"}, "PICTRAWL_SOURCES__YEARS__KEY"),
        (None, 401, {"key": "optional"}, "^as it came$"),
        ("k", 401, {"key": "none"}, "^as it came$"),
    ],
)
async def test_get_when_it_is_refused(secret: str | None, status: int, facts: dict[str, Any], words: str) -> None:
    """A refused key names its setting; other refusals pass."""
    with pytest.raises(errors.AuthenticationError, match=words):
        await years(errors.AuthenticationError("as it came", status=status), secret=secret, **facts).get("/x")


@pytest.mark.parametrize(
    ("policy", "is_free_only"),
    [
        (LicencePolicy.of(["open"]), True),
        (LicencePolicy.of(["any"]), True),
        (LicencePolicy.of(["by"], "keep"), False),
        (LicencePolicy(), False),
        (LicencePolicy((), "drop"), False),
    ],
)
def test_query_that_takes_free_images_only(policy: LicencePolicy, is_free_only: bool) -> None:
    """Neither unknown nor reserved rights are taken."""
    assert Query("cat", policy).is_free_only is is_free_only


async def test_pages_when_a_page_repeats() -> None:
    """A source that gives the same results for every page is not followed for ever; an empty page between others is no repetition."""

    class Same(Years):
        async def read(self, query: Query, place: Place) -> Reply:
            at = int(place.page or 0)
            items = () if at in (1, 2) else [Candidate("https://a.test/1.jpg", "years")]
            return Reply(items, str(at + 1))

    pages = [page async for page in Same().pages(Query("cat"), None)]
    assert [len(page.candidates) for page in pages] == [1, 0, 0, 1]
    assert pages[-1].note == "the source's page has what a page before it had"


async def test_pages_when_a_source_promises_more_for_ever() -> None:
    """Empty pages in a row end the search, although each names a next one; some in between do not."""

    class Empty(Years):
        async def read(self, query: Query, place: Place) -> Reply:
            at = int(place.page or 0)
            items = [Candidate("https://a.test/1.jpg", "years")] if at == MAX_EMPTY_PAGES - 1 else ()
            return Reply(items, str(at + 1), total=10**9)

    Empty.info = replace(Years.info, depth=None)
    pages = [page async for page in Empty().pages(Query("cat"), None)]
    assert len(pages) == 2 * MAX_EMPTY_PAGES
    assert pages[-1].note == f"the source's last {MAX_EMPTY_PAGES} pages were empty"
