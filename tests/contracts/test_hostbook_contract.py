"""The contract of a host book: what holds for one process's own, for one in a Redis of this process, and for a fleet's."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable

import pytest
from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis

from app.shared_hosts import SharedBook
from downloader import Ask, HostBook, HostLimits
from downloader.hostbook import LocalBook
from errors import Reason

HOST = "http://h.test:80"
TWO = HostLimits(2)


@pytest.fixture(params=["local", "embedded", pytest.param("redis", marks=pytest.mark.services("redis"))])
async def book(request: pytest.FixtureRequest) -> AsyncIterator[HostBook]:
    """One book of each kind."""
    if request.param == "local":
        yield LocalBook(time.time)
        return
    redis = FakeAsyncRedis() if request.param == "embedded" else Redis.from_url(request.getfixturevalue("redis_url"))
    shared = SharedBook(redis)
    yield shared
    await shared.aclose()
    await redis.aclose()


async def test_unknown_host_gets_all_its_places(book: HostBook) -> None:
    """Nothing is known, nothing is forbidden."""
    grant = await book.ask(HOST, Ask(book.worker, 0, 3, 1), TWO)
    assert (grant.places, len(grant.starts), grant.closed_until, grant.away_until) == (2, 1, 0, 0)
    assert not grant.is_shared


async def test_what_is_noted_counts_for_the_next_question(book: HostBook) -> None:
    """In the order in which it was noted, for that host only; and it shows at once."""
    until = time.time() + 60
    book.note(HOST, lambda state, now: state.close(until, Reason.SERVICE_UNAVAILABLE))
    for _ in range(5):
        book.note(HOST, lambda state, now: state.breaker.connect_failed(now))
    seen = book.peek(HOST)
    assert seen is not None
    assert seen.breaker.failures == 5
    grant = await book.ask(HOST, Ask(book.worker, 0, 1, 1), TWO)
    assert grant.starts == ()
    assert abs(grant.closed_until - until) < 0.01
    assert grant.why is Reason.HOST_UNAVAILABLE
    other = await book.ask("http://other.test:80", Ask(book.worker, 0, 1, 1), TWO)
    assert (other.closed_until, other.away_until) == (0, 0)


async def test_many_questions_at_once_are_all_answered(book: HostBook) -> None:
    """Each host's own, whatever order they come in."""
    hosts = [f"http://h{number}.test:80" for number in range(500)]
    for host in hosts[::2]:
        book.note(host, lambda state, now: state.close(now + 60, Reason.RATE_LIMITED), soon=True)
    grants = await asyncio.gather(*(book.ask(host, Ask(book.worker, 0, 1, 1), TWO) for host in hosts))
    assert [bool(grant.closed_until) for grant in grants] == [number % 2 == 0 for number in range(500)]


async def test_pace_is_kept_over_questions(book: HostBook) -> None:
    """Starts are never closer together than the rate allows, in how many questions ever."""
    limits = HostLimits(50, rate_per_s=100.0)
    grants = await asyncio.gather(*(book.ask(HOST, Ask(book.worker, 0, 9, 3), limits) for _ in range(10)))
    starts = sorted(start for grant in grants for start in grant.starts)
    assert len(starts) == 30
    assert all(later - earlier > 0.0099 for earlier, later in itertools.pairwise(starts))


async def test_unknown_host_has_no_state(book: HostBook) -> None:
    """Looking makes none."""
    assert book.peek(HOST) is None


@pytest.mark.parametrize("kind", ["embedded", pytest.param("redis", marks=pytest.mark.services("redis"))])
async def test_two_workers_share_what_they_know(kind: str, request: pytest.FixtureRequest, make_redis: Callable[[str], Redis]) -> None:
    """One's refusals, closures and places are the other's; nothing noted by either is lost to the other's writing."""
    redis = make_redis(kind)
    one, two = SharedBook(redis), SharedBook(redis)
    for book in (one, two):
        await book.ask(HOST, Ask(book.worker, 0, 1), TWO)
    for number in range(20):
        book = (one, two)[number % 2]
        book.note(HOST, lambda state, now: state.breaker.connect_failed(now), soon=number % 3 == 0)
        await asyncio.sleep(0)
    grants = [await book.ask(HOST, Ask(book.worker, 0, 1), TWO) for book in (one, two, one)]
    assert all(grant.is_shared for grant in grants)
    seen = one.peek(HOST)
    assert seen is not None
    assert seen.breaker.failures == 20
    await asyncio.gather(one.aclose(), two.aclose())


@pytest.fixture
async def make_redis(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[str], Redis]]:
    """A Redis of either kind, closed at the end."""
    made: list[Redis] = []

    def make(kind: str) -> Redis:
        made.append(FakeAsyncRedis() if kind == "embedded" else Redis.from_url(request.getfixturevalue("redis_url")))
        return made[-1]

    yield make
    for redis in made:
        await redis.aclose()
