"""The fleet's host store: collisions, clocks that differ, and a Redis that goes, forgets or refuses."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis

import logging_setup.config
from downloader import Fetched, FetchLimits, FetchRequest, RetryRules
from downloader.client import Downloader
from downloader.limiter import GrantRequest, HostLimits, HostState
from downloader.limiter.redis_store import COMPARE_AND_SWAP_SHA, KEY_PREFIX, RedisHostStateStore
from errors import Reason
from tests.origin import JPEG, Exchange, Origin, reply
from tests.services import RedisServer

HOST = "http://h.test:80"
TWO = HostLimits(2)


@pytest.fixture
def server() -> FakeServer:
    """A Redis inside this process; several clients may share it."""
    return FakeServer()


@pytest.fixture
async def redis(server: FakeServer) -> AsyncIterator[Redis]:
    """A client of it."""
    client = FakeAsyncRedis(server=server)
    yield client
    await client.aclose()


def close(store: RedisHostStateStore, seconds: float, why: Reason = Reason.RATE_LIMITED) -> None:
    store.update(HOST, lambda state, now: state.block_until(now + seconds, why), urgent=True)


async def asked(store: RedisHostStateStore, waiting: int = 1) -> float:
    """For how many more seconds the host is closed."""
    grant = await store.request_grant(HOST, GrantRequest(store.worker, 0, waiting), TWO)
    return grant.not_before - time.time()


async def test_a_note_that_is_urgent_is_written_without_a_question(redis: Redis) -> None:
    """Another worker sees it."""
    one, two = RedisHostStateStore(redis), RedisHostStateStore(redis)
    close(one, 60)
    await one.aclose()
    assert 59 < await asked(two) <= 60


async def test_writers_that_collide_lose_nothing(redis: Redis) -> None:
    """Eight workers note the same host at the same time: every note counts once."""
    stores = [RedisHostStateStore(redis) for _ in range(8)]

    async def note(store: RedisHostStateStore) -> None:
        for _ in range(25):
            store.update(HOST, lambda state, now: state.breaker.on_connect_error(now))
            await store.request_grant(HOST, GrantRequest(store.worker, 0, 1), TWO)

    await asyncio.gather(*(note(store) for store in stores))
    value = await redis.get(KEY_PREFIX + HOST)
    assert HostState.load(value).breaker.failures == 200


async def test_clocks_of_workers_may_differ(redis: Redis) -> None:
    """One is an hour ahead: sixty seconds are sixty seconds for both, by Redis's clock."""
    here, ahead = RedisHostStateStore(redis), RedisHostStateStore(redis, clock=lambda: time.time() + 3600)
    close(ahead, 60)
    await ahead.aclose()
    assert 59 < await asked(here) <= 60.01
    grant = await ahead.request_grant(HOST, GrantRequest(ahead.worker, 0, 1), TWO)
    assert 59 < grant.not_before - time.time() - 3600 <= 60.01


async def test_value_outlives_its_closure_by_an_hour(redis: Redis) -> None:
    """Then it goes by itself."""
    store = RedisHostStateStore(redis)
    close(store, 600)
    await store.aclose()
    assert 4190 < await redis.ttl(KEY_PREFIX + HOST) <= 4200


async def test_host_that_taught_nothing_is_kept_for_a_minute(redis: Redis) -> None:
    """A list may name a million hosts, each once."""
    store = RedisHostStateStore(redis)
    await asked(store)
    assert 50 < await redis.ttl(KEY_PREFIX + HOST) <= 60
    store.update(HOST, lambda state, now: state.on_refusal(Reason.RATE_LIMITED, TWO, now, started_at=now, retry_after_s=None), urgent=True)
    await store.aclose()
    assert await redis.ttl(KEY_PREFIX + HOST) > 3500


async def test_what_redis_forgot_is_put_back(redis: Redis) -> None:
    """FLUSHALL: the closure still holds here, and for a newcomer as soon as one who knows has written."""
    one, two = RedisHostStateStore(redis), RedisHostStateStore(redis)
    close(one, 60)
    assert await asked(one) > 59
    await redis.flushall()
    assert await asked(one) > 59
    assert await asked(two) > 59


async def test_scripts_may_be_flushed(redis: Redis) -> None:
    """A restarted Redis knows no script: it is loaded again."""
    store = RedisHostStateStore(redis)
    await asked(store)
    await redis.script_flush()
    close(store, 60)
    assert await asked(store) > 59
    assert await redis.script_exists(COMPARE_AND_SWAP_SHA) == [True]


async def test_value_of_another_version_is_no_obstacle(redis: Redis) -> None:
    """It is replaced."""
    await redis.set(KEY_PREFIX + HOST, b"\x80 something else")
    store = RedisHostStateStore(redis)
    close(store, 60)
    assert await asked(store) > 59
    assert HostState.load(await redis.get(KEY_PREFIX + HOST)).not_before > 0


async def test_without_redis_a_process_goes_by_itself(server: FakeServer, redis: Redis) -> None:
    """Questions are answered from memory at once, notes are kept, and written when Redis is back; one line for each change."""
    lines: list[dict[str, Any]] = []
    sink = logging_setup.config.add_sink(lines.append, "INFO")
    now = [time.time()]
    store = RedisHostStateStore(redis, clock=lambda: now[0])
    other = RedisHostStateStore(FakeAsyncRedis(server=server), clock=lambda: now[0])
    assert await asked(store) < 0
    server.connected = False
    close(store, 60)
    assert (await store.request_grant(HOST, GrantRequest(store.worker, 0, 1), TWO)).not_before > now[0] + 59
    assert store.is_away
    await asyncio.gather(*(store.request_grant(f"http://h{number}.test", GrantRequest(store.worker, 0, 1), TWO) for number in range(50)))
    server.connected = True
    assert (await store.request_grant(HOST, GrantRequest(store.worker, 0, 1), TWO)).not_before > now[0] + 59
    assert store.is_away, "Redis is not asked again at once"
    now[0] += 5
    assert (await store.request_grant(HOST, GrantRequest(store.worker, 0, 1), TWO)).not_before > now[0] + 54
    assert not store.is_away
    assert (await other.request_grant(HOST, GrantRequest(other.worker, 0, 1), TWO)).not_before > now[0] + 54
    logging_setup.config.remove_sink(sink)
    assert [line["event"] for line in lines] == ["hosts.unshared", "hosts.shared"]


async def test_notes_for_a_redis_that_stays_away_are_bounded(server: FakeServer, redis: Redis) -> None:
    """The newest are kept."""
    server.connected = False
    store = RedisHostStateStore(redis)
    for _ in range(5_000):
        store.update(HOST, lambda state, now: None)
    assert len(store._entries.peek(HOST).changes) == 1_000


async def test_a_bug_here_ends_the_question_too(redis: Redis) -> None:
    """Nobody waits for ever for an answer that will not come."""
    store = RedisHostStateStore(redis)

    def broken(state: HostState, now: float) -> None:
        if state is not store.peek(HOST):
            raise ZeroDivisionError

    await asked(store)
    store.update(HOST, broken)
    with pytest.raises(ZeroDivisionError):
        await asked(store)


async def test_memory_of_hosts_is_bounded(redis: Redis) -> None:
    """Ten thousand pages."""
    store = RedisHostStateStore(redis)
    for number in range(10_050):
        store._entry(f"http://h{number}.test")
    assert len(store._entries) == 10_000


async def hold(exchange: Exchange) -> None:
    await exchange.rest(0.03)
    await reply(200, JPEG)(exchange)


@pytest.mark.services("redis")
async def test_a_fleet_keeps_to_one_hosts_places(redis_url: str) -> None:
    """Three downloaders with a Redis in common and a host that takes two at once: never three, and all URLs come."""
    limits = FetchLimits(robots=False, allow_networks=("127.0.0.0/8",), ports=(), per_host=2)

    async def work(origin: Origin, name: str) -> list[bool]:
        async with Redis.from_url(redis_url) as redis:
            store = RedisHostStateStore(redis)
            async with Downloader(limits, RetryRules(), store=store) as downloader:
                urls = [FetchRequest(origin.url(f"/{name}/{number}")) for number in range(12)]
                outcomes = [isinstance(outcome, Fetched) async for outcome in downloader.fetch_many(urls)]
            await store.aclose()
            return outcomes

    async with Origin() as origin:
        for name in "abc":
            for number in range(12):
                origin.script(f"/{name}/{number}", hold)
        outcomes = await asyncio.gather(*(work(origin, name) for name in "abc"))
        assert origin.most_in_flight == 2
    assert all(all(worker) for worker in outcomes)
    async with Redis.from_url(redis_url) as redis:
        (key,) = await redis.keys(KEY_PREFIX + "*")
        assert HostState.load(await redis.get(key)).shares == {}, "places are given back at the end"


@pytest.mark.services("redis")
async def test_fetching_outlives_redis() -> None:
    """Killed in the middle: the downloader goes on by itself, loses nothing, and shares again once Redis is back."""
    limits = FetchLimits(robots=False, allow_networks=("127.0.0.0/8",), ports=())
    with RedisServer() as server:
        async with Origin() as origin, Redis.from_url(server.url) as redis:
            for number in range(40):
                origin.script(f"/{number}", hold)
            store = RedisHostStateStore(redis, reply_timeout_s=0.2)
            async with Downloader(limits, store=store) as downloader:
                came = 0
                async for outcome in downloader.fetch_many([FetchRequest(origin.url(f"/{number}")) for number in range(40)]):
                    came += isinstance(outcome, Fetched)
                    if came == 5:
                        server.kill()
                assert came == 40
                assert store.is_away
                server.start()
                for _ in range(2):  # the first may meet a connection of the old server
                    store._away_until = min(store._away_until, 0.001)
                    assert isinstance(await downloader.fetch(origin.url("/0")), Fetched)
                    downloader._gate._queues.clear()
                assert not store.is_away
            await store.aclose()
