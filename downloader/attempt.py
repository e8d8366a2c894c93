"""ONE attempt: a GET with its redirects, streamed, counted and checked; every foreign error leaves as one of errors.*.

Knows HTTP, the guard and the gate; must not know whether somebody will try again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx

import errors
import errors.classify  # now: once descriptors run out, the error path could not load it
from downloader import retry_after, telling
from downloader.guard import Guard, Target, resolve_location
from downloader.hosts import HostGate
from downloader.records import FetchLimits, RetryRules
from downloader.replies import check_header_size, location_of, read_body
from downloader.visits import Visit

__all__ = ["Errand", "Reply", "Requester", "Terms", "any_headers"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NO_BODY: Final = frozenset({204, 205})
_GATEWAY_TIMEOUT: Final = 504

_EMPTY: Final = httpx.ByteStream(b"")

_FOREIGN: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError, EOFError, ExceptionGroup)
"""All that a transport, ours or an injected one, is known to let through."""


@dataclass(slots=True)
class Errand:
    """What is kept of one URL over its attempts.

    Attributes:
        active_left_s: what remains of ``url_deadline_s``; waiting for a slot does not count.
        queued_s: seconds the current attempt has waited for places at its hosts.
        waited_until: Unix time up to which this URL has waited, for its hosts' Retry-After or its own backoff.
        status: status of the last reply of the current attempt.
        url: the URL of the current hop.
        sent: requests that went out for it, in earlier runs too.
    """

    active_left_s: float
    waited_until: float = 0.0
    queued_s: float = 0.0
    status: int | None = None
    url: str | None = None
    sent: int = 0


async def _go(_: Target) -> None:
    return


async def _no_reservation() -> None:
    return


def any_headers(_: httpx.Headers) -> None:
    """Refuse nothing."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the caller asks of a request.

    Attributes:
        max_bytes: bound of the body, on the wire and unpacked.
        truncate: take the beginning of a longer body instead of refusing it.
        headers: sent to the first host only, never to another one that it redirects to.
        admit: awaited with every hop before its slot is taken; raises to refuse it.
        before_dial: awaited once, in the first hop's slot, right before the request.
        inspect: called with the final reply's headers before its body is read; raises to refuse it.
        method, content: other than a plain GET.
    """

    max_bytes: int
    truncate: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    admit: Callable[[Target], Awaitable[None]] = _go
    before_dial: Callable[[], Awaitable[None]] = _no_reservation
    inspect: Callable[[httpx.Headers], None] = any_headers
    method: str = "GET"
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful reply, whole."""

    status: int
    url: str
    headers: httpx.Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class _Redirect:
    """Where a reply sends us, and how much later."""

    location: str
    retry_after_s: float | None


class Requester:
    """Sends requests for one downloader.

    Args:
        client: with our User-Agent, without redirects, cookies or environment.
        clock: Unix time, for Retry-After dates and the gate.
        sleep: passes the time between a redirect and its next hop, where Retry-After asks for it.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        guard: Guard,
        gate: HostGate,
        limits: FetchLimits,
        rules: RetryRules,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._client = client
        self._timeout = client.timeout.as_dict()
        self._lines = client.headers.raw
        self._guard = guard
        self._gate = gate
        self._limits = limits
        self._rules = rules
        self._clock = clock
        self._sleep = sleep

    async def send(self, url: str, errand: Errand, terms: Terms) -> Reply:
        """Request a URL, following redirects, within ``attempt_timeout_s`` of active time.

        Raises:
            errors.PictrawlError: anything that keeps the reply from being a success; transient where another attempt may help.
            Deferral: the host is closed.
        """
        errand.status, errand.url, errand.queued_s = None, None, 0.0
        time_left_s = min(self._limits.attempt_timeout_s, errand.active_left_s)
        target = self._guard.check_url(url)
        seen: set[str] = set()
        while True:
            if target.url in seen:
                raise errors.RedirectError("the redirects go round in a circle", status=errand.status)
            seen.add(target.url)
            errand.url = target.url
            await terms.admit(target)
            left_before_s = errand.active_left_s
            reply = await self._hop(target, errand, _for_hop(terms, target, seen), time_left_s)
            if isinstance(reply, Reply):
                return reply
            if len(seen) > self._limits.max_redirects:
                raise errors.RedirectError(f"more than {self._limits.max_redirects} redirects", status=errand.status)
            time_left_s -= left_before_s - errand.active_left_s
            await self._be_patient(reply, errand)
            target = self._follow(target, reply, errand)

    def _follow(self, base: Target, redirect: _Redirect, errand: Errand) -> Target:
        try:
            return self._guard.check_url(resolve_location(base.url, redirect.location))
        except errors.InvalidURLError as exc:
            words = f"the redirect leads to no usable URL: {exc.message}"
            raise errors.RedirectError(words, status=errand.status, evidence=exc.evidence) from exc

    async def _be_patient(self, redirect: _Redirect, errand: Errand) -> None:
        """RFC 9110 10.2.3: with a redirect Retry-After is the least time before the next hop; the host itself stays open."""
        wait_s = redirect.retry_after_s or 0.0
        if wait_s > self._rules.inline_wait_max_s:
            raise errors.ServiceUnavailableError("the redirect asks for patience", status=errand.status, retry_after_s=wait_s)
        if wait_s:
            errand.active_left_s -= wait_s
            await self._sleep(wait_s)

    async def _hop(self, target: Target, errand: Errand, terms: Terms, time_left_s: float) -> Reply | _Redirect:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        async with self._gate.slot(target, waited_until=errand.waited_until) as visit:
            errand.queued_s += loop.time() - asked
            await terms.before_dial()
            started = loop.time()
            try:
                with telling.request_span(terms.method, target, sent=errand.sent, queued_s=errand.queued_s):
                    return await self._in_time(target, errand, terms, visit, time_left_s)
            finally:
                errand.sent += 1
                errand.active_left_s -= loop.time() - started

    async def _in_time(self, target: Target, errand: Errand, terms: Terms, visit: Visit, time_left_s: float) -> Reply | _Redirect:
        try:
            async with asyncio.timeout(max(time_left_s, 0)):
                return await self._exchange(target, errand, terms, visit)
        except TimeoutError as exc:
            visit.stalled()
            raise errors.TimeoutException(f"no complete reply within {time_left_s:.3g} s", status=errand.status) from exc

    async def _exchange(self, target: Target, errand: Errand, terms: Terms, visit: Visit) -> Reply | _Redirect:
        try:
            answer = await self._send_and_read(target, errand, terms, visit)
        except _FOREIGN as exc:
            error = errors.from_network_error(exc, target.url)
            _tell_of_failure(visit, exc, error)
            try:
                raise error from error.__cause__
            finally:
                del error  # the traceback holds this frame, the frame must not hold the error
        except (errors.RateLimitError, errors.ServiceUnavailableError) as error:
            self._tell_of_refusal(visit, errand, error)
            raise
        except errors.PermanentError:
            visit.accepted()
            raise
        visit.accepted()
        return answer

    async def _send_and_read(self, target: Target, errand: Errand, terms: Terms, visit: Visit) -> Reply | _Redirect:
        response = await self._client.send(self._request(target, terms), stream=True)
        try:
            visit.connected()
            errand.status = response.status_code
            telling.answered(response.status_code)
            check_header_size(response.headers)
            if response.status_code in _REDIRECTS:
                return _Redirect(location_of(response), self._asked_wait_s(response))
            self._check_status(response, target)
            terms.inspect(response.headers)
            body = await read_body(response, terms.max_bytes, truncate=terms.truncate)
            return Reply(response.status_code, target.url, response.headers, body)
        finally:
            await response.stream.aclose()  # type: ignore[union-attr]

    def _request(self, target: Target, terms: Terms) -> httpx.Request:
        """Build a request as the client would; the plain GETs, nearly all there are, at a third of the cost."""
        extensions = {"target": target.path.encode("ascii"), "timeout": self._timeout}
        if terms.headers or terms.content is not None or terms.method != "GET":
            headers, content = terms.headers, terms.content
            return self._client.build_request(terms.method, target.parsed, headers=headers, content=content, extensions=extensions)
        lines = [(b"Host", target.parsed.netloc), *self._lines]
        return httpx.Request("GET", target.parsed, headers=lines, stream=_EMPTY, extensions=extensions)

    def _check_status(self, response: httpx.Response, target: Target) -> None:
        status = response.status_code
        if 400 <= status <= 599:
            wait_s = self._asked_wait_s(response)
            raise errors.from_status(status, target.url, retry_after_s=wait_s, extra_statuses=self._rules.extra_statuses)
        if status in _NO_BODY:
            raise errors.EmptyBodyError(f"the origin answered {status}", status=status)
        if 300 <= status <= 399 and status != 304:
            raise errors.RedirectError(f"the origin answered {status}, which names no one place to go", status=status)
        if status == 206 or not 200 <= status <= 299:
            raise errors.ProtocolError(f"the origin answered {status}, which was not asked for", status=status)

    def _asked_wait_s(self, response: httpx.Response) -> float | None:
        return retry_after.parse(response.headers.get_list("retry-after"), date=response.headers.get("date"), now=self._clock())

    def _tell_of_refusal(self, visit: Visit, errand: Errand, error: errors.TransientError) -> None:
        """A Retry-After that is honoured holds for every URL of the host; the one that got it waits by its own policy.

        One beyond the cap fails its own URL and no other: a host is not given up on the word of one reply.
        """
        wait_s = error.retry_after_s
        if error.status == _GATEWAY_TIMEOUT or (wait_s is not None and wait_s > self._rules.retry_after_max_s):
            visit.stalled()
            return
        if wait_s is not None:
            until = self._clock() + wait_s
            visit.close(until, error.slug)
            errand.waited_until = max(errand.waited_until, until)
        visit.refused(error.slug, wait_s)


def _tell_of_failure(visit: Visit, exc: BaseException, error: errors.PictrawlError) -> None:
    """Count what never became a connection, and only where another time may go better; our own faults count for nothing."""
    if not isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        visit.connected()
        if isinstance(error, errors.TimeoutException):
            visit.stalled()
    elif isinstance(error, errors.TransientError):
        visit.unreachable()


def _for_hop(terms: Terms, target: Target, seen: set[str]) -> Terms:
    """The first request goes out as asked; later hops are neither reserved again nor given the caller's headers or content."""
    if len(seen) == 1:
        return terms
    return Terms(terms.max_bytes, truncate=terms.truncate, inspect=terms.inspect)
