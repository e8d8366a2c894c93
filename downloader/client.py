"""Downloader: URLs in, outcomes out. Puts guard, gate, robots, attempts and policy together; knows no job, no row and no storage."""

import asyncio
import contextlib
import importlib.metadata
import random as randomness
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self

import httpx
import orjson

import errors
from downloader import formats, outcomes, telling
from downloader.attempt import Errand, Reply, Requester, Terms
from downloader.budget import RetryBudget
from downloader.doors import HostSnapshot
from downloader.guard import Guard
from downloader.hostbook import HostBook
from downloader.hosts import HostGate
from downloader.manners import Manners
from downloader.names import Lookup
from downloader.plain_client import PlainClient
from downloader.policy import RetryPolicy
from downloader.records import AttemptLog, FetchLimits, FetchRequest, Outcome, RetryRules
from downloader.robots import Robots
from downloader.trail import Trail
from downloader.transport import GuardedTransport
from downloader.visits import Deferral
from downloader.window import finish_in_window
from errors import Reason
from logging_setup import get_logger, redact

__all__ = ["Downloader", "user_agent"]

_JSON_MAX_BYTES: Final = 20_000_000
_BUDGET_WAIT_S: Final = 60.0
"""Seconds a URL waits whose retry is beyond the budget: the origin has been failing for everybody."""

_ACCEPT: Final = "image/avif,image/webp,image/png,image/jpeg,image/*;q=0.9,*/*;q=0.5"
_log = get_logger(__name__)


def user_agent(contact: str = "") -> str:
    """Return the User-Agent we go by: who we are, how to reach the operator, what carries us."""
    try:
        version = importlib.metadata.version("pictrawl")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        version = "0.1.0"
    about = f" (+{contact})" if contact else ""
    return f"pictrawl/{version}{about} httpx/{httpx.__version__}"


class Downloader:
    """Fetches images politely: guarded addresses, few requests per host, three attempts, every failure named.

    Retry strategy (`downloader.policy`): timeouts, network failures, 429, 503 and 504 get ``retry.attempts`` requests in all, 2 s and 4 s
    apart or as Retry-After says; a longer Retry-After defers the URL; everything else fails at once. Nobody above retries a URL.

    Args:
        limits: bounds and manners.
        retry: when a request is tried again.
        transport: instead of the guarded one; then addresses are only checked where the URL spells them.
        sleep: passes time, for the policy and the gate.
        clock: Unix time, seconds.
        random: 0 to 1, for the jitter.
        ssl_context: for private authorities.
        lookup: instead of getaddrinfo; answers are checked all the same.
        book: where what is known of hosts is kept; this downloader's own where none is given.
    """

    def __init__(
        self,
        limits: FetchLimits = FetchLimits(),
        retry: RetryRules = RetryRules(),
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
        random: Callable[[], float] = randomness.random,
        ssl_context: ssl.SSLContext | None = None,
        lookup: Lookup | None = None,
        book: HostBook | None = None,
    ) -> None:
        self._limits = limits
        self._rules = retry
        self._clock = clock
        guard = Guard(limits.ports, limits.allow_networks)
        transport = transport or GuardedTransport(guard, ssl_context=ssl_context, lookup=lookup)
        self._client = _client(transport, limits)
        self._gate = HostGate(
            concurrency=limits.concurrency,
            per_host=limits.per_host,
            rate_per_host=limits.rate_per_host,
            inline_wait_max_s=retry.inline_wait_max_s,
            clock=clock,
            sleep=sleep,
            book=book,
        )
        self._requester = Requester(self._client, guard, self._gate, limits, retry, clock=clock, sleep=sleep)
        self._robots = Robots(self._requester, clock)
        self._policy = RetryPolicy(retry, sleep=sleep, random=random)
        self._budget = RetryBudget(retry.budget, retry.budget_floor)
        self._random = random

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections, and give the places at hosts back that other workers may want."""
        await self._gate.aclose()
        await self._client.aclose()

    def hosts(self) -> tuple[HostSnapshot, ...]:
        """Return the hosts in use or in trouble, for a progress display."""
        return self._gate.snapshot()

    async def fetch(
        self, request: FetchRequest | str, *, log: AttemptLog | None = None, dialled: Callable[[], None] | None = None
    ) -> Outcome:
        """Fetch one image.

        Retry strategy: up to ``RetryRules.attempts`` requests in all for `errors.TRANSIENT`, 2 s and 4 s apart or as Retry-After says;
        Deferred where Retry-After asks for more than ``inline_wait_max_s`` or the host is closed; no retry of anything else.

        Args:
            request: the URL, and what it has cost before.
            log: awaited before every request, told after each.
            dialled: called right before the first request: from then on the URL waits for no other one's end.

        Returns:
            Fetched, FetchFailed or Deferred; a URL's faults never raise.

        Raises:
            errors.StorageError: this machine is out of descriptors or the like.
            Exception: whatever ``log.reserve`` raises.
        """
        request = FetchRequest(request) if isinstance(request, str) else request
        manners = Manners(self._robots if self._limits.robots else None, opt_out=self._limits.opt_out, contact=self._limits.contact)
        errand = Errand(self._limits.url_deadline_s, sent=request.attempts_made)
        trail = Trail(request, errand, log, self._clock, manners, budget=self._budget, dialled=dialled)
        if request.attempts_made >= self._rules.attempts:
            spent = errors.TransientError(f"all {self._rules.attempts} attempts were made before", reason=Reason.RETRY_BUDGET)
            return outcomes.failed(trail, spent)
        try:
            reply = await self._attempts(trail)
        except Deferral as exc:
            trail.close()
            return outcomes.closed(trail, exc.with_traceback(None))
        except (errors.PermanentError, errors.TransientError) as exc:
            if trail.refused:
                raise
            # Tenacity's frame in the traceback holds the error: a knot that would keep the body until the collector comes by.
            return self._settle(trail, exc.with_traceback(None))
        trail.close()
        return outcomes.fetched(trail, reply)

    async def fetch_many(
        self,
        requests: AsyncIterable[FetchRequest] | Iterable[FetchRequest],
        *,
        log: AttemptLog | None = None,
        stop: asyncio.Event | None = None,
    ) -> AsyncGenerator[Outcome, None]:
        """Fetch many images, yielding each outcome as it is there; retried as `fetch` says.

        At most ``limits.concurrency`` are in hand; over all calls of this downloader no more than that are on the wire. A host that is
        slow or closed takes few of the places: where its queue stands still, URLs of other hosts are pulled ahead. Leave the loop early
        under ``contextlib.aclosing`` to have the rest cancelled there and then.

        Args:
            requests: what to fetch.
            log: see `fetch`.
            stop: once set nothing further is started, what is on the wire is finished, and what was never dialled has no outcome.

        Raises:
            Exception: what `fetch` raises; the other requests are cancelled.
        """

        def work(request: FetchRequest, under_way: Callable[[], None]) -> Coroutine[Any, Any, Outcome]:
            return telling.told(request, lambda: self.fetch(request, log=log, dialled=under_way))

        window = finish_in_window(requests, work, size=self._limits.concurrency, lane=_lane, stop=stop)
        async with contextlib.aclosing(window) as finished:
            async for outcome in finished:
                yield outcome

    async def fetch_json(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = _JSON_MAX_BYTES,
    ) -> Any:
        """Get and parse JSON from a source's API, under the same guard, gate and retry policy; robots.txt is for pages, not for APIs.

        Args:
            headers: sent to the first host only.

        Raises:
            errors.PictrawlError: what is left after the attempts. A Retry-After beyond ``inline_wait_max_s`` raises at once,
                RateLimitError or ServiceUnavailableError with ``retry_after_s``.
        """
        full_url = str(httpx.URL(url).copy_merge_params(dict(params))) if params else url
        terms = Terms(max_bytes, headers={"Accept": "application/json", **(headers or {})})
        reply = await self.send(full_url, terms)
        try:
            return orjson.loads(reply.body)
        except orjson.JSONDecodeError as exc:
            raise errors.ProtocolError(f"no JSON from {errors.without_secrets(url)}", status=reply.status) from exc

    async def send(self, url: str, terms: Terms) -> Reply:
        """Send any other request (a webhook, an API) under the same guard, gate and retry policy.

        Raises:
            errors.PictrawlError: see `fetch_json`.
        """
        trail = Trail(FetchRequest(url), Errand(self._limits.url_deadline_s), None, self._clock)
        try:
            return await self._policy.run(lambda number: self._requester.send(url, trail.errand, terms), host=_host_of(url), watch=trail)
        except Deferral as exc:
            error_type = errors.RateLimitError if exc.reason is Reason.RATE_LIMITED else errors.ServiceUnavailableError
            wait_s = exc.until - self._clock()
            raise error_type(f"{_host_of(url)} is closed for now", retry_after_s=wait_s, reason=exc.reason) from exc

    async def _attempts(self, trail: Trail) -> Reply:
        async def attempt(number: int) -> Reply:
            with _log.contextualize(attempt_number=number):
                reply = await trail.follow(number, lambda: self._get_image(trail, number))
                _log.debug("download.fetched", status=reply.status, size_bytes=len(reply.body))
                return reply

        request = trail.request
        shown = redact(request.url)
        with _log.contextualize(url=shown):
            return await self._policy.run(attempt, host=_host_in(shown), watch=trail, attempts_made=request.attempts_made)

    async def _get_image(self, trail: Trail, number: int) -> Reply:
        manners = trail.manners
        manners.begin()
        terms = Terms(
            self._limits.max_bytes,
            admit=manners.admit,
            before_dial=lambda: trail.reserve(number),
            inspect=manners.inspect,
        )
        reply = await self._requester.send(trail.request.url, trail.errand, terms)
        if not reply.body:
            raise errors.EmptyBodyError("a success without a body", status=reply.status)
        if formats.sniff(reply.body[:64]) is None:
            raise errors.NotAnImageError("the body begins like no image format", status=reply.status)
        return reply

    def _settle(self, trail: Trail, error: errors.PictrawlError) -> Outcome:
        """End the run of a URL whose last error is known: over the cap it failed, with attempts left it is deferred."""
        trail.close()
        wait_s = error.retry_after_s or 0.0 if isinstance(error, errors.TransientError) else 0.0
        if wait_s > self._rules.retry_after_max_s:
            over = f"the origin asks for {wait_s:.0f} s of patience, more than {self._rules.retry_after_max_s:.0f}"
            return outcomes.failed(trail, errors.RetryAfterOverCapError(over, status=error.status, retry_after_s=wait_s))
        made = trail.request.attempts_made + len(trail.attempts)
        if made < self._rules.attempts and wait_s > self._rules.inline_wait_max_s:
            return outcomes.put_off(trail, error, error.slug, self._clock() + wait_s)
        if made < self._rules.attempts and trail.over_budget:
            until = self._clock() + _BUDGET_WAIT_S * (1 + self._rules.jitter * self._random())
            return outcomes.put_off(trail, error, Reason.RETRY_BUDGET, until)
        return outcomes.failed(trail, error)


def _client(transport: httpx.AsyncBaseTransport, limits: FetchLimits) -> httpx.AsyncClient:
    return PlainClient(
        transport,
        headers={"User-Agent": user_agent(limits.contact), "Accept": _ACCEPT, "Accept-Encoding": "identity"},
        timeout=httpx.Timeout(limits.read_timeout_s, connect=limits.connect_timeout_s),
        trust_env=False,
    )


def _host_of(url: str) -> str:
    """The host for a log line; whether the URL is one at all is the guard's business."""
    return _host_in(errors.without_secrets(url))


def _host_in(shown_url: str) -> str:
    return shown_url.partition("://")[2].partition("/")[0]


def _lane(request: FetchRequest) -> str:
    """URLs that queue for the same host."""
    return request.url.partition("://")[2].partition("/")[0].lower()
