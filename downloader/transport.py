"""The only place that builds an httpx transport: httpx's interface over an aiohttp session, every address checked as it is dialled.

httpx's own pool scans all its connections on every event; this one costs a tenth of that at 64 in flight (ADR 0001). Also resumes TLS
sessions. Knows nothing of retries, limits per host or images.
"""

import contextvars
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import aiohttp
import httpx
import yarl
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from multidict import CIMultiDict

import errors
from downloader.lru import LRUDict
from downloader.reply_head import ReplyHead
from downloader.resolver import CheckedResolver, Lookup, ThreadedResolver, is_own
from downloader.url_guard import URLGuard

__all__ = ["GuardedTransport", "IdleConnectionError", "enable_session_resumption"]

_DNS_TTL_S: Final = 60
_KEEPALIVE_S: Final = 15.0
_MAX_HEADERS: Final = 200
_MAX_HEADER_BYTES: Final = 32_768
_MAX_TLS_SESSIONS: Final = 1000

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
        ssl_context: instead of the default one, for private authorities.
        lookup: instead of getaddrinfo; its answers are checked all the same.
        is_own: tells whether a socket address is this machine's.
        dns_ttl_s: how long an answer is used; it is checked at every dial all the same.
    """

    def __init__(
        self,
        guard: URLGuard,
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
        """
        session = self._session or self._open()
        timeouts = request.extensions.get("timeout", {})
        call = _Call()
        _call.set(call)
        try:
            response = await session.request(
                request.method,
                _wire_url(request),
                headers=_wire_headers(tuple(request.headers.raw)),
                data=await _content(request),
                allow_redirects=False,
                timeout=_timeout(timeouts.get("connect"), timeouts.get("read")),
                ssl=self._tls() if request.url.scheme == "https" else True,
            )
        except _FOREIGN as exc:
            raise _translate(exc, call) from exc
        return httpx.Response(response.status, headers=response.raw_headers, stream=_Body(response, call))

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._threads is not None:
            self._threads.close()

    def _open(self) -> aiohttp.ClientSession:
        """Build the session on the running loop. Its connection limits are off: the gate limits, and a second limit would deadlock."""
        connector = _Connector(
            resolver=CheckedResolver(self._guard, self._lookup) if self._lookup else None,
            ttl_dns_cache=self._dns_ttl_s,
            limit=0,
            limit_per_host=0,
            keepalive_timeout=_KEEPALIVE_S,
            socket_factory=self._checked_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
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

    def _tls(self) -> ssl.SSLContext:
        """Load the authorities once, and only when they are needed: that takes 50 ms."""
        if self._ssl_context is None:
            self._ssl_context = httpx.create_ssl_context()
            self._ssl_context.set_alpn_protocols(["http/1.1"])
            enable_session_resumption(self._ssl_context)
        return self._ssl_context

    def _checked_socket(self, address: Any) -> socket.socket:
        """Open a socket. aiohttp passes the very address that it dials next, for names and literals alike."""
        family, kind, protocol, _, sockaddr = address
        self._guard.check_address(str(sockaddr[0]), own=self._is_own(family, sockaddr))
        _call.get().dials += 1
        return socket.socket(family, kind, protocol)


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
def _timeout(connect_s: float | None, read_s: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=connect_s, sock_read=read_s)


def _translate(exc: BaseException, call: _Call) -> httpx.HTTPError | errors.ProtocolError:
    if isinstance(exc, _REFUSED_BY_PARSER):
        return errors.ProtocolError((call.head and call.head.fault) or _refusal(exc))
    if isinstance(exc, _BROKEN) and not call.dials and call.head is not None and call.head.is_empty:
        return IdleConnectionError("the kept-alive connection broke before a reply came")
    for foreign, error_type, message in _TRANSLATION:
        if isinstance(exc, foreign):
            return error_type(message)
    return httpx.ReadError("the connection broke")


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


def enable_session_resumption(context: ssl.SSLContext) -> None:
    """Make the client connections of a context resume earlier TLS sessions with the same host.

    A second connection then costs no certificate and no signature. The host was verified by name when the session was agreed upon; the
    session is kept under that name and for this context only, and a server that no longer knows it gets a full handshake (RFC 8446 2.2,
    4.6.1). RFC 8446 C.4 advises to use a session once, so that a client is not recognised; ours names itself in each request.
    """
    context.sslobject_class = type("_ResumingSSLObject", (_ResumingSSLObject,), {"sessions": LRUDict(_MAX_TLS_SESSIONS)})


class _ResumingSSLObject(ssl.SSLObject):
    sessions: ClassVar[LRUDict[str, ssl.SSLSession]]
    _has_begun = False
    _has_read = False

    def do_handshake(self) -> None:
        """Offer the last session; the event loop calls this again until the handshake is done."""
        if not self._has_begun:
            self._has_begun = True
            if self.server_hostname and (session := self.sessions.peek(self.server_hostname)) is not None:
                self.session = session
        super().do_handshake()

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """Keep the session after the first read: a server sends its tickets after the handshake, before the reply."""
        read = super().read(len, buffer) if buffer is not None else super().read(len)
        if not self._has_read:
            self._has_read = True
            self._keep_session()
        return read

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Skip the parsed form, which the event loop asks for and nobody reads: that takes longer than OpenSSL's check."""
        return super().getpeercert(binary_form=True) if binary_form else {}

    def _keep_session(self) -> None:
        """Keep a newly agreed session that can be resumed."""
        if self.server_hostname and not self.session_reused and (session := self.session) is not None and session.has_ticket:
            self.sessions.put(self.server_hostname, session)
