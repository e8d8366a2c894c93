"""What every source of images keeps to, whatever it searches. A new source adds the world it is tested in."""

from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import pytest

import errors
from app import discovery
from tests.discovery.fakes import Commons, ScriptedClient

WORLDS: dict[str, Callable[[int], discovery.JsonClient]] = {"wikimedia": lambda total: Commons(total, batch=10, parts=2)}
"""For each source a service with so many images."""


@pytest.fixture(params=sorted(discovery.SOURCES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def search(name: str, client: discovery.JsonClient, cursor: str | None = None) -> list[discovery.SearchPage]:
    return [page async for page in discovery.open_source(name, client, options(name)).pages(discovery.Query("cat"), cursor)]


def options(name: str, contact: str = "me@example.org") -> discovery.SourceOptions:
    return discovery.SourceOptions(discovery.SOURCES[name].base_url, key="k", contact=contact, side_px=640)


def test_every_source_has_a_world() -> None:
    """No source goes untested."""
    assert set(WORLDS) == set(discovery.SOURCES)


async def test_pages_end_with_no_cursor(name: str) -> None:
    """Only the last page has no cursor, and every image comes once, in order."""
    pages = await search(name, WORLDS[name](25))
    found = [candidate for page in pages for candidate in page.candidates]
    assert [page.cursor is None for page in pages] == [*[False] * (len(pages) - 1), True]
    assert [candidate.rank for candidate in found] == list(range(25))
    assert len({candidate.url for candidate in found}) == 25
    assert {candidate.source for candidate in found} == {name}


async def test_pages_go_on_from_any_cursor(name: str) -> None:
    """A new process with a cursor sees exactly the pages that were still to come."""
    pages = await search(name, WORLDS[name](25))
    for number, page in enumerate(pages[:-1], 1):
        assert await search(name, WORLDS[name](25), page.cursor) == pages[number:]


async def test_pages_when_nothing_is_found(name: str) -> None:
    """Nothing found is one empty page."""
    (page,) = await search(name, WORLDS[name](0))
    assert (page.candidates, page.cursor, page.problems) == ((), None, ())


async def test_candidates_are_plain(name: str) -> None:
    """Licensed, attributed, requestable, and no text that a database or a terminal would choke on."""
    for page in await search(name, WORLDS[name](25)):
        for candidate in page.candidates:
            assert candidate.url.startswith("https://")
            assert candidate.license
            assert candidate.attribution
            assert candidate.page_url
            assert all(value.isprintable() and len(value) <= 8192 for value in astuple(candidate) if isinstance(value, str))


@pytest.mark.parametrize("error", [errors.RateLimitError("x", retry_after_s=9), errors.NetworkError("x"), errors.AuthenticationError("x")])
async def test_errors_of_the_client_pass(name: str, error: errors.PictrawlError) -> None:
    """A source neither retries nor hides what the downloader raises."""
    client = ScriptedClient(error)
    with pytest.raises(type(error)):
        await search(name, client)
    assert len(client.requests) == 1


@pytest.mark.parametrize("cursor", ["", "x", "[]", "null", '{"a": 1}'])
async def test_cursor_of_another_source_is_refused(name: str, cursor: str) -> None:
    """Nothing is requested for a cursor that makes no sense."""
    client = ScriptedClient()
    with pytest.raises(errors.ValidationError):
        await search(name, client, cursor)
    assert client.requests == []


@pytest.mark.parametrize("reply", [None, [], "x", 1])
async def test_an_answer_of_another_shape_is_named(name: str, reply: Any) -> None:
    """Nonsense from the service is one of our errors."""
    with pytest.raises(errors.PictrawlError):
        await search(name, ScriptedClient(reply))


async def test_contact_is_asked_for_where_needed(name: str) -> None:
    """A source whose terms ask for a contact is not opened without one."""
    if discovery.SOURCES[name].needs_contact:
        with pytest.raises(errors.ConfigurationError, match="contact"):
            discovery.open_source(name, ScriptedClient(), options(name, contact=""))
    else:
        assert discovery.open_source(name, ScriptedClient(), options(name, contact="")).info.name == name
