"""The only place that builds an httpx transport: httpx's interface over aiohttp's connections, every address checked as it is dialled.

httpx's own pool scans all its connections on every event; this one costs a tenth of that at 64 in flight (docs/adr). Knows nothing of
retries, limits per host or images.
"""

import asyncio
import contextvars
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import aiohttp
import httpx
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict

from downloader.guard import Guard
from downloader.names import Lookup, PooledLookup, is_own
from downloader.tls_sessions import take_up_sessions

__all__ = ["GuardedTransport"]

_DNS_TTL_S: Final = 60
_KEEPALIVE_S: Final = 15.0
_MAX_HEADERS: Final = 200
_MAX_HEADER_BYTES: Final = 32_768
_READING: Final[dict[str, Any]] = {
    "auto_decompress": False,
    "max_line_size": _MAX_HEADER_BYTES,
    "max_field_size": _MAX_HEADER_BYTES,
    "max_headers": _MAX_HEADERS,
}
"""How aiohttp reads a reply."""

_SCHEMES: Final = frozenset({"http", "https"})
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110 9.2.2."""

_NOT_ADDED: Final[CIMultiDict[None]] = CIMultiDict([("Content-Type", None)])
"""What aiohttp would say of a body by itself."""

_FOREIGN: Final = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError, RuntimeError, EOFError)
"""What aiohttp lets through: its own errors, raw parser errors, yarl's and idna's ValueErrors, uvloop's RuntimeErrors."""

_TRANSLATION: Final[tuple[tuple[type[Exception], type[httpx.HTTPError], str], ...]] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout, "connecting took too long"),
    (TimeoutError, httpx.ReadTimeout, "reading took too long"),
    (aiohttp.ClientConnectorError, httpx.ConnectError, "could not connect"),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError, "the server disconnected without sending a response"),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError, "the connection closed without sending the complete message body"),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError, "the reply is not HTTP"),
    (HttpProcessingError, httpx.RemoteProtocolError, "the reply is not HTTP"),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol, "not a URL that can be requested"),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol, "not a URL that can be requested"),
    (UnicodeError, httpx.UnsupportedProtocol, "not a URL that can be requested"),
    (ValueError, httpx.UnsupportedProtocol, "not a URL that can be requested"),
)
"""First match wins; anything else is a broken connection. The message is constant: foreign ones quote the URL."""


_dials: contextvars.ContextVar[list[str]] = contextvars.ContextVar("dials")
"""The addresses dialled for the request in hand; a list, because aiohttp races addresses in tasks of their own."""


class _Request(aiohttp.ClientRequest):
    """Goes out with the headers it is given and none of aiohttp's own."""

    def update_headers(self, headers: Any) -> None:
        self.headers = headers

    def update_auto_headers(self, skip_auto_headers: Any) -> None:
        self._skip_auto_headers = _NOT_ADDED


class _Resolver(AbstractResolver):
    """Refuses a name if any of its answers may not be dialled: picking the good ones would let an attacker retry until one slips."""

    def __init__(self, guard: Guard, lookup: Lookup) -> None:
        self._guard = guard
        self._lookup = lookup

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        addresses = await self._lookup(host)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        for address in addresses:
            self._guard.check_address(address)
        return [_result(host, address, port) for address in addresses]

    async def close(self) -> None:
        """Nothing of its own to close."""


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx over aiohttp: no redirects, no cookies, no proxies from the environment, no decoding, TLS verified.

    Args:
        guard: asked about every address, at the moment it is dialled.
        ssl_context: instead of the default one, for private authorities.
        lookup: instead of getaddrinfo; its answers are checked all the same.
        is_own: tells whether a socket address is this machine's.
        dns_ttl_s: how long an answer is used; it is checked at every dial all the same.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        ssl_context: ssl.SSLContext | None = None,
        lookup: Lookup | None = None,
        is_own: Callable[[int, tuple[Any, ...]], bool] = is_own,
        dns_ttl_s: int = _DNS_TTL_S,
    ) -> None:
        self._guard = guard
        self._is_own = is_own
        self._dns_ttl_s = dns_ttl_s
        self._ssl_context = ssl_context
        if ssl_context is not None:
            take_up_sessions(ssl_context)
        self._pooled = PooledLookup() if lookup is None else None
        self._lookup = lookup or self._pooled
        self._connector: aiohttp.TCPConnector | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the body is streamed.

        Raises:
            httpx.TransportError: the connection or the reply failed; the foreign error is its cause.
            errors.BlockedAddressError: the address may not be dialled.
        """
        _dials.set([])
        try:
            response = await self._ask(request, await _content(request))
        except _FOREIGN as exc:
            raise _translate(exc) from exc
        return httpx.Response(response.status, headers=response.raw_headers, stream=_Body(response))

    async def aclose(self) -> None:
        if self._connector is not None:
            await self._connector.close()
            self._connector = None
        if self._pooled is not None:
            self._pooled.close()

    async def _ask(self, request: httpx.Request, content: bytes | None) -> aiohttp.ClientResponse:
        """Repeat a request once whose connection had idled in the pool and broke: its server may have closed it long ago.

        For a connection that was dialled for this very request that would be a hidden attempt.
        """
        try:
            return await self._exchange(request, content)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            if _dials.get() or request.method not in _IDEMPOTENT:
                raise
        return await self._exchange(request, content)

    async def _exchange(self, request: httpx.Request, content: bytes | None) -> aiohttp.ClientResponse:
        """Send a request and read the reply's head, as `aiohttp.ClientSession` does it: of what else that does nothing is wanted here."""
        timeouts = request.extensions.get("timeout", {})
        asked = self._request(request, content)
        connection = await self._connection(asked, timeouts.get("connect"))
        try:
            protocol = connection.protocol
            assert protocol is not None
            protocol.set_response_params(
                skip_payload=request.method == "HEAD", read_until_eof=True, read_timeout=timeouts.get("read"), **_READING
            )
            response = await asked.send(connection)
            try:
                return await response.start(connection)
            except BaseException:
                response.close()
                raise
        except BaseException:
            connection.close()
            raise

    def _request(self, request: httpx.Request, content: bytes | None) -> _Request:
        url = request.url
        if url.scheme not in _SCHEMES:
            raise aiohttp.NonHttpUrlClientError(url.scheme)
        return _Request(
            request.method,
            _wire_url(request),
            headers=_wire_headers(tuple(request.headers.raw)).copy(),
            data=content,
            ssl=self._tls() if url.scheme == "https" else True,
            loop=asyncio.get_running_loop(),
        )

    async def _connection(self, request: _Request, timeout_s: float | None) -> aiohttp.connector.Connection:
        connector = self._connector or self._open()
        try:
            return await connector.connect(request, [], _connecting(timeout_s))
        except TimeoutError as exc:
            raise aiohttp.ConnectionTimeoutError from exc

    def _open(self) -> aiohttp.TCPConnector:
        """Build the pool on the running loop. Limits are off: the gate keeps them, and would deadlock with a second set."""
        self._connector = aiohttp.TCPConnector(
            resolver=_Resolver(self._guard, self._lookup) if self._lookup else None,
            ttl_dns_cache=self._dns_ttl_s,
            limit=0,
            limit_per_host=0,
            keepalive_timeout=_KEEPALIVE_S,
            socket_factory=self._checked_socket,
        )
        return self._connector

    def _tls(self) -> ssl.SSLContext:
        """Load the authorities once, and only when they are needed: that takes 50 ms."""
        if self._ssl_context is None:
            self._ssl_context = httpx.create_ssl_context()
            self._ssl_context.set_alpn_protocols(["http/1.1"])
            take_up_sessions(self._ssl_context)
        return self._ssl_context

    def _checked_socket(self, address: Any) -> socket.socket:
        """Called by aiohttp with the very address it dials next, for names and literals alike."""
        family, kind, protocol, _, where = address
        self._guard.check_address(str(where[0]), own=self._is_own(family, where))
        _dials.get().append(str(where[0]))
        return socket.socket(family, kind, protocol)


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while chunk := await self._response.content.readany():
                yield chunk
        except _FOREIGN as exc:
            raise _translate(exc) from exc

    async def aclose(self) -> None:
        """Give a finished connection back to the pool, close any other: a body left unread must not be read on."""
        self._response.close()


async def _content(request: httpx.Request) -> bytes | None:
    if isinstance(request.stream, httpx.ByteStream):  # in memory already, and empty nearly always
        return b"".join(request.stream) or None
    return await request.aread() or None


def _wire_url(request: httpx.Request) -> yarl.URL:
    """The URL with path and query, as one, in the caller's bytes: httpx and yarl requote them and drop an empty query."""
    target = request.extensions.get("target") or request.url.raw_path
    return yarl.URL.build(
        scheme=request.url.scheme, authority=request.url.netloc.decode("ascii"), path=target.decode("ascii"), encoded=True
    )


@functools.lru_cache(maxsize=4096)
def _wire_headers(lines: tuple[tuple[bytes, bytes], ...]) -> CIMultiDict[str]:
    """Headers as aiohttp takes them; those of one host's GETs are the same every time."""
    return CIMultiDict(httpx.Headers(lines).multi_items())


@functools.lru_cache(maxsize=64)
def _connecting(timeout_s: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=timeout_s)


def _translate(exc: BaseException) -> httpx.HTTPError:
    for foreign, error_type, message in _TRANSLATION:
        if isinstance(exc, foreign):
            return error_type(message)
    return httpx.ReadError("the connection broke")
