"""One attempt: a request with its redirects, read within limits and checked; every foreign error leaves as one of errors.*.

Knows HTTP, the URL guard and the host gate. Does not know whether another attempt will follow.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from http.cookiejar import CookieJar
from typing import Final
from urllib.parse import quote_from_bytes

import httpx

import errors
import errors.classify  # at start: the error path could not load it once file descriptors have run out
from downloader import conditional, host_headers, retry_after, tracing, url_syntax
from downloader.content import Body, coding_of, content_length, content_range
from downloader.fetch_state import FetchState
from downloader.host_headers import HostHeaders
from downloader.limiter.gate import HostGate
from downloader.limiter.store import HostFeedback
from downloader.models import FetchLimits, RetryRules, Validators
from downloader.transport import IdleConnectionError
from downloader.url_guard import Target, URLGuard

__all__ = ["Reply", "RequestOptions", "Requester", "make_client"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NO_BODY: Final = frozenset({204, 205})
_PARTIAL: Final = 206
_GATEWAY_TIMEOUT: Final = 504

_NO_ACCESS: Final = frozenset({401, 403})
_WITHHELD: Final = "; its headers in [hosts] were not sent, because they go over https only (allow_http)"

_LOCATIONS: Final = "pictrawl.locations"
"""Key of a reply's extensions: the values of its Location headers, other bytes than ASCII escaped."""

_ASCII: Final = "".join(map(chr, range(0x80)))

_ACCEPT: Final = "image/jpeg,image/png,image/webp;q=0.9,image/*;q=0.8,*/*;q=0.5"
"""Formats that every loader reads come first. AVIF is left to ``image/*``: many servers send it to whoever names it, at any weight."""

_EMPTY: Final = httpx.ByteStream(b"")

_MAX_HEADERS: Final = 200
_MAX_HEADER_BYTES: Final = 65_536

_FOREIGN: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError, EOFError, ExceptionGroup)
"""Everything that a transport, ours or an injected one, is known to raise."""


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """Options of a request.

    Attributes:
        max_bytes: limit of the body, on the wire and decoded.
        truncate: read the beginning of a longer body instead of refusing it.
        method, content: other than a plain GET.
        headers: sent to the first host only, never to the target of a redirect.
        check_target: awaited for each hop before its slot is taken; raises to refuse it.
        check_headers: called with the headers of each redirect, and of the final reply before its body is read; raises to refuse it.
        on_reply: called with the status and headers of each reply but redirects, refusals included.
        min_redirects: redirects followed where ``fetch.max_redirects`` allows fewer.
        validators: make the request of their URL conditional; then 304 is a success.
    """

    max_bytes: int
    truncate: bool = False
    method: str = "GET"
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    check_target: Callable[[Target, FetchState], Awaitable[None]] | None = None
    check_headers: Callable[[httpx.Headers, FetchState], None] | None = None
    on_reply: Callable[[int, httpx.Headers], None] | None = None
    min_redirects: int = 0
    validators: Validators | None = None

    def for_redirect(self) -> "RequestOptions":
        """Return the options of a later hop: a GET without the caller's headers and content."""
        return replace(self, method="GET", content=None, headers={})


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful reply with its whole body; 304 has none."""

    status: int
    url: str
    headers: httpx.Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class _Redirect:
    """Where a reply sends us, and the least wait before that."""

    location: str
    retry_after_s: float | None


class _EmptyCookieJar(CookieJar):
    """Keeps no cookie. It does not read Set-Cookie either, which costs more than a policy that refuses all cookies."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Ignore the reply's cookies."""


def make_client(transport: httpx.AsyncBaseTransport, limits: FetchLimits, user_agent: str) -> httpx.AsyncClient:
    """Build the HTTP client: no cookies, nothing from the environment, and redirects left to `Requester`."""
    return httpx.AsyncClient(
        transport=transport,
        headers={"User-Agent": user_agent, "Accept": _ACCEPT, "Accept-Encoding": "identity"},
        cookies=_EmptyCookieJar(),
        timeout=httpx.Timeout(limits.read_timeout_s, connect=limits.connect_timeout_s),
        event_hooks={"response": [_move_location]},
        trust_env=False,
    )


async def _move_location(response: httpx.Response) -> None:
    """Move Location out of httpx's sight: it parses the target of a redirect that it does not follow, and raises where it cannot.

    As in browsers, the bytes are those of the URL: httpx would guess one encoding for all headers of a reply.
    """
    if response.status_code in _REDIRECTS:
        values = [value for name, value in response.headers.raw if name.lower() == b"location"]
        response.extensions[_LOCATIONS] = [quote_from_bytes(value, safe=_ASCII) for value in values]
        response.headers.pop("location", None)


class Requester:
    """Sends requests for one downloader.

    Args:
        client: with our User-Agent, without cookies and environment.
        hosts: further headers of some hosts.
        clock: Unix time, for Retry-After dates and the gate.
        sleep: passes the time between a redirect and its next hop, where Retry-After asks for it.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        guard: URLGuard,
        gate: HostGate,
        limits: FetchLimits,
        rules: RetryRules,
        *,
        hosts: HostHeaders = HostHeaders({}),
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._client = client
        self._header_lines = client.headers.raw
        self._guard = guard
        self._gate = gate
        self._limits = limits
        self._rules = rules
        self._hosts = hosts
        self._clock = clock
        self._sleep = sleep

    async def send(self, state: FetchState, options: RequestOptions) -> Reply:
        """Request the URL of ``state``, following redirects, within ``attempt_timeout_s`` of active time.

        Raises:
            errors.PictrawlError: the reply is no success; transient where another attempt may help.
            HostClosedError: the host may not be asked now.
        """
        state.status, state.url, state.queued_s, state.is_idle_break = None, None, 0.0, False
        time_left_s = min(self._limits.attempt_timeout_s, state.time_left_s)
        target = self._guard.check_url(state.request.url)
        seen: set[str] = set()
        while True:
            if target.url in seen:
                raise errors.RedirectError("the redirects go round in a circle", status=state.status)
            is_first_hop = not seen
            seen.add(target.url)
            state.url, state.origin = target.url, target.origin
            if options.check_target is not None:
                await options.check_target(target, state)
            left_before_s = state.time_left_s
            reply = await self._send_hop(target, state, options, time_left_s, is_first_hop=is_first_hop)
            if isinstance(reply, Reply):
                return reply
            max_redirects = max(self._limits.max_redirects, options.min_redirects)
            if len(seen) > max_redirects:
                raise errors.RedirectError(f"more than {max_redirects} redirects", status=state.status)
            time_left_s -= left_before_s - state.time_left_s
            await self._wait_retry_after(reply, state)
            target, options = self._follow(target, reply, state), options.for_redirect() if is_first_hop else options

    def _follow(self, base: Target, redirect: _Redirect, state: FetchState) -> Target:
        try:
            return self._guard.check_url(url_syntax.resolve(base.url, redirect.location))
        except errors.InvalidURLError as exc:
            message = f"the redirect leads to no usable URL: {exc.message}"
            raise errors.RedirectError(message, status=state.status, evidence=exc.evidence) from exc

    async def _wait_retry_after(self, redirect: _Redirect, state: FetchState) -> None:
        """RFC 9110 10.2.3: with a redirect Retry-After is the least time before the next hop; the host itself is not blocked."""
        wait_s = redirect.retry_after_s or 0.0
        if wait_s > self._rules.inline_wait_max_s:
            raise errors.ServiceUnavailableError("the redirect asks for a long wait", status=state.status, retry_after_s=wait_s)
        if wait_s:
            state.spend_time(wait_s)
            await self._sleep(wait_s)

    async def _send_hop(
        self, target: Target, state: FetchState, options: RequestOptions, time_left_s: float, *, is_first_hop: bool
    ) -> Reply | _Redirect:
        """Wait for a slot, then send one request within the time that is left."""
        loop = asyncio.get_running_loop()
        queued_at = loop.time()
        async with self._gate.slot(target, waited_until=state.waited_until) as feedback:
            state.queued_s += loop.time() - queued_at
            if is_first_hop:
                await state.reserve()
            started = loop.time()
            try:
                with tracing.request_span(options.method, target, sent=state.sent, queued_s=state.queued_s):
                    async with asyncio.timeout(max(time_left_s, 0)):
                        return await self._exchange(target, state, options, feedback)
            except TimeoutError as exc:
                feedback.overloaded()
                raise errors.TimeoutException(f"no complete reply within {time_left_s:.3g} s", status=state.status) from exc
            finally:
                state.sent += 1
                state.spend_time(loop.time() - started)

    async def _exchange(self, target: Target, state: FetchState, options: RequestOptions, feedback: HostFeedback) -> Reply | _Redirect:
        """Send one request, read its reply, and report to the gate how it went."""
        try:
            answer = await self._send_and_read(target, state, options, feedback)
        except _FOREIGN as exc:
            error = errors.from_network_error(exc, target.url)
            state.is_idle_break = isinstance(exc, IdleConnectionError)
            _report_failure(feedback, exc, error)
            try:
                raise error from error.__cause__
            finally:
                del error  # the traceback holds this frame, the frame must not hold the error
        except (errors.RateLimitError, errors.ServiceUnavailableError) as error:
            self._report_refusal(feedback, state, error)
            raise
        except errors.PermanentError:
            feedback.succeeded()
            raise
        feedback.succeeded()
        return answer

    async def _send_and_read(self, target: Target, state: FetchState, options: RequestOptions, feedback: HostFeedback) -> Reply | _Redirect:
        response = await self._client.send(self._build(target, options), stream=True, auth=None, follow_redirects=False)
        try:
            feedback.replied(response.status_code)
            state.status = response.status_code
            tracing.set_status(response.status_code)
            _check_header_size(response.headers)
            is_redirect = response.status_code in _REDIRECTS
            if not is_redirect:
                if options.on_reply is not None:
                    options.on_reply(response.status_code, response.headers)
                self._check_status(response, target, options)
            if options.check_headers is not None:
                options.check_headers(response.headers, state)
            if is_redirect:
                return _Redirect(_location_of(response), self._retry_after_s(response))
            body = await _read_body(response, options) if response.status_code != conditional.NOT_MODIFIED else b""
            return Reply(response.status_code, target.url, response.headers, body)
        finally:
            await response.aclose()
            response.stream = _EMPTY  # httpx's stream refers to its response: a cycle that only the collector would end

    def _build(self, target: Target, options: RequestOptions) -> httpx.Request:
        """Build a request; a plain GET, nearly every request, from header lines that are ready: that takes a sixth of the time."""
        extensions = {"target": target.path.encode("ascii")}  # the path's own bytes, where httpx would escape some
        conditions = conditional.header_lines(options.validators, target.url)
        own = self._hosts.lines(target)
        if options.headers or options.content is not None or options.method != "GET":
            headers, content = [*host_headers.merge(own, httpx.Headers(options.headers).raw), *conditions], options.content
            return self._client.build_request(options.method, target.parsed, headers=headers, content=content, extensions=extensions)
        lines = [(b"Host", target.parsed.netloc), *host_headers.merge(self._header_lines, own), *conditions]
        return httpx.Request("GET", target.parsed, headers=lines, stream=_EMPTY, extensions=extensions)

    def _check_status(self, response: httpx.Response, target: Target, options: RequestOptions) -> None:
        status = response.status_code
        if 400 <= status <= 599:
            wait_s = self._retry_after_s(response)
            note = _WITHHELD if status in _NO_ACCESS and self._hosts.withholds(target) else ""
            raise errors.from_status(status, target.url, retry_after_s=wait_s, extra_statuses=self._rules.extra_statuses, note=note)
        if status in _NO_BODY:
            raise errors.EmptyBodyError(f"the origin answered {status}", status=status)
        if status == conditional.NOT_MODIFIED and conditional.header_lines(options.validators, target.url):
            return
        if 300 <= status <= 399 and status != conditional.NOT_MODIFIED:
            raise errors.RedirectError(f"the origin answered {status}, which names no one place to go", status=status)
        if status == _PARTIAL:
            _check_range(response)
        if not 200 <= status <= 299:
            raise errors.ProtocolError(f"the origin answered {status}, which was not asked for", status=status)

    def _retry_after_s(self, response: httpx.Response) -> float | None:
        return retry_after.parse(response.headers.get_list("retry-after"), date=response.headers.get("date"), now=self._clock())

    def _report_refusal(self, feedback: HostFeedback, state: FetchState, error: errors.TransientError) -> None:
        """Block the host for an honoured Retry-After; the URL that received it waits by its own retry policy.

        A Retry-After over the cap fails its own URL only: one reply does not close a host.
        """
        wait_s = error.retry_after_s
        if error.status == _GATEWAY_TIMEOUT or (wait_s is not None and wait_s > self._rules.retry_after_max_s):
            feedback.overloaded()
            return
        if wait_s is not None:
            until = self._clock() + wait_s
            feedback.block_until(until, error.slug)
            state.waited_until = max(state.waited_until, until)
        feedback.refused(error.slug, wait_s)


def _report_failure(feedback: HostFeedback, exc: BaseException, error: errors.PictrawlError) -> None:
    """Count connections that failed for a passing reason; faults of this machine do not count."""
    if not isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        if isinstance(error, errors.TimeoutException):
            feedback.overloaded()
        elif isinstance(error, errors.NetworkError):
            feedback.cut_off()
        else:
            feedback.connected()
    elif isinstance(error, errors.TransientError):
        feedback.unreachable()


def _location_of(response: httpx.Response) -> str:
    values: list[str] = response.extensions[_LOCATIONS]
    found = {value.strip() for value in values}
    if len(found) != 1 or not (location := found.pop()):
        raise errors.RedirectError("a redirect without one usable Location", status=response.status_code)
    return location


def _check_header_size(headers: httpx.Headers) -> None:
    lines = headers.raw
    size_bytes = sum([len(name) + len(value) for name, value in lines])
    if len(lines) > _MAX_HEADERS or size_bytes > _MAX_HEADER_BYTES:
        raise errors.ProtocolError("too many or too large reply headers")


def _check_range(response: httpx.Response) -> None:
    """Take a 206 only for the whole file: we ask for no range."""
    value = response.headers.get("content-range", "")
    part = content_range(value)
    if part is None or not part.is_whole:
        evidence = errors.as_evidence(f"content-range: {value}") if value else None
        raise errors.ProtocolError("the origin answered 206, a part of the file, which was not asked for", status=206, evidence=evidence)


def _check_whole(response: httpx.Response, size_bytes: int) -> None:
    """Refuse a part of a file in the place of the whole, by what Content-Range says of its size.

    Args:
        size_bytes: of the body on the wire.
    """
    value = response.headers.get("content-range", "")
    part = content_range(value) if value else None
    if part is None or size_bytes == part.total:
        return
    if response.status_code == _PARTIAL:
        raise errors.TruncatedBodyError(f"{size_bytes} bytes came of {part.total}", status=_PARTIAL)
    if size_bytes == part.last - part.first + 1:
        message = f"only a part of the file came: {size_bytes} of {part.total} bytes"
        raise errors.ProtocolError(message, status=response.status_code, evidence=errors.as_evidence(f"content-range: {value}"))


async def _read_body(response: httpx.Response, options: RequestOptions) -> bytes:
    length_bytes = content_length(response.headers.get("content-length", ""))
    body = Body(coding_of(response.headers.get_list("content-encoding")), options.max_bytes, length_bytes)
    if length_bytes > options.max_bytes and not options.truncate:
        raise errors.TooLargeError(f"more than {options.max_bytes} bytes announced", status=response.status_code)
    # response.stream, not aiter_raw(): httpx counts a mocked reply as read before anyone reads it.
    async for chunk in response.stream:  # type: ignore[union-attr]
        try:
            body.feed(chunk)
        except errors.TooLargeError:
            if options.truncate:
                return body.kept()
            raise
    whole = body.finish()
    _check_whole(response, body.wire_bytes)
    return whole
