"""What every source of images keeps to, over a real socket, with its provider (`tests.providers`) at the other end."""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import astuple
from typing import Any

import pytest

import errors
import logging_setup.config
from app import discovery
from app.domain import Candidate
from downloader import FetchLimits, RetryRules
from downloader.client import Downloader
from tests.clocks import FakeTime
from tests.discovery.fakes import ScriptedClient
from tests.providers import PROVIDERS
from tests.providers.faults import EVERY
from tests.providers.server import KEY, Provider

pytestmark = pytest.mark.exhaustive

CONTACT = "me@example.org"

SLACK = 1.2
"""Requests of a search over the fewest that are possible."""

REACHED = 0.95
"""Share of what is reachable that a search finds, where it is divided."""

OF_ITEMS = ("broken_items", "changed_fields", "missing_fields")
"""Faults of single items, which cost these only."""


@pytest.fixture(params=sorted(discovery.SOURCES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
async def downloader(time: FakeTime) -> AsyncIterator[Downloader]:
    limits = FetchLimits(allow_networks=("127.0.0.0/8",), ports=(), contact=CONTACT)
    async with Downloader(limits, RetryRules(jitter=0), sleep=time.sleep, clock=time.clock) as made:
        yield made


def options(name: str, *, base_url: str = "", key: str | None = KEY, contact: str = CONTACT) -> discovery.SourceOptions:
    """A key is given to those only that answer nobody without one: a provider has the limits of a client without privileges."""
    info = discovery.SOURCES[name]
    return discovery.SourceOptions(base_url or info.base_url, key=key if info.needs_key else None, contact=contact, side_px=640)


def opened(client: discovery.JsonClient, provider: Provider) -> discovery.Source:
    return discovery.open_source(provider.name, client, options(provider.name, base_url=provider.base_url))


async def search(
    client: discovery.JsonClient, provider: Provider, cursor: str | None = None, *, keyword: str = "cat"
) -> list[discovery.SearchPage]:
    return [page async for page in opened(client, provider).pages(discovery.Query(keyword), cursor)]


async def first_page(client: discovery.JsonClient, provider: Provider, cursor: str | None) -> discovery.SearchPage:
    """One page, by a source that is thrown away afterwards."""
    async with aclosing(opened(client, provider).pages(discovery.Query("cat"), cursor)) as pages:  # type: ignore[type-var]
        return await anext(pages)


def candidates(pages: list[discovery.SearchPage]) -> list[Candidate]:
    return [candidate for page in pages for candidate in page.candidates]


def number(provider: Provider, candidate: Candidate) -> int:
    """The item of a candidate; one that the provider does not have is invented."""
    assert candidate.url.startswith(provider.url("/")), f"{candidate.url} is nowhere at the provider"
    found = provider.image_number(candidate.url.removeprefix(provider.base_url))
    assert found is not None and 0 <= found < provider.total, f"{candidate.url} is no image of the provider"  # noqa: PT018
    return found


def few(provider: type[Provider]) -> int:
    """Items that take three pages."""
    return 2 * provider.page_size + EVERY


def test_every_source_has_a_provider() -> None:
    """No source goes untested."""
    assert set(PROVIDERS) == set(discovery.SOURCES)


async def test_a_search_finds_each_item_once(name: str, downloader: Downloader) -> None:
    """All of 2,000 items that are reachable come, none is invented, and not many more requests are sent than it takes."""
    async with PROVIDERS[name]() as provider:
        pages = await search(downloader, provider)
        numbers = [number(provider, candidate) for candidate in candidates(pages)]
        assert len(numbers) == len(set(numbers))
        assert REACHED * provider.reachable() <= len(numbers) <= provider.reachable()
        assert len(provider.requests) <= SLACK * provider.minimum_calls()
    assert [page.cursor is None for page in pages] == [*[False] * (len(pages) - 1), True]
    ranks = [candidate.rank for candidate in candidates(pages)]
    assert ranks == sorted(set(ranks))


async def test_a_search_by_item_and_category_finds_each_item_once(name: str, downloader: Downloader) -> None:
    """More ways to search for a keyword find the same items, each once; sources without them ask for the words."""
    query = discovery.Query("cat", qid="Q146", category="Domestic cats")
    async with PROVIDERS[name](few(PROVIDERS[name])) as provider:
        pages = [page async for page in opened(downloader, provider).pages(query, None)]
        numbers = [number(provider, candidate) for candidate in candidates(pages)]
        assert len(numbers) == len(set(numbers))
        assert REACHED * provider.reachable() <= len(numbers) <= provider.reachable()


async def test_candidates_have_what_the_source_states(name: str, downloader: Downloader) -> None:
    """Licence, creator, page and title of each item are the service's, and every licensed candidate can be attributed."""
    async with PROVIDERS[name](total=25) as provider:
        found = candidates(await search(downloader, provider))
        assert sorted(number(provider, candidate) for candidate in found) == list(range(25))
        for candidate in found:
            facts = provider.facts(number(provider, candidate))
            assert candidate.license == facts.licence
            assert (candidate.license_confidence == "unknown") == (facts.licence is None)
            assert candidate.page_url == facts.page_url
            assert candidate.creator == facts.creator
            assert facts.title in (None, candidate.title)
            assert facts.attribution in (None, candidate.attribution)
            assert candidate.attribution
            assert candidate.source == name


async def test_candidates_are_plain(name: str, downloader: Downloader) -> None:
    """Nothing has text that a database or a terminal would choke on."""
    async with PROVIDERS[name](total=25) as provider:
        for candidate in candidates(await search(downloader, provider)):
            assert all(value.isprintable() and len(value) <= 8192 for value in astuple(candidate) if isinstance(value, str))


async def test_pages_go_on_from_any_cursor(name: str, downloader: Downloader) -> None:
    """A new process with a cursor sees the page that was still to come, whatever the process before it has read."""
    async with PROVIDERS[name](few(PROVIDERS[name])) as provider:
        pages = await search(downloader, provider)
        assert len(pages) > 1
        cursors = [None, *[page.cursor for page in pages[:-1]]]
        assert [await first_page(downloader, provider, cursor) for cursor in cursors] == pages


async def test_pages_when_nothing_is_found(name: str, downloader: Downloader) -> None:
    """Nothing found is one empty page."""
    async with PROVIDERS[name]() as provider:
        (page,) = await search(downloader, provider, keyword="nothing")
    assert (page.candidates, page.cursor, page.problems) == ((), None, ())


async def test_count_says_how_many(name: str, downloader: Downloader) -> None:
    """A count is one small request, or two where a name is looked up, and right."""
    async with PROVIDERS[name](total=1_234) as provider:
        assert await opened(downloader, provider).count(discovery.Query("cat"), {}) in (provider.counted("cat"), None)
        assert await opened(downloader, provider).count(discovery.Query("nothing"), {}) in (0, None)
        assert len(provider.requests) == 2 * provider.count_calls


FAULTS = [(name, fault) for name, provider in sorted(PROVIDERS.items()) for fault in provider.fault_names()]


@pytest.mark.parametrize(("name", "fault"), FAULTS)
async def test_a_fault_costs_a_page_or_the_search(name: str, downloader: Downloader, fault: str) -> None:
    """A fault ends in one of our errors or a note, invents nothing, asks a bounded number of times, and what came before it is kept.

    Once it is over, the search goes on from where it stood and misses nothing.
    """
    for first in (1, 2):
        async with PROVIDERS[name](few(PROVIDERS[name])) as provider:
            provider.fail(fault, at={first} if first == 1 else range(first, 1_000_000))
            pages, error = await read_to_the_end(downloader, provider)
            numbers = [number(provider, candidate) for candidate in candidates(pages)]
            if fault not in ("loop", "overlap"):
                assert len(numbers) == len(set(numbers))
            assert len(provider.requests) <= 10 * provider.minimum_calls() + 20
            assert pages or error is None or first == 1
            if fault in OF_ITEMS:
                assert error is None
                assert len(numbers) >= (1 - 1 / EVERY) * provider.total - 1
            if error is None or not isinstance(error, errors.TransientError | errors.ProtocolError):
                continue
            provider.heal()
            rest = await search(downloader, provider, pages[-1].cursor if pages else None)
            numbers += [number(provider, candidate) for candidate in candidates(rest)]
            assert sorted(numbers) == list(range(provider.reachable()))


@pytest.mark.parametrize("name", [name for name, info in sorted(discovery.SOURCES.items()) if info.is_divisible])
async def test_a_total_that_is_always_too_large_is_not_divided_for_ever(name: str, downloader: Downloader) -> None:
    """The search reads what there is, or ends with a note."""
    async with PROVIDERS[name](few(PROVIDERS[name])) as provider:
        provider.fail("total_huge")
        pages, error = await read_to_the_end(downloader, provider, most=500)
        numbers = [number(provider, candidate) for candidate in candidates(pages)]
        assert error is None
        assert len(numbers) == len(set(numbers))
        assert len(provider.requests) <= 500 + len(numbers) * discovery.SOURCES[name].calls_per_result


async def test_a_total_that_shrinks_loses_only_what_is_gone(name: str, downloader: Downloader) -> None:
    """The search ends early and without an error."""
    async with PROVIDERS[name](few(PROVIDERS[name])) as provider:
        provider.shrinks = True
        numbers = [number(provider, candidate) for candidate in candidates(await search(downloader, provider))]
        assert len(numbers) == len(set(numbers))
        assert len(numbers) >= provider.found("cat") * REACHED


async def read_to_the_end(
    downloader: Downloader, provider: Provider, *, most: int = 0
) -> tuple[list[discovery.SearchPage], errors.PictrawlError | None]:
    """The pages of a search, and one of our errors where it ended with one; any other error fails the test."""
    pages: list[discovery.SearchPage] = []
    try:
        async for page in opened(downloader, provider).pages(discovery.Query("cat"), None):
            pages.append(page)
            assert len(pages) <= (most or 100 * provider.minimum_calls()), "the search does not end"
    except errors.PictrawlError as error:
        return pages, error
    return pages, None


async def test_no_request_is_refused_for_its_size(name: str, downloader: Downloader) -> None:
    """A source asks for pages of a size that the service allows to everybody."""
    assert discovery.SOURCES[name].page_size <= PROVIDERS[name].page_size


async def test_a_key_stands_in_no_error(name: str, downloader: Downloader) -> None:
    """Some keys are parameters of the URL; what is raised names the URL without them."""
    async with PROVIDERS[name](total=3) as provider:
        for fault in ("html", "truncated", "401", "404"):
            provider.heal()
            provider.fail(fault)
            _, error = await read_to_the_end(downloader, provider)
            assert KEY not in f"{error!r} {error} {getattr(error, 'evidence', None)}"


async def test_a_key_stands_in_no_log_line(name: str, downloader: Downloader) -> None:
    """Whatever the level."""
    lines: list[Any] = []
    sink = logging_setup.config.add_sink(lines.append, "DEBUG")
    async with PROVIDERS[name](total=3) as provider:
        for fault in ("broken_items", "429_wait", "404"):
            provider.heal()
            provider.fail(fault)
            await read_to_the_end(downloader, provider)
    logging_setup.config.remove_sink(sink)
    assert lines
    assert KEY not in str(lines)


@pytest.mark.parametrize("error", [errors.RateLimitError("x", retry_after_s=9), errors.NetworkError("x"), errors.AuthenticationError("x")])
async def test_errors_of_the_client_pass(name: str, error: errors.PictrawlError) -> None:
    """A source neither retries nor hides what the downloader raises."""
    client = ScriptedClient(error)
    with pytest.raises(type(error)):
        await first_of(name, client)
    assert len(client.requests) == 1


@pytest.mark.parametrize("cursor", ["", "x", "[]", "null", '{"a": 1}'])
async def test_cursor_of_another_source_is_refused(name: str, cursor: str) -> None:
    """Nothing is requested for a cursor that makes no sense."""
    client = ScriptedClient()
    with pytest.raises(errors.ValidationError):
        await first_of(name, client, cursor)
    assert client.requests == []


@pytest.mark.parametrize("reply", [None, [], "x", 1])
async def test_an_answer_of_another_shape_is_named(name: str, reply: Any) -> None:
    """Nonsense from the service is one of our errors."""
    with pytest.raises(errors.PictrawlError):
        await first_of(name, ScriptedClient(reply))


async def first_of(name: str, client: discovery.JsonClient, cursor: str | None = None) -> discovery.SearchPage:
    return await anext(discovery.open_source(name, client, options(name)).pages(discovery.Query("cat"), cursor))


async def test_what_a_source_needs_is_asked_for(name: str) -> None:
    """A source whose terms ask for a contact, or that answers nobody without a key, is not opened without it."""
    info = discovery.SOURCES[name]
    for needed, given, words in (
        (info.needs_contact, options(name, contact=""), "contact"),
        (info.needs_key, options(name, key=None), re.escape(f"sources.{name}.key")),
    ):
        if needed:
            with pytest.raises(errors.ConfigurationError, match=words):
                discovery.open_source(name, ScriptedClient(), given)
        else:
            assert discovery.open_source(name, ScriptedClient(), given).info is info
