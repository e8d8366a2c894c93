"""The contract of a host store: what holds for one process's own, for one in a Redis of this process, and for a fleet's."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable

import pytest
from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis

from downloader.limiter import GrantRequest, HostLimits, HostStateStore
from downloader.limiter.redis_store import RedisHostStateStore
from downloader.limiter.store import LocalHostStateStore
from errors import Reason

HOST = "http://h.test:80"
TWO = HostLimits(2)


@pytest.fixture(params=["local", "embedded", pytest.param("redis", marks=pytest.mark.services("redis"))])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[HostStateStore]:
    """One store of each kind."""
    if request.param == "local":
        yield LocalHostStateStore(time.time)
        return
    redis = FakeAsyncRedis() if request.param == "embedded" else Redis.from_url(request.getfixturevalue("redis_url"))
    shared = RedisHostStateStore(redis)
    yield shared
    await shared.aclose()
    await redis.aclose()


async def test_unknown_host_gets_all_its_places(store: HostStateStore) -> None:
    """Nothing is known, nothing is forbidden."""
    grant = await store.request_grant(HOST, GrantRequest(store.worker, 0, 3, 1), TWO)
    assert (grant.slots, len(grant.starts), grant.not_before, grant.breaker_open_until) == (2, 1, 0, 0)
    assert not grant.is_shared


async def test_what_is_noted_counts_for_the_next_question(store: HostStateStore) -> None:
    """In the order in which it was noted, for that host only; and it shows at once."""
    until = time.time() + 60
    store.update(HOST, lambda state, now: state.block_until(until, Reason.SERVICE_UNAVAILABLE))
    for _ in range(5):
        store.update(HOST, lambda state, now: state.breaker.on_connect_error(now))
    seen = store.peek(HOST)
    assert seen is not None
    assert seen.breaker.failures == 5
    grant = await store.request_grant(HOST, GrantRequest(store.worker, 0, 1, 1), TWO)
    assert grant.starts == ()
    assert abs(grant.not_before - until) < 0.01
    assert grant.reason is Reason.HOST_UNAVAILABLE
    other = await store.request_grant("http://other.test:80", GrantRequest(store.worker, 0, 1, 1), TWO)
    assert (other.not_before, other.breaker_open_until) == (0, 0)


async def test_many_questions_at_once_are_all_answered(store: HostStateStore) -> None:
    """Each host's own, whatever order they come in."""
    hosts = [f"http://h{number}.test:80" for number in range(500)]
    for host in hosts[::2]:
        store.update(host, lambda state, now: state.block_until(now + 60, Reason.RATE_LIMITED), urgent=True)
    grants = await asyncio.gather(*(store.request_grant(host, GrantRequest(store.worker, 0, 1, 1), TWO) for host in hosts))
    assert [bool(grant.not_before) for grant in grants] == [number % 2 == 0 for number in range(500)]


async def test_pace_is_kept_over_questions(store: HostStateStore) -> None:
    """Starts are never closer together than the rate allows, in how many questions ever."""
    limits = HostLimits(50, rate_per_s=100.0)
    grants = await asyncio.gather(*(store.request_grant(HOST, GrantRequest(store.worker, 0, 9, 3), limits) for _ in range(10)))
    starts = sorted(start for grant in grants for start in grant.starts)
    assert len(starts) == 30
    assert all(later - earlier > 0.0099 for earlier, later in itertools.pairwise(starts))


async def test_unknown_host_has_no_state(store: HostStateStore) -> None:
    """Looking makes none."""
    assert store.peek(HOST) is None


@pytest.mark.parametrize("kind", ["embedded", pytest.param("redis", marks=pytest.mark.services("redis"))])
async def test_two_workers_share_what_they_know(kind: str, request: pytest.FixtureRequest, make_redis: Callable[[str], Redis]) -> None:
    """One's refusals, closures and places are the other's; nothing noted by either is lost to the other's writing."""
    redis = make_redis(kind)
    one, two = RedisHostStateStore(redis), RedisHostStateStore(redis)
    for store in (one, two):
        await store.request_grant(HOST, GrantRequest(store.worker, 0, 1), TWO)
    for number in range(20):
        store = (one, two)[number % 2]
        store.update(HOST, lambda state, now: state.breaker.on_connect_error(now), urgent=number % 3 == 0)
        await asyncio.sleep(0)
    grants = [await store.request_grant(HOST, GrantRequest(store.worker, 0, 1), TWO) for store in (one, two, one)]
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
