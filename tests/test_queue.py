"""Tests of app.queue: one contract, kept by the Redis in this process and by a real one."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from arq.constants import job_key_prefix
from arq.jobs import deserialize_job_raw
from fakeredis import FakeServer
from redis.exceptions import AuthenticationError, BusyLoadingError

import errors
from app.job_states import UnitKind
from app.queue import (
    ANSWER_S,
    EXPIRES_MS,
    FAILURES_TTL_S,
    JOB_NAMES,
    QUEUES,
    RANK_MS,
    RANKS,
    ArqQueue,
    Envelope,
    embedded_queue,
    from_json,
    redis_queue,
    to_json,
    translate_redis_errors,
)
from tests.services import RedisServer, free_port

MESSAGE = Envelope("unit_1:0", UnitKind.FETCH, (("job_id", "job_1"), ("unit_id", "unit_1"), ("chunk_id", "chunk_1")))
CHECK = Envelope("unit_2:3", UnitKind.VALIDATE, (("job_id", "job_1"), ("unit_id", "unit_2")))


@pytest.fixture(params=["embedded", pytest.param("redis", marks=pytest.mark.services("redis"))])
async def queue(request: pytest.FixtureRequest) -> AsyncIterator[ArqQueue]:
    """An empty queue of each kind in turn."""
    made = embedded_queue() if request.param == "embedded" else await redis_queue(request.getfixturevalue("redis_url"), retries=0)
    yield made
    await made.close()


async def test_a_message_is_a_job_as_arq_reads_it(queue: ArqQueue) -> None:
    """Function, ids and moment in JSON under arq's key, and the token in the queue of its kind."""
    await queue.send([MESSAGE, CHECK])
    body = await queue.pool.get(job_key_prefix + MESSAGE.token)
    assert body is not None
    assert from_json(body)["f"] == "process_chunk"
    function, args, ids, job_try, enqueued_ms = deserialize_job_raw(body, deserializer=from_json)
    assert (function, list(args), ids, job_try) == ("process_chunk", [], dict(MESSAGE.ids), None)
    for name, message in ((QUEUES["builder"], MESSAGE), (QUEUES["validator"], CHECK)):
        assert await queue.pool.zrange(name, 0, -1, withscores=True) == [(message.token.encode(), float(enqueued_ms - RANKS * RANK_MS))]
    assert EXPIRES_MS - 60_000 < await queue.pool.pttl(job_key_prefix + MESSAGE.token) <= EXPIRES_MS
    assert await queue.depths() == {"builder": 1, "validator": 1}


async def test_a_lower_rank_overtakes_for_as_many_seconds(queue: ArqQueue) -> None:
    """The score says whose turn it is: the newcomer's first unit goes before what another sent earlier, and every score is due."""
    await queue.send([Envelope("sixth:0", UnitKind.FETCH, (), rank=5), Envelope("far:0", UnitKind.FETCH, (), rank=10**9)])
    await queue.send([Envelope("first:0", UnitKind.FETCH, ())])
    found = await queue.pool.zrange(QUEUES["builder"], 0, -1, withscores=True)
    assert [token for token, _ in found] == [b"first:0", b"sixth:0", b"far:0"]
    assert max(score for _, score in found) <= time.time() * 1000


async def test_a_message_that_is_sent_again_is_the_same_message(queue: ArqQueue) -> None:
    """The token makes it one; another epoch of the unit is another message."""
    for _ in range(3):
        await queue.send([MESSAGE, MESSAGE])
    assert await queue.depths() == {"builder": 1, "validator": 0}
    await queue.send([Envelope("unit_1:1", UnitKind.FETCH, MESSAGE.ids)])
    assert await queue.depths() == {"builder": 2, "validator": 0}


async def test_any_number_of_messages_is_one_round_trip(queue: ArqQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand messages go out in one pipeline, and none in no pipeline at all."""
    sent = 0
    connection = queue.pool.connection_pool.connection_class
    original = connection.send_packed_command

    async def counted(self: Any, *args: Any, **options: Any) -> Any:
        nonlocal sent
        sent += 1
        return await original(self, *args, **options)

    await queue.ping()
    monkeypatch.setattr(connection, "send_packed_command", counted)
    await queue.send([])
    assert sent == 0
    await queue.send([Envelope(f"unit_{number}:0", UnitKind.FETCH, (("unit_id", f"unit_{number}"),)) for number in range(1000)])
    assert sent == 1
    monkeypatch.undo()
    assert (await queue.depths())["builder"] == 1000


async def test_who_listens_to_a_queue_hears_what_this_process_puts_there(queue: ArqQueue) -> None:
    """Once for any number of messages, nothing of the other queue, and nothing after the body."""
    heard: list[str] = []
    builder, validator = (queue.subscribe(name, partial(heard.append, kind)) for kind, name in QUEUES.items())
    with builder, validator:
        await queue.send([MESSAGE, replace(MESSAGE, token="unit_9:0")])
        assert heard == ["builder"]
        await queue.send([CHECK])
        await queue.send([])
    await queue.send([MESSAGE])
    assert heard == ["builder", "validator"]


async def test_what_the_queue_does_not_hold_is_missing(queue: ArqQueue) -> None:
    """In the order that was asked; nothing is missing of nothing."""
    await queue.send([MESSAGE])
    assert await queue.missing(["unit_9:0", MESSAGE.token, "unit_1:1"]) == ["unit_9:0", "unit_1:1"]
    assert await queue.missing([]) == []
    await queue.pool.flushall()
    assert await queue.missing([MESSAGE.token]) == [MESSAGE.token]


async def test_failures_are_counted_by_unit_within_the_hour(queue: ArqQueue) -> None:
    """Each failure prolongs the memory; a success ends it."""
    assert [await queue.count_failure("unit_1") for _ in range(3)] == [1, 2, 3]
    assert await queue.count_failure("unit_2") == 1
    key = "pictrawl:failures:unit_1"
    assert FAILURES_TTL_S - 60 < await queue.pool.ttl(key) <= FAILURES_TTL_S
    await queue.pool.expire(key, 10)
    assert await queue.count_failure("unit_1") == 4
    assert await queue.pool.ttl(key) > 10
    await queue.clear_failures("unit_1")
    await queue.clear_failures("unit_unknown")
    assert await queue.count_failure("unit_1") == 1
    await queue.pool.pexpire(key, 1)
    async with asyncio.timeout(5):
        while await queue.pool.exists(key):
            await asyncio.sleep(0)
    assert await queue.count_failure("unit_1") == 1


async def test_an_empty_queue_answers(queue: ArqQueue) -> None:
    """Ping and depths, before anything was sent."""
    await queue.ping()
    assert await queue.depths() == {"builder": 0, "validator": 0}


def test_every_kind_of_unit_has_its_job() -> None:
    """As many functions as kinds, and a queue for each whose name carries a version."""
    assert set(JOB_NAMES) == set(UnitKind)
    assert len(set(JOB_NAMES.values())) == len(UnitKind)
    assert {kind.queue for kind in UnitKind} == set(QUEUES)
    assert all(name.endswith(":v1") for name in QUEUES.values())


def test_messages_are_json() -> None:
    """What JSON does not know becomes text, never a pickle; what is no JSON is refused."""
    assert from_json(to_json({"f": "x", "k": {"id": "é"}, "r": ValueError("no")})) == {"f": "x", "k": {"id": "é"}, "r": "ValueError('no')"}
    with pytest.raises(ValueError, match="not valid UTF-8"):
        from_json(b"\x80\x04N.")


async def test_embedded_queues_share_a_server_where_they_are_told_to() -> None:
    """Else each is alone."""
    server = FakeServer()
    one, other, alone = embedded_queue(server), embedded_queue(server), embedded_queue()
    try:
        await one.send([MESSAGE])
        assert [(await queue.depths())["builder"] for queue in (one, other, alone)] == [1, 1, 0]
    finally:
        for queue in (one, other, alone):
            await queue.close()


# when Redis is away


def every_call(queue: ArqQueue) -> list[Any]:
    return [
        lambda: queue.send([MESSAGE]),
        lambda: queue.missing(["unit_1:0"]),
        lambda: queue.count_failure("unit_1"),
        lambda: queue.clear_failures("unit_1"),
        queue.depths,
        queue.ping,
    ]


async def test_an_embedded_redis_that_is_away_is_an_unavailable_queue() -> None:
    """Every method says so, by one name; and works again once it is back."""
    server = FakeServer()
    queue = embedded_queue(server)
    server.connected = False
    for call in every_call(queue):
        with pytest.raises(errors.QueueUnavailableError, match="Redis cannot be used: ConnectionError"):
            await call()
    server.connected = True
    await queue.send([MESSAGE])
    assert await queue.missing([MESSAGE.token]) == []
    await queue.close()


async def test_every_connection_has_a_time_limit(redis_url: str) -> None:
    """The first one too, over which the queue was opened: a worker that polls over it would wait for a silent Redis for ever."""
    queue = await redis_queue(redis_url)
    pool = queue.pool.connection_pool
    connections = [await pool.get_connection() for _ in range(3)]
    assert [connection.socket_timeout for connection in connections] == [ANSWER_S] * 3
    for connection in connections:
        await pool.release(connection)
    await queue.close()


@pytest.mark.services("redis")
async def test_a_redis_that_dies_and_comes_back() -> None:
    """Killed under a connected queue, and started again empty: unavailable, then as good as new."""
    with RedisServer() as server:
        queue = ArqQueue((await redis_queue(server.url, retries=0)).pool, answer_s=0.5)
        try:
            await queue.send([MESSAGE])
            server.kill()
            for call in every_call(queue):
                async with asyncio.timeout(2):  # the client alone would try for up to 20 s
                    with pytest.raises(errors.QueueUnavailableError):
                        await call()
            server.start()
            assert await queue.missing([MESSAGE.token]) == [MESSAGE.token]
            await queue.send([MESSAGE])
            assert await queue.depths() == {"builder": 1, "validator": 0}
        finally:
            await queue.close()


async def test_a_redis_that_is_not_there_is_an_unavailable_queue() -> None:
    """Nobody listens: said after the tries that were asked for."""
    with pytest.raises(errors.QueueUnavailableError, match="Redis cannot be used"):
        await redis_queue(f"redis://127.0.0.1:{free_port()}/0", retries=0)


@pytest.mark.parametrize("url", ["", "nonsense", "http://host/0", "redis://host:port/0"])
async def test_a_url_that_is_none_is_a_configuration_error(url: str) -> None:
    """Without the URL in the message, which may hold a password."""
    with pytest.raises(errors.ConfigurationError, match=r"queue\.url is not a Redis URL; use redis://host:6379/0"):
        await redis_queue(url)


async def raise_behind_the_border(error: Exception) -> None:
    async with translate_redis_errors():
        raise error


@pytest.mark.parametrize("kind", [AuthenticationError, BusyLoadingError, ConnectionResetError, TimeoutError])
async def test_whatever_redis_raises_has_one_name(kind: type[Exception]) -> None:
    """Errors of the client and of the network are the queue's; the first one stays as the cause."""
    error = kind("words")
    with pytest.raises(errors.QueueUnavailableError, match=f"{kind.__name__}: words") as caught:
        await raise_behind_the_border(error)
    assert caught.value.__cause__ is error


async def test_what_is_not_redis_passes_through() -> None:
    """A bug stays a bug."""
    with pytest.raises(KeyError, match="a bug"):
        await raise_behind_the_border(KeyError("a bug"))
