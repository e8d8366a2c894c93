"""The queue: arq on Redis, or on an in-process Redis. Messages carry ids; the database holds the units.

If messages are lost, the next sweep sends them again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.constants import job_key_prefix
from arq.jobs import serialize_job
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

import errors
from app.job_states import UnitKind

if TYPE_CHECKING:
    from fakeredis import FakeServer

__all__ = [
    *("JOB_NAMES", "QUEUES", "SERVICE_RETRIES", "ArqQueue", "Envelope", "Queue"),
    *("embedded_queue", "from_json", "redis_queue", "to_json"),
]

QUEUES = {"builder": "pictrawl:builder:v1", "validator": "pictrawl:validator:v1"}
"""Queue names carry a version, because an arq worker deletes a message whose function it does not know."""

JOB_NAMES: dict[UnitKind, str] = {
    UnitKind.PLAN: "create_crawl_job",
    UnitKind.KEYWORDS: "generate_keywords",
    UnitKind.SEARCH: "discover_images",
    UnitKind.FETCH: "process_chunk",
    UnitKind.COMPRESS: "compress_chunk",
    UnitKind.LABELS: "generate_labels",
    UnitKind.EXPORT: "export_dataset",
    UnitKind.FINALIZE: "finalize_crawl_job",
    UnitKind.VALIDATE: "validate_chunk",
    UnitKind.DUPLICATES: "check_duplicates",
    UnitKind.INTEGRITY: "check_integrity",
    UnitKind.VERIFY: "verify_export",
    UnitKind.PUBLISH: "publish_export",
}
"""The job function that claims each kind of unit."""

EXPIRES_MS = 7 * 24 * 3600 * 1000
"""Milliseconds before a message expires in Redis; the sweeper sends expired ones again."""

ANSWER_S = 5.0
"""Seconds a call may take. The client's own retries add up to 20 s when a connection breaks, and a submission waits for the call."""

RANKS, RANK_MS = 1_000, 600_000
"""arq takes the lowest score first, a Unix time. A rank is worth ten minutes, so a message that has waited that long goes before it."""

FAILURES_TTL_S = 3600
"""Seconds a unit's failure count is kept."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message: the kind of unit, which names the job function, and its ids.

    Attributes:
        token: the message's id; a message that is sent again has the same one.
        rank: how many units its user had in progress before it. Workers take waiting messages of a lower rank first.
    """

    token: str
    kind: UnitKind
    ids: tuple[tuple[str, str], ...]
    rank: int = 0


class Queue(Protocol):
    """A queue. Every method raises ``errors.QueueUnavailableError`` when Redis cannot be reached."""

    async def send(self, messages: Sequence[Envelope]) -> None:
        """Put messages on the queues of their kinds. Sending a message twice is the same as once."""
        ...

    async def missing(self, tokens: Sequence[str]) -> list[str]:
        """Return the tokens of messages that the queue does not hold."""
        ...

    async def count_failure(self, unit_id: str) -> int:
        """Count a failure of a unit; return how many there were within the hour."""
        ...

    async def clear_failures(self, unit_id: str) -> None:
        """Reset a unit's failure count."""
        ...

    async def depths(self) -> dict[str, int]:
        """The number of messages on each queue."""
        ...

    async def ping(self) -> None:
        """Raise unless the queue answers."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


def to_json(value: Any) -> bytes:
    """arq's serializer: JSON instead of pickle, so that write access to Redis does not allow code execution."""
    return orjson.dumps(value, default=repr)


def from_json(data: bytes) -> dict[str, Any]:
    """arq's deserializer."""
    value: dict[str, Any] = orjson.loads(data)
    return value


class ArqQueue:
    """A :class:`Queue` on an arq pool."""

    def __init__(self, pool: ArqRedis, *, answer_s: float = ANSWER_S) -> None:
        self.pool = pool
        self._answer_s = answer_s
        self._subscribers: list[tuple[str, Callable[[], None]]] = []

    @contextmanager
    def subscribe(self, queue: str, wake: Callable[[], None]) -> Iterator[None]:
        """Call ``wake``, for the body's time, whenever this process puts a message on that queue, so that it is not found by polling."""
        subscriber = (queue, wake)
        self._subscribers.append(subscriber)
        try:
            yield
        finally:
            self._subscribers.remove(subscriber)

    async def send(self, messages: Sequence[Envelope]) -> None:
        """Send any number of messages in one round trip; arq takes three for each."""
        if not messages:
            return
        now_ms = int(time.time() * 1000)
        async with translate_redis_errors(self._answer_s), self.pool.pipeline(transaction=False) as pipe:
            for message in messages:
                body = serialize_job(JOB_NAMES[message.kind], (), dict(message.ids), None, now_ms, serializer=to_json)
                pipe.psetex(job_key_prefix + message.token, EXPIRES_MS, body)
                pipe.zadd(QUEUES[message.kind.queue], {message.token: now_ms - RANK_MS * max(RANKS - message.rank, 0)})
            await pipe.execute()
        self._wake_subscribers({QUEUES[message.kind.queue] for message in messages})

    def _wake_subscribers(self, filled: Collection[str]) -> None:
        for queue, wake in self._subscribers:
            if queue in filled:
                wake()

    async def missing(self, tokens: Sequence[str]) -> list[str]:
        async with translate_redis_errors(self._answer_s), self.pool.pipeline(transaction=False) as pipe:
            for token in tokens:
                pipe.exists(job_key_prefix + token)
            found = await pipe.execute()
        return [token for token, exists in zip(tokens, found, strict=True) if not exists]

    async def count_failure(self, unit_id: str) -> int:
        async with translate_redis_errors(self._answer_s), self.pool.pipeline(transaction=True) as pipe:
            pipe.incr(_failures(unit_id))
            pipe.expire(_failures(unit_id), FAILURES_TTL_S)
            return int((await pipe.execute())[0])

    async def clear_failures(self, unit_id: str) -> None:
        async with translate_redis_errors(self._answer_s):
            await self.pool.delete(_failures(unit_id))

    async def depths(self) -> dict[str, int]:
        async with translate_redis_errors(self._answer_s):
            return {kind: int(await self.pool.zcard(name)) for kind, name in QUEUES.items()}

    async def ping(self) -> None:
        async with translate_redis_errors(self._answer_s):
            await self.pool.ping()

    async def close(self) -> None:
        await self.pool.aclose(close_connection_pool=True)


def _failures(unit_id: str) -> str:
    return f"pictrawl:failures:{unit_id}"


@asynccontextmanager
async def translate_redis_errors(within_s: float | None = None) -> AsyncIterator[None]:
    """Translate Redis errors, and a body that takes longer than ``within_s``, into QueueUnavailableError."""
    try:
        async with asyncio.timeout(within_s):
            yield
    except (RedisError, OSError) as error:  # TimeoutError is an OSError
        raise errors.QueueUnavailableError(f"Redis cannot be used: {type(error).__name__}: {error}") from error


def embedded_queue(server: "FakeServer | None" = None) -> ArqQueue:
    """A queue on an in-process Redis; queues on one ``server`` share its messages."""
    from fakeredis import FakeAsyncRedis, FakeServer  # imported here: workers with a Redis server do not need it

    pool = FakeAsyncRedis(server=server or FakeServer()).connection_pool
    return ArqQueue(ArqRedis(pool, job_serializer=to_json, job_deserializer=from_json))


SERVICE_RETRIES = 3
"""Further attempts of a service to connect when it starts, some seconds apart: its Redis may start beside it."""


async def redis_queue(url: str, *, retries: int = SERVICE_RETRIES) -> ArqQueue:
    """A queue on the Redis at ``url``.

    Raises:
        errors.ConfigurationError: the URL is not a Redis URL.
        errors.QueueUnavailableError: no server answers there.
    """
    try:
        settings = RedisSettings.from_dsn(url)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise errors.ConfigurationError("queue.url is not a Redis URL; use redis://host:6379/0") from error
    settings.conn_timeout = 5
    settings.conn_retries = retries
    settings.retry_on_timeout = True
    settings.retry = Retry(ExponentialBackoff(cap=1, base=0.1), 5)
    settings.retry_on_error = [RedisConnectionError, RedisTimeoutError, OSError]  # OSError: a refused connection
    async with translate_redis_errors():
        pool = await create_pool(settings, job_serializer=to_json, job_deserializer=from_json, expires_extra_ms=EXPIRES_MS)
    pool.connection_pool.connection_kwargs["socket_timeout"] = ANSWER_S  # no setting of arq; without it a dead peer goes unnoticed
    await pool.connection_pool.disconnect()
    # Forget the connection that was made before: it would be connected again without a time limit.
    pool.connection_pool.reset()  # type: ignore[no-untyped-call]
    return ArqQueue(pool)
