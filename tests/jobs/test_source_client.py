"""The client of a source: limits before each request, what replies tell of them, and throttling that does not look like it."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

import errors
from app.db import Database, source_limits
from app.discovery import SOURCES
from app.discovery.sources.rate_limits import RateLimit, Told
from app.jobs.source_client import THROTTLED_S, SourceClient, limits_of, make_source_client
from app.settings import Settings, load_settings
from downloader import FetchLimits, RetryRules
from downloader.client import Downloader
from tests.clocks import FakeTime
from tests.origin import Origin, redirect, reply


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with Origin() as running:
        yield running


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
async def downloader(time: FakeTime) -> AsyncIterator[Downloader]:
    limits = FetchLimits(allow_networks=("127.0.0.0/8",), ports=())
    async with Downloader(limits, RetryRules(jitter=0), sleep=time.sleep, clock=time.clock) as made:
        yield made


def client(downloader: Downloader, db: Database, limits: Sequence[RateLimit] = (), **options: Any) -> SourceClient:
    return SourceClient(downloader, db, "met", limits=limits, **{"max_wait_s": 10.0, **options})


async def test_short_waits_are_slept(downloader: Downloader, database: Database, origin: Origin, time: FakeTime) -> None:
    """Before each request, retries included: the limit of an API counts what arrives there."""
    slept = FakeTime()
    asking = client(downloader, database, [RateLimit(1, 5)], sleep=slept.sleep)
    origin.script("/api", reply(503), reply(200, b"{}"))
    await asking.fetch_json(origin.url("/api"))
    await asking.fetch_json(origin.url("/api"))
    assert (asking.requests, asking.retries, len(origin.hits("/api"))) == (3, 1, 3)
    assert len(slept.waits) == 2
    assert [4 < wait <= limit for wait, limit in zip(slept.waits, (5, 10), strict=True)] == [True, True]


async def test_a_long_wait_is_an_error_that_says_so(downloader: Downloader, database: Database, origin: Origin) -> None:
    """Nothing is sent, and nothing is counted."""
    asking = client(downloader, database, [RateLimit(2, 86_400)])
    origin.script("/api", reply(200, b"{}"))
    for _ in range(2):
        await asking.fetch_json(origin.url("/api"))
    with pytest.raises(errors.RateLimitError, match=r"^2 requests a day are used up$") as caught:
        await asking.fetch_json(origin.url("/api"))
    assert caught.value.retry_after_s == pytest.approx(86_400, abs=60)
    assert (asking.waits_for_limit, asking.requests, len(origin.hits("/api"))) == (True, 2, 2)


async def test_a_page_of_several_requests_is_not_broken_off(downloader: Downloader, database: Database, origin: Origin) -> None:
    """What was read of it would be lost: only its first request is refused for a wait of half a minute."""
    slept = FakeTime()
    asking = client(downloader, database, [RateLimit(1, 30)], sleep=slept.sleep)
    origin.script("/api", reply(200, b"{}"))
    for _ in range(2):
        await asking.fetch_json(origin.url("/api"))
    assert [round(wait) for wait in slept.waits] == [30]
    asking.requests = 0
    with pytest.raises(errors.RateLimitError, match=r"^1 request in 30 s is used up$"):
        await asking.fetch_json(origin.url("/api"))


async def test_limits_hold_for_each_host(downloader: Downloader, database: Database, origin: Origin) -> None:
    """A mirror has limits of its own."""
    async with Origin() as mirror:
        asking = client(downloader, database, [RateLimit(1, 86_400)])
        for one in (origin, mirror):
            await asking.fetch_json(one.script("/api", reply(200, b"{}")))
        with pytest.raises(errors.RateLimitError, match=r"^1 request a day is used up$"):
            await asking.fetch_json(mirror.url("/api"))


async def test_what_headers_tell_is_kept(downloader: Downloader, database: Database, origin: Origin) -> None:
    """Also that of a refusal; another client at the same database waits as well."""
    asking = client(downloader, database)
    origin.script("/api", reply(404, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "900"}))
    with pytest.raises(errors.NotFoundError):
        await asking.fetch_json(origin.url("/api"))
    assert asking.told == (Told(0, None, 900.0),)
    other = client(downloader, database)
    with pytest.raises(errors.RateLimitError, match="no more answers for now") as caught:
        await other.fetch_json(origin.url("/api"))
    assert caught.value.retry_after_s == pytest.approx(900, abs=30)


@pytest.mark.parametrize(
    ("answer", "status", "wait_s"),
    [
        (reply(429, headers={"Retry-After": "7200"}), 429, 7200.0),
        (reply(429), 429, THROTTLED_S),
    ],
)
async def test_throttling_closes_the_api_for_all(
    downloader: Downloader, database: Database, origin: Origin, answer: Any, status: int, wait_s: float
) -> None:
    """For as long as it asks, or a minute."""
    asking = client(downloader, database)
    with pytest.raises(errors.RateLimitError) as caught:
        await asking.fetch_json(origin.script("/api", answer))
    assert (caught.value.status, asking.waits_for_limit) == (status, False)
    taken = await source_limits.take(database, asking.api, [], max_wait_s=0)
    assert taken.wait_s == pytest.approx(wait_s, abs=10)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!doctype html><title>Sign in</title>", "answered with HTML, no JSON, after a redirect to http://127.0.0.1:"),
        (b'{"items": [', "answered with JSON that is cut off or broken"),
        (b"hello", "answered with 5 bytes, no JSON"),
    ],
)
async def test_another_body_is_named_without_the_key(
    downloader: Downloader, database: Database, origin: Origin, body: bytes, words: str
) -> None:
    """The error says what came and from where; keys that are parameters are not in it."""
    origin.script("/login", reply(200, body))
    url = origin.script("/api", redirect("/login?key=secret"))
    with pytest.raises(errors.ProtocolError, match=words) as caught:
        await client(downloader, database).fetch_json(url, params={"api_key": "secret"})
    assert "secret" not in repr(caught.value)


async def test_a_key_that_an_answer_repeats_is_taken_out(downloader: Downloader, database: Database, origin: Origin) -> None:
    """What a source says would bring it into rows, events and messages. A word too short to be a key may be any word of an answer."""
    origin.script("/api", reply(200, b'{"message": "no key my-secret-key in ?api_key=my-secret-key", "cat": 1}'))
    settings = load_settings({"sources.flickr.key": "my-secret-key"})
    found = await make_source_client(settings, "flickr", downloader, database).fetch_json(origin.url("/api"))
    assert found == {"message": "no key [secret] in ?api_key=[secret]", "cat": 1}
    found = await client(downloader, database, key="cat").fetch_json(origin.url("/api"))
    assert found["cat"] == 1


def test_limits_come_from_the_settings(settings: Settings) -> None:
    """What a source declares, unless the settings say otherwise; nothing for a mirror of one's own."""
    assert limits_of(settings, "wikimedia") == SOURCES["wikimedia"].limits
    own = load_settings({"sources.wikimedia.limits": ["20/min", "200/day"]})
    assert limits_of(own, "wikimedia") == (RateLimit(20, 60), RateLimit(200, 86_400))
    assert limits_of(load_settings({"sources.wikimedia.limits": []}), "wikimedia") == ()
    assert limits_of(load_settings({"sources.openverse.key": "k"}), "openverse") == SOURCES["openverse"].limits_with_key
    assert limits_of(settings, "openverse") == SOURCES["openverse"].limits
    assert limits_of(settings, "gone") == ()
    with pytest.raises(errors.ConfigurationError, match="20/week"):
        load_settings({"sources.wikimedia.limits": ["20/week"]})


async def test_a_client_is_made_from_the_settings(downloader: Downloader, database: Database, origin: Origin) -> None:
    """With the waits that every request may have."""
    settings = load_settings({"sources.wikimedia.limits": ["1/day"]})
    asking = make_source_client(settings, "wikimedia", downloader, database)
    await asking.fetch_json(origin.script("/api", reply(200, b"{}")))
    with pytest.raises(errors.RateLimitError):
        await asking.fetch_json(origin.url("/api"))
