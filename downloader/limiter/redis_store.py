"""Host states in Redis, so that a fleet keeps to one set of limits for each host.

Redis holds one JSON value per host and replaces it only for a worker that has seen the newest (compare and swap); the rules stay in
`downloader.limiter.state`. While Redis is away each process continues alone with what it knows, and writes that back afterwards.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Iterable
from contextvars import Context
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from downloader.limiter.state import Grant, GrantRequest, HostLimits, HostState, StateChange
from downloader.limiter.store import MAX_HOSTS
from downloader.lru import LRUDict
from logging_setup import get_logger

__all__ = ["KEY_PREFIX", "RedisHostStateStore"]

log = get_logger(__name__)

KEY_PREFIX: Final = "pictrawl:host:v2:"
"""One key for each host; the version changes with the shape of the value."""

RESTRICTED_TTL_S: Final = 3600.0
"""Seconds that Redis keeps a host that is restricted, beyond the end of its block."""

UNRESTRICTED_TTL_S: Final = 60.0
"""The same for any other host; a list may name a million of them."""

REPLY_TIMEOUT_S: Final = 1.0
"""Seconds Redis has to reply, the client's own retries included; every request to a host may wait for it."""

RETRY_S: Final = 5.0
"""Seconds after a failure before Redis is used again."""

MAX_PENDING_CHANGES: Final = 1_000
"""Changes to one host that wait for Redis at most; the newest are kept."""

BATCH: Final = 200
"""Hosts in one round trip."""

COMPARE_AND_SWAP: Final = """
local t = redis.call('TIME')
local now = t[1] .. '.' .. string.format('%06d', t[2])
local current = redis.call('GET', KEYS[1]) or ''
if current ~= ARGV[1] then return {now, current} end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return {now}
"""
COMPARE_AND_SWAP_SHA: Final = sha1(COMPARE_AND_SWAP.encode(), usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class Entry:
    """One host: its value as Redis had it, the state as this process sees it, pending changes and unanswered requests."""

    host: str
    raw: bytes = b""
    state: HostState = field(default_factory=HostState)
    changes: list[StateChange] = field(default_factory=list)
    requests: list[tuple[GrantRequest, HostLimits, "asyncio.Future[Grant]"]] = field(default_factory=list)
    is_urgent: bool = False
    collisions: int = 0

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to write or to answer."""
        return not self.changes and not self.requests


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposed value of an entry, with the grants that are valid if Redis accepts it."""

    entry: Entry
    state: HostState
    raw: bytes
    ttl_ms: int
    changes: int
    grants: tuple[Grant, ...]


class RedisHostStateStore:
    """A `downloader.limiter.store.HostStateStore` in Redis.

    Args:
        redis: the Redis that all workers of the fleet use; the caller closes it.
        clock: Unix time of this process; times in Redis are Redis's own, so clocks may differ.
        reply_timeout_s: after so long without a reply Redis counts as away.
    """

    def __init__(self, redis: Redis, *, clock: Callable[[], float] = time.time, reply_timeout_s: float = REPLY_TIMEOUT_S) -> None:
        self._redis = redis
        self._clock = clock
        self._reply_timeout_s = reply_timeout_s
        self._worker = uuid.uuid4().hex[:12]
        self._entries: LRUDict[str, Entry] = LRUDict(MAX_HOSTS, lambda entry: entry.is_settled)
        self._due: dict[str, Entry] = {}
        self._writer: asyncio.Task[None] | None = None
        self._offset_s: float | None = None
        self._away_until = 0.0

    @property
    def worker(self) -> str:
        """The name of this process among the workers of the fleet."""
        return self._worker

    @property
    def is_away(self) -> bool:
        """Whether Redis is away, so that this process continues alone."""
        return self._away_until > 0

    def peek(self, host: str) -> HostState | None:
        """Return the state as this process sees it."""
        entry = self._entries.peek(host)
        return entry.state if entry else None

    def update(self, host: str, change: StateChange, *, urgent: bool = False) -> None:
        """Apply a change here at once, and write it with the next request for a grant, or at once where ``urgent``."""
        entry = self._entry(host)
        change(entry.state, self._clock())
        entry.changes.append(change)
        del entry.changes[:-MAX_PENDING_CHANGES]
        if urgent:
            entry.is_urgent = True
            self._schedule(entry)

    async def request_grant(self, host: str, request: GrantRequest, limits: HostLimits) -> Grant:
        """Answer from Redis, or from memory where Redis does not reply."""
        entry = self._entry(host)
        grant: asyncio.Future[Grant] = asyncio.get_running_loop().create_future()
        entry.requests.append((request, limits, grant))
        self._schedule(entry)
        return await grant

    async def aclose(self) -> None:
        """Write what is urgent, and stop."""
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)

    def _entry(self, host: str) -> Entry:
        entry = self._entries.get(host)
        if entry is None:
            entry = Entry(host)
            self._entries.put(host, entry)
        return entry

    def _schedule(self, entry: Entry) -> None:
        self._due[entry.host] = entry
        if self._writer is None or self._writer.done():  # with an empty context: its log lines belong to no single URL
            self._writer = asyncio.create_task(self._write_due(), name="host states", context=Context())
            self._writer.add_done_callback(self._fail_requests)

    def _fail_requests(self, writer: "asyncio.Task[None]") -> None:
        """Fail the open requests where the writer has failed or was cancelled, so that no caller waits forever."""
        error = None if writer.cancelled() else writer.exception()
        if error is None and not writer.cancelled():
            return
        waiting = [future for entry in self._due.values() for _, _, future in entry.requests if not future.done()]
        self._due.clear()
        for future in waiting:
            if error is None:
                future.cancel()
            else:
                future.set_exception(error)

    async def _write_due(self) -> None:
        """Write until nothing is due, one round trip for all due hosts at a time."""
        while self._due:
            entries = list(self._due.values())[:BATCH]
            if self._away_until > self._clock():
                self._answer_alone(entries)
                continue
            try:
                await self._write(entries)
            except (RedisError, OSError) as error:  # TimeoutError is an OSError
                self._mark_away(error)
                continue
            self._mark_back()
            await self._back_off(entries)

    async def _write(self, entries: list[Entry]) -> None:
        async with asyncio.timeout(self._reply_timeout_s):
            if self._offset_s is None:
                seconds, micros = await self._redis.time()
                self._offset_s = seconds + micros / 1e6 - self._clock()
            drafts = [self._draft(entry) for entry in entries]
            sent_at = self._clock()
            replies = await self._swap(drafts)
        for draft, reply in zip(drafts, replies, strict=True):
            self._offset_s = float(reply[0]) - (sent_at + self._clock()) / 2
            self._settle(draft, reply)

    async def _swap(self, drafts: Iterable[Draft]) -> list[list[bytes]]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for draft in drafts:
                keys_and_args = (KEY_PREFIX + draft.entry.host, draft.entry.raw, draft.raw, draft.ttl_ms)
                pipe.execute_command("EVALSHA", COMPARE_AND_SWAP_SHA, 1, *keys_and_args)
            replies = await pipe.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, NoScriptError):
                await self._redis.script_load(COMPARE_AND_SWAP)
                return await self._swap(drafts)
            if isinstance(reply, ResponseError):
                raise reply
        return list(replies)

    def _draft(self, entry: Entry) -> Draft:
        """Propose the host's next value: from the newest value seen, or from memory where Redis has lost it."""
        now, offset_s = self._clock(), self._offset_s or 0.0
        state = HostState.load(entry.raw).shifted(-offset_s) if entry.raw else HostState.load(entry.state.dump())
        if entry.raw:
            for change in entry.changes:
                change(state, now)
        entry.is_urgent = False
        grants = tuple(state.grant(request, limits, now) for request, limits, _ in entry.requests)
        ttl_s = RESTRICTED_TTL_S if state.is_restricted(now) else UNRESTRICTED_TTL_S
        ttl_s += max(0.0, state.not_before - now, state.breaker.open_until - now)
        raw = state.shifted(offset_s).dump()
        return Draft(entry, state.shifted(-offset_s), raw, int(ttl_s * 1000), len(entry.changes), grants)

    def _settle(self, draft: Draft, reply: list[bytes]) -> None:
        entry = draft.entry
        if len(reply) > 1:  # another worker was faster
            entry.raw = reply[1]
            entry.collisions += 1
            return
        entry.raw, entry.collisions = draft.raw, 0
        entry.state = draft.state
        entry.changes = entry.changes[draft.changes :]
        for change in entry.changes:  # made during the round trip: visible here, written next time
            change(entry.state, self._clock())
        self._answer(entry, draft.grants)

    def _answer_alone(self, entries: Iterable[Entry]) -> None:
        """Answer from memory. Slots of other workers expire; changes are written once Redis is back."""
        now = self._clock()
        for entry in entries:
            entry.raw, entry.is_urgent = b"", False
            self._answer(entry, tuple(entry.state.grant(request, limits, now) for request, limits, _ in entry.requests))

    def _answer(self, entry: Entry, grants: tuple[Grant, ...]) -> None:
        answered, entry.requests = entry.requests[: len(grants)], entry.requests[len(grants) :]
        for (_, _, future), grant in zip(answered, grants, strict=True):
            if not future.done():
                future.set_result(grant)
        if not entry.requests and not entry.is_urgent:
            self._due.pop(entry.host, None)

    def _mark_away(self, error: Exception) -> None:
        if not self.is_away:
            log.warning("hosts.unshared", error=repr(error), retry_s=RETRY_S)
        self._away_until = self._clock() + RETRY_S

    def _mark_back(self) -> None:
        if self.is_away:
            log.info("hosts.shared")
        self._away_until = 0.0

    async def _back_off(self, entries: Iterable[Entry]) -> None:
        """After several collisions wait a random moment, so that the workers do not all try again at once."""
        worst = max((entry.collisions for entry in entries), default=0)
        if worst > 2:
            await asyncio.sleep(random.uniform(0.0, 0.001 * min(worst, 20)))
