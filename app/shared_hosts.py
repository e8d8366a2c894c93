"""The states of hosts in Redis, so that a fleet keeps to one set of limits for each host.

Redis holds one JSON value per host and swaps it only for whoever has seen the newest; the rules themselves stay in `downloader.host_state`.
While Redis is away each process goes on by itself with what it knows, and puts it back afterwards.
"""

import asyncio
import random
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextvars import Context
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ResponseError

import errors
from app.queue import translated
from downloader import Ask, Change, Grant, HostLimits, HostState
from logging_setup import get_logger

__all__ = ["KEY_PREFIX", "SharedBook"]

log = get_logger(__name__)

KEY_PREFIX: Final = "pictrawl:host:v1:"
"""One key for each host; the version changes with the shape of the value."""

KEPT_S: Final = 3600
"""Seconds a host that has taught something is remembered in Redis, beyond its closure."""

KEPT_BRIEFLY_S: Final = 60
"""The same for any other host; a list may name a million of them."""

ANSWER_S: Final = 1.0
"""Seconds Redis has to answer, the client's own retries included; every request to a host may wait for it."""

AWAY_S: Final = 5.0
"""Seconds after a failure before Redis is asked again."""

HOSTS_SEEN: Final = 10_000
"""Hosts whose last value a process remembers."""

NOTES_KEPT: Final = 1_000
"""Changes to one host that wait for Redis at most, newest last."""

BATCH: Final = 200
"""Hosts asked about in one round trip."""

SWAP: Final = """
local t = redis.call('TIME')
local now = t[1] .. '.' .. string.format('%06d', t[2])
local current = redis.call('GET', KEYS[1]) or ''
if current ~= ARGV[1] then return {now, current} end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return {now}
"""
SWAP_SHA: Final = sha1(SWAP.encode(), usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class Page:
    """One host: its value as Redis had it, the state as this process sees it, and what has yet to be written and asked."""

    host: str
    raw: bytes = b""
    state: HostState = field(default_factory=HostState)
    noted: list[Change] = field(default_factory=list)
    asked: list[tuple[Ask, HostLimits, "asyncio.Future[Grant]"]] = field(default_factory=list)
    is_urgent: bool = False
    collisions: int = 0

    @property
    def is_open(self) -> bool:
        """Whether something has yet to be written or asked."""
        return bool(self.noted or self.asked)


@dataclass(frozen=True, slots=True)
class Draft:
    """A value that may become a page's next one, with the answers that are true if it does."""

    page: Page
    state: HostState
    raw: bytes
    ttl_ms: int
    noted: int
    answers: tuple[Grant, ...]


class SharedBook:
    """A `downloader.HostBook` in Redis.

    Args:
        redis: where all workers of the fleet look.
        clock: this process's Unix time; values in Redis are in Redis's own, so clocks may differ.
        answer_s: after so long without an answer Redis counts as away.
    """

    def __init__(self, redis: Redis, *, clock: Callable[[], float] = time.time, answer_s: float = ANSWER_S) -> None:
        self._redis = redis
        self._clock = clock
        self._answer_s = answer_s
        self._name = uuid.uuid4().hex[:12]
        self._pages: OrderedDict[str, Page] = OrderedDict()
        self._due: dict[str, Page] = {}
        self._writer: asyncio.Task[None] | None = None
        self._offset_s: float | None = None
        self._away_until = 0.0

    @property
    def worker(self) -> str:
        """The name this process has among the others."""
        return self._name

    @property
    def is_away(self) -> bool:
        """Whether this process goes by itself for now."""
        return self._away_until > 0

    def peek(self, host: str) -> HostState | None:
        """The state as this process sees it."""
        page = self._pages.get(host)
        return page.state if page else None

    def note(self, host: str, change: Change, *, soon: bool = False) -> None:
        """See it here at once, and write it with the next question."""
        page = self._page(host)
        change(page.state, self._clock())
        page.noted.append(change)
        del page.noted[:-NOTES_KEPT]
        if soon:
            page.is_urgent = True
            self._put_down(page)

    async def ask(self, host: str, ask: Ask, limits: HostLimits) -> Grant:
        """Answer from Redis, or by what is known here where Redis does not answer."""
        page = self._page(host)
        answer: asyncio.Future[Grant] = asyncio.get_running_loop().create_future()
        page.asked.append((ask, limits, answer))
        self._put_down(page)
        return await answer

    async def aclose(self) -> None:
        """Write what is noted, and stop."""
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)

    def _page(self, host: str) -> Page:
        page = self._pages.get(host)
        if page is None:
            page = self._pages[host] = Page(host)
            if len(self._pages) > HOSTS_SEEN:
                self._forget_oldest()
        self._pages.move_to_end(host)
        return page

    def _forget_oldest(self) -> None:
        oldest = next((host for host, page in self._pages.items() if not page.is_open), None)
        if oldest is not None:
            del self._pages[oldest]

    def _put_down(self, page: Page) -> None:
        self._due[page.host] = page
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="host states", context=Context())  # of all URLs: none's log lines
            self._writer.add_done_callback(self._fail_waiting)

    def _fail_waiting(self, writer: "asyncio.Task[None]") -> None:
        """Nobody waits for an answer that will not come: a bug here, or a loop that closes, ends the question too."""
        error = None if writer.cancelled() else writer.exception()
        if error is None and not writer.cancelled():
            return
        waiting = [future for page in self._due.values() for _, _, future in page.asked if not future.done()]
        self._due.clear()
        for future in waiting:
            if error is None:
                future.cancel()
            else:
                future.set_exception(error)

    async def _write(self) -> None:
        """Carry on until nothing is due: one round trip for all hosts that are, again and again."""
        while self._due:
            pages = list(self._due.values())[:BATCH]
            if self._away_until > self._clock():
                self._go_alone(pages)
                continue
            try:
                await self._write_all(pages)
            except errors.QueueUnavailableError as error:
                self._leave(error)
                continue
            self._return()
            await self._let_others_by(pages)

    async def _write_all(self, pages: list[Page]) -> None:
        async with translated(self._answer_s):
            if self._offset_s is None:
                seconds, micros = await self._redis.time()
                self._offset_s = seconds + micros / 1e6 - self._clock()
            drafts = [self._draft(page) for page in pages]
            asked_at = self._clock()
            replies = await self._swap(drafts)
        for draft, reply in zip(drafts, replies, strict=True):
            self._offset_s = float(reply[0]) - (asked_at + self._clock()) / 2
            self._settle(draft, reply)

    async def _swap(self, drafts: Iterable[Draft]) -> list[list[bytes]]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for draft in drafts:
                pipe.execute_command("EVALSHA", SWAP_SHA, 1, KEY_PREFIX + draft.page.host, draft.page.raw, draft.raw, draft.ttl_ms)
            replies = await pipe.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, NoScriptError):
                await self._redis.script_load(SWAP)
                return await self._swap(drafts)
            if isinstance(reply, ResponseError):
                raise reply
        return list(replies)

    def _draft(self, page: Page) -> Draft:
        """What the host's value would become, from the newest that was seen, or from memory where Redis has lost it."""
        now, offset_s = self._clock(), self._offset_s or 0.0
        state = HostState.load(page.raw).shifted(-offset_s) if page.raw else HostState.load(page.state.dump())
        if page.raw:
            for change in page.noted:
                change(state, now)
        page.is_urgent = False
        answers = tuple(state.grant(ask, limits, now) for ask, limits, _ in page.asked)
        ttl_s = (KEPT_S if state.has_lessons(now) else KEPT_BRIEFLY_S) + max(0.0, state.not_before - now, state.breaker.open_until - now)
        raw = state.shifted(offset_s).dump()
        return Draft(page, state.shifted(-offset_s), raw, int(ttl_s * 1000), len(page.noted), answers)

    def _settle(self, draft: Draft, reply: list[bytes]) -> None:
        page = draft.page
        if len(reply) > 1:  # somebody was faster
            page.raw = reply[1]
            page.collisions += 1
            return
        page.raw, page.collisions = draft.raw, 0
        self._accept(draft)

    def _accept(self, draft: Draft) -> None:
        """The draft is the host's value now. What was noted meanwhile still shows, and is written next time."""
        page = draft.page
        page.state = draft.state
        page.noted = page.noted[draft.noted :]
        for change in page.noted:
            change(page.state, self._clock())
        self._answer(page, draft.answers)

    def _go_alone(self, pages: Iterable[Page]) -> None:
        """Answer from memory. The others' places lapse; what is noted here is written once Redis is back."""
        now = self._clock()
        for page in pages:
            page.raw, page.is_urgent = b"", False
            self._answer(page, tuple(page.state.grant(ask, limits, now) for ask, limits, _ in page.asked))

    def _answer(self, page: Page, answers: tuple[Grant, ...]) -> None:
        answered, page.asked = page.asked[: len(answers)], page.asked[len(answers) :]
        for (_, _, future), answer in zip(answered, answers, strict=True):
            if not future.done():
                future.set_result(answer)
        if not page.asked and not page.is_urgent:
            self._due.pop(page.host, None)

    def _leave(self, error: errors.QueueUnavailableError) -> None:
        if not self.is_away:
            log.warning("hosts.unshared", error=str(error), retry_s=AWAY_S)
        self._away_until = self._clock() + AWAY_S

    def _return(self) -> None:
        if self.is_away:
            log.info("hosts.shared")
        self._away_until = 0.0

    async def _let_others_by(self, pages: Iterable[Page]) -> None:
        """After several collisions wait a moment, a random one, so that not everybody tries again at once."""
        worst = max((page.collisions for page in pages), default=0)
        if worst > 2:
            await asyncio.sleep(random.uniform(0.0, 0.001 * min(worst, 20)))
