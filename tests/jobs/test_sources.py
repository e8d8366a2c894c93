"""What sources are shown with, and one small request to each of them."""

from collections.abc import AsyncIterator

import pytest

import errors
from app.db import Database
from app.discovery import SOURCES
from app.discovery.sources.rate_limits import RateLimit
from app.jobs.sources import left_in_words, limits_in_words, ready_names, status_of, statuses, try_source
from app.settings import Settings, load_settings
from downloader import FetchLimits, RetryRules
from downloader.client import Downloader
from tests.clocks import FakeTime
from tests.providers import PROVIDERS
from tests.providers.server import KEY, Provider

CONTACT = "me@example.org"


@pytest.fixture
async def downloader() -> AsyncIterator[Downloader]:
    time = FakeTime()
    limits = FetchLimits(allow_networks=("127.0.0.0/8",), ports=(), contact=CONTACT)
    async with Downloader(limits, RetryRules(attempts=1), sleep=time.sleep, clock=time.clock) as made:
        yield made


def settings_for(provider: Provider, **values: object) -> Settings:
    """Settings that ask a provider, with a key where it takes one."""
    of_source = {"base_url": provider.base_url, **values}
    if SOURCES[provider.name].key != "none":
        of_source.setdefault("key", KEY)
    named = {f"sources.{provider.name}.{name}": value for name, value in of_source.items()}
    return load_settings({"fetch.contact": CONTACT, **named})


def test_what_a_source_needs_is_named() -> None:
    """In short for a table, and with the way out."""
    found = {status.info.name: status for status in statuses(load_settings())}
    assert list(found) == list(SOURCES)
    assert (found["wikimedia"].needs, found["flickr"].needs, found["openverse"].needs) == ("--contact", "a key", "")
    assert "sources.flickr.key" in (found["flickr"].missing or "")
    ready = load_settings({"fetch.contact": CONTACT, "sources.flickr.key": "k"})
    assert {"wikimedia", "flickr"} <= set(ready_names(ready))
    assert status_of(ready, "flickr").missing is None


def test_an_unknown_source_is_answered_with_the_nearest() -> None:
    """As everywhere."""
    with pytest.raises(errors.ValidationError, match="did you mean openverse"):
        status_of(load_settings(), "openvers")


def test_limits_in_words() -> None:
    """As they are declared, and what is left of them."""
    limits = (RateLimit(20, 60), RateLimit(200, 86_400))
    assert (limits_in_words(limits), limits_in_words(())) == ("20/min, 200/day", "none declared")
    assert left_in_words(dict(zip(limits, (19, 0), strict=True))) == "19 of 20/min, 0 of 200/day"
    assert left_in_words({}) == "no limit is declared"


@pytest.mark.parametrize("name", sorted(SOURCES))
async def test_every_source_answers_a_small_question(name: str, downloader: Downloader, database: Database) -> None:
    """Few requests: the number of results, and the first of them where that is no request of its own."""
    async with PROVIDERS[name](total=40) as provider:
        found = await try_source(settings_for(provider, limits=["50/day"]), database, downloader, name, "cat")
        assert (found.problem, found.total) in ((None, 40), (None, None))
        if not SOURCES[name].calls_per_result:
            assert found.first is not None
            assert found.first.url.startswith(provider.base_url)
        assert len(provider.requests) <= 2
        assert found.left == {RateLimit(50, 86_400): 50 - len(provider.requests)}


async def test_what_is_wrong_is_said(downloader: Downloader, database: Database) -> None:
    """A refused key, a page for people, nothing that can be read, a used-up limit."""
    problems = {}
    for name, fault in (("flickr", ""), ("openverse", "html"), ("openverse", "no_items"), ("openverse", "broken_items")):
        async with PROVIDERS[name](total=1) as provider:
            if fault:
                provider.fail(fault)
            provider.keys = {"another"}
            found = await try_source(settings_for(provider), database, downloader, name, "cat")
            problems[f"{name} {fault}"] = found.problem or ""
    assert "key" in problems["flickr "]
    assert KEY not in str(problems)
    assert "answered with HTML, no JSON" in problems["openverse html"] or "key" in problems["openverse html"]
    assert problems["openverse no_items"]
    assert problems["openverse broken_items"]


async def test_a_used_up_limit_is_said_and_nothing_is_asked(downloader: Downloader, database: Database) -> None:
    """With the time of the next request."""
    async with PROVIDERS["wikimedia"](total=3) as provider:
        for _ in range(2):
            found = await try_source(settings_for(provider, limits=["2/day"]), database, downloader, "wikimedia", "cat")
        assert (found.problem or "").startswith("2 requests a day are used up; the next request may be sent in 2")
        assert len(provider.requests) == 2


async def test_a_source_that_is_not_ready_is_not_asked(downloader: Downloader, database: Database) -> None:
    """The error names what is missing."""
    with pytest.raises(errors.ConfigurationError, match=r"sources\.flickr\.key"):
        await try_source(load_settings(), database, downloader, "flickr", "cat")
