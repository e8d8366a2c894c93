"""The only place that builds an httpx transport: httpx's interface over an aiohttp session, every address checked as it is dialled.

httpx's own pool scans all its connections on every event; this one costs a tenth of that at 64 in flight (ADR 0001). Knows nothing
of retries, limits per host or images.
"""

import contextvars
import errno
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import httpx
import yarl
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from multidict import CIMultiDict

import errors
from downloader.models import Network
from downloader.proxy import Proxy, check_proxy
from downloader.reply_head import ReplyHead
from downloader.resolver import CheckedResolver, Lookup, ThreadedResolver, is_own, require_version
from downloader.tls import enable_session_resumption, make_ssl_context
from downloader.url_guard import URLGuard

__all__ = ["GuardedTransport", "IdleConnectionError"]

_DNS_TTL_S: Final = 60
_KEEPALIVE_S: Final = 15.0
_MAX_HEADERS: Final = 200
_MAX_HEADER_BYTES: Final = 32_768

_AUTO_HEADERS: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that aiohttp would add; httpx has set those we want."""

_FOREIGN: Final = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError, RuntimeError, EOFError)
"""What aiohttp raises: its own errors, raw parser errors, ValueErrors of yarl and idna, RuntimeErrors of uvloop."""

_TRANSLATION: Final[tuple[tuple[type[Exception], type[httpx.HTTPError], str], ...]] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout, "connecting took too long"),
    (TimeoutError, httpx.ReadTimeout, "reading took too long"),
    (aiohttp.ClientConnectorError, httpx.ConnectError, "could not connect"),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError, "the server disconnected without sending a response"),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError, "the connection closed without sending the complete message body"),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol, "not a URL that can be requested"),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol, "not a URL that can be requested"),
    (UnicodeError, httpx.UnsupportedProtocol, "not a URL that can be requested"),
    (ValueError, httpx.UnsupportedProtocol, "not a URL that can be requested"),
)
"""First match wins; anything else is a broken connection. The messages are constant: foreign ones quote the URL."""

_REFUSED_BY_PARSER: Final = (aiohttp.ClientResponseError, HttpProcessingError)
_PROLONGED: Final = ("Bad status line", "Data after")
"""What the parser says of bytes after a reply."""

_PROXY_LOGIN: Final = 407
_TOO_MANY_REQUESTS: Final = 429
_ANY_ADDRESS: Final = URLGuard(allow_networks=("0.0.0.0/0", "::/0"))
"""For dialling the operator's own proxy. The hosts behind it are judged by the guard of the URLs."""

_BROKEN: Final = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)


class IdleConnectionError(httpx.ReadError):
    """A connection that had idled in the pool broke before one byte of the reply came: the keep-alive race of RFC 9112 9.3.1."""


@dataclass(slots=True)
class _Call:
    """One request on its way through aiohttp.

    Attributes:
        dials: sockets opened for it; aiohttp races addresses in tasks of their own. 0: its connection came from the pool.
        head: reads the head of its reply; None before the connection is there.
        error: why it failed.
    """

    dials: int = 0
    head: ReplyHead | None = None
    error: aiohttp.ClientError | None = None


_call: contextvars.ContextVar[_Call] = contextvars.ContextVar("call")


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx over aiohttp: no redirects, no cookies, no proxies from the environment, no decoding, TLS verified.

    Args:
        guard: checks every address at the moment it is dialled.
        network: the authorities trusted, the IP version, and the proxy.
        ssl_context: instead of the default one, for private authorities.
        lookup: instead of getaddrinfo; its answers are checked all the same.
        is_own: tells whether a socket address is this machine's.
        dns_ttl_s: how long an answer is used; it is checked at every dial all the same.
    """

    def __init__(
        self,
        guard: URLGuard,
        network: Network = Network(),
        *,
        ssl_context: ssl.SSLContext | None = None,
        lookup: Lookup | None = None,
        is_own: Callable[[int, tuple[Any, ...]], bool] = is_own,
        dns_ttl_s: int = _DNS_TTL_S,
    ) -> None:
        self._guard = guard
        self._network = network
        self._proxy = network.proxy
        self._dial_guard = guard if network.proxy is None or network.proxy.is_socks else _ANY_ADDRESS
        self._is_own = is_own
        self._dns_ttl_s = dns_ttl_s
        self._ssl_context = ssl_context
        if ssl_context is not None:
            enable_session_resumption(ssl_context)
        self._threads = ThreadedResolver() if lookup is None else None
        self._lookup = lookup or self._threads
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the body is streamed.

        Raises:
            httpx.TransportError: the connection or the reply failed; the foreign error is its cause.
            errors.ProtocolError: the reply is not HTTP; the message says what came.
            errors.BlockedAddressError: the address is not allowed.
            errors.ProxyError: the proxy serves nobody.
            errors.ProxyRefusedError: the proxy does not connect to this host.
        """
        session = self._session or self._open()
        timeouts = request.extensions.get("timeout", {})
        call = _Call()
        _call.set(call)
        try:
            response = await session.request(
                request.method,
                _wire_url(request),
                headers=_wire_headers(self._header_lines(request)),
                data=await _content(request),
                allow_redirects=False,
                timeout=_timeout(timeouts.get("connect"), timeouts.get("read"), is_proxied=self._proxy is not None),
                ssl=self._tls() if request.url.scheme == "https" else True,
                **self._through_proxy(),
            )
        except _FOREIGN as exc:
            if self._proxy is not None:
                await _blame_proxy(exc, self._proxy, timeouts.get("connect"))
            raise _translate(exc, call) from exc
        if response.status == _PROXY_LOGIN and self._proxy is not None:
            response.close()
            raise _tunnel_error(self._proxy, _PROXY_LOGIN)
        return httpx.Response(response.status, headers=response.raw_headers, stream=_Body(response, call))

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._threads is not None:
            self._threads.close()

    def _open(self) -> aiohttp.ClientSession:
        """Build the session on the running loop. Its connection limits are off: the gate limits, and a second limit would deadlock."""
        self._session = aiohttp.ClientSession(
            connector=self._make_connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_AUTO_HEADERS,
            auto_decompress=False,
            trust_env=False,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
            max_headers=_MAX_HEADERS,
            middlewares=(_refuse_repeat,),
        )
        return self._session

    def _make_connector(self) -> aiohttp.TCPConnector:
        resolver = CheckedResolver(self._dial_guard, self._lookup, self._network.ip_version) if self._lookup else None
        options: dict[str, Any] = {
            "ttl_dns_cache": self._dns_ttl_s,
            "limit": 0,
            "limit_per_host": 0,
            "keepalive_timeout": _KEEPALIVE_S,
        }
        if self._proxy is None or not self._proxy.is_socks:
            return _Connector(resolver=resolver, socket_factory=self._checked_socket, **options)
        from downloader.socks import SocksConnector

        connector_type = type("_SocksConnector", (_Connector, SocksConnector), {})
        connector: aiohttp.TCPConnector = connector_type(self._proxy, self._check_handed_over, resolver, **options)
        return connector

    def _through_proxy(self) -> dict[str, Any]:
        """Return aiohttp's arguments for an HTTP proxy; the headers are those of a request for a tunnel."""
        if self._proxy is None or self._proxy.is_socks:
            return {}
        return {"proxy": self._proxy.url, "proxy_headers": self._proxy.authorization or None}

    def _header_lines(self, request: httpx.Request) -> tuple[tuple[bytes, bytes], ...]:
        """Return the header lines. An HTTP proxy reads its credentials in a plain http request itself, and does not pass them on."""
        lines = tuple(request.headers.raw)
        if self._proxy is None or self._proxy.is_socks or request.url.scheme == "https":
            return lines
        return (*lines, *((name.encode(), value.encode()) for name, value in self._proxy.authorization.items()))

    def _tls(self) -> ssl.SSLContext:
        """Load the authorities once, and only when they are needed: that takes 50 ms."""
        if self._ssl_context is None:
            self._ssl_context = make_ssl_context(self._network.ca_file)
        return self._ssl_context

    def _checked_socket(self, address: Any) -> socket.socket:
        """Open a socket. aiohttp passes the very address that it dials next, for names and literals alike."""
        family, kind, protocol, _, sockaddr = address
        require_version([str(sockaddr[0])], self._network.ip_version)
        self._dial_guard.check_address(str(sockaddr[0]), own=self._is_own(family, sockaddr))
        _call.get().dials += 1
        return socket.socket(family, kind, protocol)

    def _check_handed_over(self, host: str) -> None:
        """Check what a SOCKS proxy is handed: an address, or a name where it resolves names."""
        assert self._proxy is not None
        if not self._proxy.resolves_names:
            require_version([host], self._network.ip_version)
            self._guard.check_address(host)
        _call.get().dials += 1


class _Connector(aiohttp.TCPConnector):
    """Puts a `ReplyHead` before the parser of each connection that it returns."""

    async def connect(self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout) -> Connection:
        connection = await super().connect(req, traces, timeout)
        assert connection.transport is not None
        assert connection.protocol is not None
        _call.get().head = ReplyHead(connection.transport, connection.protocol)
        return connection


async def _refuse_repeat(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """aiohttp repeats an idempotent request once, unseen. A repeat is an attempt: the retry policy decides on it and counts it."""
    call = _call.get()
    if call.error is not None:
        raise call.error
    try:
        return await handler(request)
    except aiohttp.ClientError as exc:
        call.error = exc
        raise


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse, call: _Call) -> None:
        self._response = response
        self._call = call

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while chunk := await self._response.content.readany():
                yield chunk
        except _FOREIGN as exc:
            raise _translate(exc, self._call) from exc

    async def aclose(self) -> None:
        """Return a finished connection to the pool and close any other: the rest of a body that is not wanted is not read."""
        self._response.close()


async def _content(request: httpx.Request) -> bytes | None:
    if isinstance(request.stream, httpx.ByteStream):  # in memory already, and nearly always empty
        return b"".join(request.stream) or None
    return await request.aread() or None


def _wire_url(request: httpx.Request) -> yarl.URL:
    """Return the URL with path and query in the caller's bytes: httpx and yarl requote them and drop an empty query."""
    target = request.extensions.get("target") or request.url.raw_path
    return yarl.URL.build(
        scheme=request.url.scheme, authority=request.url.netloc.decode("ascii"), path=target.decode("ascii"), encoded=True
    )


@functools.lru_cache(maxsize=4096)
def _wire_headers(lines: tuple[tuple[bytes, bytes], ...]) -> CIMultiDict[str]:
    """Return the headers in aiohttp's type; those of one host's GETs are the same every time."""
    return CIMultiDict(httpx.Headers(lines).multi_items())


@functools.lru_cache(maxsize=64)
def _timeout(connect_s: float | None, read_s: float | None, *, is_proxied: bool) -> aiohttp.ClientTimeout:
    """Behind a proxy the answer to CONNECT counts as connecting."""
    return aiohttp.ClientTimeout(total=None, connect=connect_s if is_proxied else None, sock_connect=connect_s, sock_read=read_s)


def _translate(exc: BaseException, call: _Call) -> httpx.HTTPError | errors.ProtocolError:
    if isinstance(exc, _REFUSED_BY_PARSER):
        return errors.ProtocolError((call.head and call.head.fault) or _refusal(exc))
    if isinstance(exc, _BROKEN) and not call.dials and call.head is not None and call.head.is_empty:
        return IdleConnectionError("the kept-alive connection broke before a reply came")
    for foreign, error_type, message in _TRANSLATION:
        if isinstance(exc, foreign):
            return error_type(message)
    return httpx.ReadError("the connection broke")


def _tunnel_error(proxy: Proxy, status: int) -> Exception:
    """Return what a proxy's refusal of a tunnel (RFC 9110 9.3.6) means: its own failure, its rules, or a host that it cannot reach."""
    if status == _PROXY_LOGIN:
        return proxy.failed("wants other credentials (407)")
    if status >= 500 or status == _TOO_MANY_REQUESTS:
        error = httpx.ConnectError("could not connect")
        error.__cause__ = OSError(errno.EHOSTUNREACH, f"the proxy answered {status}")
        return error
    return errors.ProxyRefusedError(f"the proxy refused a connection to the host ({status})", status=status)


async def _blame_proxy(exc: BaseException, proxy: Proxy, timeout_s: float | None) -> None:
    """Raise where an error is the proxy's, not the host's. Where something took too long the proxy itself is asked.

    Raises:
        errors.ProxyError: the proxy serves nobody.
        errors.ProxyRefusedError: the proxy does not connect to this host.
        httpx.ConnectError: the proxy cannot reach the host.
    """
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        raise _tunnel_error(proxy, exc.status)
    if isinstance(exc, aiohttp.ClientProxyConnectionError):
        raise proxy.unreachable(exc.os_error) from exc
    if isinstance(exc, aiohttp.ClientConnectorDNSError) and not proxy.is_socks:
        raise proxy.failed("has a name without an address") from exc
    if isinstance(exc, TimeoutError):
        await check_proxy(proxy, timeout_s=timeout_s)


def _refusal(exc: BaseException | None) -> str:
    """Say why the HTTP parser refused a reply whose head shows no fault, without what the parser quotes."""
    words = ""
    while exc is not None:
        if isinstance(exc, LineTooLong):
            return f"a header line of the reply has more than {_MAX_HEADER_BYTES} bytes"
        words = words or next(iter(getattr(exc, "message", "").splitlines()), "").rstrip(":")
        exc = exc.__cause__
    if words.startswith(_PROLONGED):
        return "more bytes came than the reply announced"
    return f"the reply is not HTTP: {errors.as_evidence(words, 80) or 'no parser can read it'}"
