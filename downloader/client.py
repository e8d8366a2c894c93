"""Downloader: URLs in, outcomes out. Combines URL guard, host gate, crawl policy, requests and retries; knows no job, row or storage."""

import asyncio
import contextlib
import importlib.metadata
import random as random_numbers
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import httpx
import orjson

import errors
from downloader import conditional, content, foreign, robots_tag, tracing
from downloader.concurrent_map import map_unordered
from downloader.crawl_policy import CrawlPolicy
from downloader.fetch_state import FetchState
from downloader.limiter.gate import HostGate
from downloader.limiter.store import HostStateStore
from downloader.models import (
    AttemptLog,
    Decisions,
    Deferred,
    FetchLimits,
    FetchRequest,
    HostClosedError,
    HostSnapshot,
    Network,
    Outcome,
    Page,
    RetryRules,
    RobotsVerdict,
)
from downloader.proxy import check_proxy
from downloader.request import Reply, Requester, RequestOptions, make_client
from downloader.resolver import Lookup
from downloader.results import describe_no_json, failed_result, fetched_result, not_modified_result
from downloader.retry import RetryBudget, RetryPolicy, drop_tracebacks
from downloader.transport import GuardedTransport
from downloader.url_guard import URLGuard
from errors import Reason
from logging_setup import get_logger, redact

__all__ = ["Downloader", "user_agent"]

_JSON_MAX_BYTES: Final = 20_000_000
_PAGE_MAX_BYTES: Final = 52_428_800
"""Of a page; a sitemap may have as much (sitemaps.org)."""

_PAGE_ACCEPT: Final = "text/html,application/xhtml+xml,application/xml;q=0.9,application/json;q=0.8,*/*;q=0.5"

_BUDGET_WAIT_S: Final = 60.0
"""Seconds a URL waits whose retry is over the budget: its origin has been failing for everybody."""

_log = get_logger(__name__)


def user_agent(contact: str = "") -> str:
    """Return our User-Agent: product, contact of the operator, HTTP library."""
    try:
        version = importlib.metadata.version("pictrawl")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        version = "0.1.0"
    about = f" (+{contact})" if contact else ""
    return f"pictrawl/{version}{about} httpx/{httpx.__version__}"


class Downloader:
    """Fetches images politely: checked addresses, few requests per host, three attempts, every failure with a name.

    Retry strategy (`downloader.retry`): timeouts, network failures, 429, 503 and 504 get ``retry.attempts`` requests in all, 2 s and 4 s
    apart or as Retry-After says; a longer Retry-After defers the URL; everything else fails at once. No caller retries a URL.

    Args:
        limits: limits and politeness.
        retry: when a request is retried.
        network: how hosts are reached.
        transport: instead of the guarded one; then addresses are only checked where the URL spells them.
        sleep: passes time, for the retry policy and the gate.
        clock: Unix time, seconds.
        random: 0 to 1, for the jitter.
        ssl_context: for private authorities.
        lookup: instead of getaddrinfo; answers are checked all the same.
        store: where host states are kept; this downloader's own store by default.
    """

    def __init__(
        self,
        limits: FetchLimits = FetchLimits(),
        retry: RetryRules = RetryRules(),
        network: Network = Network(),
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
        random: Callable[[], float] = random_numbers.random,
        ssl_context: ssl.SSLContext | None = None,
        lookup: Lookup | None = None,
        store: HostStateStore | None = None,
    ) -> None:
        self._limits = limits
        self._rules = retry
        self._clock = clock
        self._random = random
        self._proxy = network.proxy
        guard = URLGuard(limits.ports, limits.allow_networks, sees_addresses=network.proxy is None or not network.proxy.resolves_names)
        transport = transport or GuardedTransport(guard, network, ssl_context=ssl_context, lookup=lookup)
        self._client = make_client(transport, limits, user_agent(limits.contact))
        self._gate = HostGate(
            concurrency=limits.concurrency,
            per_host=limits.per_host,
            rate_per_host=limits.rate_per_host,
            inline_wait_max_s=retry.inline_wait_max_s,
            clock=clock,
            sleep=sleep,
            store=store,
        )
        self._requester = Requester(self._client, guard, self._gate, limits, retry, hosts=network.hosts, clock=clock, sleep=sleep)
        self._crawl_policy = CrawlPolicy(self._requester, self._gate, limits, clock)
        self._budget = RetryBudget(retry.budget, retry.budget_floor)
        self._policy = RetryPolicy(retry, budget=self._budget, clock=clock, sleep=sleep, random=random)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections, and give slots at hosts back to other workers."""
        await self._gate.aclose()
        await self._client.aclose()

    async def check_proxy(self) -> None:
        """Ask whether the proxy, if there is one, lets us in; no other host is asked.

        Raises:
            errors.ProxyError: it does not.
        """
        if self._proxy is not None:
            await check_proxy(self._proxy)

    def hosts(self) -> tuple[HostSnapshot, ...]:
        """Return the hosts that are in use or restricted, for a progress display."""
        return self._gate.snapshot()

    async def fetch(
        self, request: FetchRequest | str, *, log: AttemptLog | None = None, on_first_dial: Callable[[], None] | None = None
    ) -> Outcome:
        """Fetch one image.

        Retry strategy: up to ``RetryRules.attempts`` requests in all for `errors.TRANSIENT`, 2 s and 4 s apart or as Retry-After says;
        Deferred where Retry-After asks for more than ``inline_wait_max_s`` or the host is closed; no retry of anything else.

        Args:
            request: the URL, and the attempts it had before.
            log: awaited before every request, called after each.
            on_first_dial: called right before the first request, when the URL no longer waits for others.

        Returns:
            Fetched, FetchFailed or Deferred, or NotModified for a request with validators; faults of the URL never raise.

        Raises:
            errors.StorageError: this machine is out of file descriptors or the like.
            errors.ProxyError: the proxy serves nobody.
            Exception: whatever ``log.reserve`` raises.
        """
        request = FetchRequest(request) if isinstance(request, str) else request

        def count_first_dial() -> None:
            self._budget.count_first(self._clock())
            if on_first_dial is not None:
                on_first_dial()

        state = FetchState(
            request, self._limits.url_deadline_s, clock=self._clock, log=log, uses_budget=True, on_first_dial=count_first_dial
        )
        self._crawl_policy.begin_attempt(state)
        if request.attempts_made >= self._rules.attempts:
            spent = errors.TransientError(f"all {self._rules.attempts} attempts were made before", reason=Reason.INTERRUPTED)
            return failed_result(state, spent)
        shown = redact(request.url)
        try:
            with _log.contextualize(url=shown):
                reply = await self._policy.run(self._attempt_image, state)
        except HostClosedError as exc:
            state.record_attempt()
            drop_tracebacks(exc)
            return self._defer_by_host(state, exc)
        except (errors.PermanentError, errors.TransientError) as exc:
            if state.is_log_error:
                raise
            drop_tracebacks(exc)
            return self._resolve(state, exc)
        state.record_attempt()
        return not_modified_result(state, reply) if reply.status == conditional.NOT_MODIFIED else fetched_result(state, reply)

    async def fetch_many(
        self,
        requests: AsyncIterable[FetchRequest] | Iterable[FetchRequest],
        *,
        log: AttemptLog | None = None,
        stop: asyncio.Event | None = None,
    ) -> AsyncGenerator[Outcome, None]:
        """Fetch many images, yielding each outcome as it arrives; retried as `fetch` says.

        At most ``limits.concurrency`` URLs are in progress; over all calls of this downloader no more than that are requested at once. A
        slow or closed host takes few of the places: while its queue does not move, URLs of other hosts are started first. Use
        ``contextlib.aclosing`` to cancel the rest at once when leaving the loop early.

        Args:
            requests: what to fetch.
            log: see `fetch`.
            stop: once set, nothing further is started, running requests are finished, and a URL that was never requested has no outcome.

        Raises:
            Exception: what `fetch` raises; the other requests are cancelled.
        """

        def work(request: FetchRequest, on_first_dial: Callable[[], None]) -> Coroutine[Any, Any, Outcome]:
            return tracing.traced_fetch(request, lambda: self.fetch(request, log=log, on_first_dial=on_first_dial))

        outcomes = map_unordered(requests, work, limit=self._limits.concurrency, lane=_lane, stop=stop)
        async with contextlib.aclosing(outcomes):
            async for outcome in outcomes:
                yield outcome

    async def fetch_json(
        self,
        url: str,
        *,
        params: Mapping[str, str | Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = _JSON_MAX_BYTES,
        log: AttemptLog | None = None,
        on_reply: Callable[[int, Mapping[str, str]], None] | None = None,
        secret: str | None = None,
    ) -> Any:
        """Get and parse JSON from a source's API, under the same guard, gate and retry policy; robots.txt is for pages, not for APIs.

        Args:
            headers: sent to the first host only.
            log: see `fetch`.
            on_reply: called with the status and headers of each reply, refusals included.
            secret: what the request names and no answer may: services repeat a key in what they say of it.

        Raises:
            errors.ProtocolError: the body is no JSON.
            errors.PictrawlError: the last error after the attempts. A Retry-After over ``inline_wait_max_s`` raises at once,
                RateLimitError or ServiceUnavailableError with ``retry_after_s``.
        """
        full_url = str(httpx.URL(url).copy_merge_params(dict(params))) if params else url
        options = RequestOptions(max_bytes, headers={"Accept": "application/json", **(headers or {})}, on_reply=on_reply)
        reply = await self.send(full_url, options, log=log)
        try:
            return orjson.loads(reply.body.replace(secret.encode(), b"[secret]") if secret else reply.body)
        except orjson.JSONDecodeError as exc:
            raise errors.ProtocolError(describe_no_json(url, reply), status=reply.status) from exc

    async def fetch_page(self, url: str, *, log: AttemptLog | None = None, on_decided: Callable[[Decisions], None] | None = None) -> Page:
        """Get a page, sitemap, feed or manifest as robots.txt and opt-outs allow, under the same guard, gate and retry policy.

        Args:
            log: see `fetch`.
            on_decided: called at the end, also of a failure, with what robots.txt and opt-outs said.

        Raises:
            errors.PictrawlError: see `fetch_json`, and what `CrawlPolicy` refuses.
        """
        policy = self._crawl_policy
        options = RequestOptions(
            _PAGE_MAX_BYTES, headers={"Accept": _PAGE_ACCEPT}, check_target=policy.check_target, check_headers=policy.check_page_headers
        )
        state = self._state_of(url, log)
        policy.begin_attempt(state)
        try:
            reply = await self._send(state, options)
        finally:
            if on_decided is not None:
                on_decided(state.decisions())
        media_type, charset = content.media_type(reply.headers.get("content-type", ""))
        return Page(reply.url, reply.body, media_type, charset, robots_tag.directives(reply.headers.get_list("x-robots-tag")))

    async def send(self, url: str, options: RequestOptions, *, log: AttemptLog | None = None) -> Reply:
        """Send any other request (a webhook, an API) under the same guard, gate and retry policy.

        Raises:
            errors.PictrawlError: see `fetch_json`.
        """
        return await self._send(self._state_of(url, log), options)

    def _state_of(self, url: str, log: AttemptLog | None) -> FetchState:
        return FetchState(FetchRequest(url), self._limits.url_deadline_s, clock=self._clock, log=log)

    async def _send(self, state: FetchState, options: RequestOptions) -> Reply:
        try:
            return await self._policy.run(lambda state: self._requester.send(state, options), state)
        except HostClosedError as exc:
            is_limit = exc.reason is Reason.RATE_LIMITED
            error_type = errors.RateLimitError if is_limit else errors.ServiceUnavailableError
            wait_s = exc.until - self._clock()
            words = f"{state.host} {'limits our requests' if is_limit else 'is unavailable'}; the next one may be sent in {wait_s:.0f} s"
            raise error_type(words, retry_after_s=wait_s, reason=exc.reason) from exc
        finally:
            state.record_attempt()

    async def _attempt_image(self, state: FetchState) -> Reply:
        with _log.contextualize(attempt_number=state.number):
            self._crawl_policy.begin_attempt(state)
            options = RequestOptions(
                self._limits.max_bytes,
                check_target=self._crawl_policy.check_target,
                check_headers=self._crawl_policy.check_headers,
                validators=state.request.validators,
            )
            reply = await self._requester.send(state, options)
            if reply.status == conditional.NOT_MODIFIED:
                _log.debug("download.not_modified", status=reply.status)
                return reply
            if not reply.body:
                raise errors.EmptyBodyError("a success without a body", status=reply.status)
            if content.sniff(reply.body[:64]) is None:
                found = foreign.describe(reply.body[: foreign.HEAD_BYTES])
                words = f"the body is {found}" if found else "the body begins like no image format"
                raise errors.NotAnImageError(words, status=reply.status)
            _log.debug("download.fetched", status=reply.status, size_bytes=len(reply.body))
            return reply

    def _resolve(self, state: FetchState, error: errors.PictrawlError) -> Outcome:
        """Turn the last error of a run into an outcome: deferred where attempts are left and waiting may help, failed otherwise."""
        state.record_attempt()
        wait_s = error.retry_after_s or 0.0 if isinstance(error, errors.TransientError) else 0.0
        if wait_s > self._rules.retry_after_max_s:
            message = f"the origin asks to wait {wait_s:.0f} s, more than {self._rules.retry_after_max_s:.0f}"
            return failed_result(state, errors.RetryAfterOverCapError(message, status=error.status, retry_after_s=wait_s))
        if state.attempts_made < self._rules.attempts and wait_s > self._rules.inline_wait_max_s:
            return self._defer(state, error, error.slug, self._clock() + wait_s)
        if state.attempts_made < self._rules.attempts and state.is_over_budget:
            until = self._clock() + _BUDGET_WAIT_S * (1 + self._rules.jitter * self._random())
            return self._defer(state, error, Reason.RETRY_BUDGET, until)
        return failed_result(state, error)

    def _defer(self, state: FetchState, error: errors.PictrawlError, reason: Reason, until: float) -> Deferred:
        """Defer after a request that failed."""
        return Deferred(
            request=state.request,
            until=until,
            reason=reason,
            attempts=state.attempts,
            status=error.status,
            retry_after_s=error.retry_after_s,
            decisions=state.decisions(),
            silence=self._gate.silence(state.origin),
        )

    def _defer_by_host(self, state: FetchState, closed: HostClosedError) -> Deferred:
        """Defer because the host may not be asked now."""
        decisions = state.decisions()
        return Deferred(
            request=state.request,
            until=closed.until,
            reason=closed.reason,
            attempts=state.attempts,
            status=state.status,
            retry_after_s=closed.retry_after_s,
            evidence=decisions.hops[-1].evidence if decisions.robots is RobotsVerdict.UNREACHABLE else None,
            decisions=decisions,
            silence=self._gate.silence(closed.host or state.origin),
        )


def _lane(request: FetchRequest) -> str:
    """Return the queue of a URL: its host."""
    return request.url.partition("://")[2].partition("/")[0].lower()
