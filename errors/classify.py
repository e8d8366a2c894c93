"""Maps HTTP statuses and foreign exceptions to our errors: two pure, total classification functions, and two functions that build errors.

Knows the exceptions of httpx and the standard library; must not know requests, retries or callers.
"""

import errno
import os
import re
import socket
import ssl
import zlib
from collections.abc import Callable, Collection, Iterator
from typing import Final

import httpx

from errors import taxonomy
from errors.reasons import Reason

__all__ = ["classify_http_error", "classify_network_error", "from_network_error", "from_status", "without_secrets"]

_BY_STATUS: Final[dict[int, type[taxonomy.PictrawlError]]] = {
    400: taxonomy.BadRequestError,
    401: taxonomy.AuthenticationError,
    403: taxonomy.AuthenticationError,
    404: taxonomy.NotFoundError,
    429: taxonomy.RateLimitError,
    503: taxonomy.ServiceUnavailableError,
    504: taxonomy.ServiceUnavailableError,
}

_REASON_BY_STATUS: Final[dict[int, Reason]] = {
    400: Reason.HTTP_400,
    401: Reason.HTTP_401,
    403: Reason.HTTP_403,
    404: Reason.HTTP_404,
    410: Reason.HTTP_410,
    451: Reason.HTTP_451,
    429: Reason.RATE_LIMITED,
    503: Reason.SERVICE_UNAVAILABLE,
    504: Reason.SERVICE_UNAVAILABLE,
}

_OUR_ERRNOS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.ENOSPC, errno.EDQUOT})
"""A resource of this machine is exhausted; the remote host is not the cause."""

_NAME_UNKNOWN: Final = frozenset(
    code for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY") if (code := getattr(socket, name, None)) is not None
)

_BROKEN_HANDSHAKES: Final = frozenset(
    {"UNEXPECTED_EOF_WHILE_READING", "WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}
)
"""OpenSSL's reasons for bytes that are not TLS: a broken connection or a server of another protocol. These errors may be temporary."""

_UNKNOWN_ISSUERS: Final = frozenset({18, 19, 20, 21})
"""OpenSSL's X509_V_ERR codes for a chain that ends at no trusted authority: self-signed, or its issuer is not known."""

_CUT_BODY: Final = re.compile(r"complete message body|not completed|incomplete", re.IGNORECASE)
_CUT_CONNECTION: Final = re.compile(r"disconnected|closed connection|connection closed|without sending a", re.IGNORECASE)
_URL_SECRETS: Final = re.compile(r"[?#].*\Z", re.DOTALL)
_USERINFO: Final = re.compile(r"//[^/]*@|\A\s*https?:[/\\]*[^/\\]*@", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def classify_http_error(status: int) -> type[taxonomy.PictrawlError]:
    """Return the class for an HTTP status: PermanentError unless the status has a class of its own. Accepts every int."""
    return _BY_STATUS.get(status, taxonomy.PermanentError)


def from_status(
    status: int, where: str = "", *, retry_after_s: float | None = None, extra_statuses: Collection[int] = (), note: str = ""
) -> taxonomy.PictrawlError:
    """Build the error for an HTTP status.

    Args:
        status: the status of the response.
        where: the URL; the message omits its query, fragment and userinfo.
        retry_after_s: the valid Retry-After, if any.
        extra_statuses: statuses that the settings treat as ServiceUnavailable.
        note: added to the message.
    """
    error_type = taxonomy.ServiceUnavailableError if status in extra_statuses else classify_http_error(status)
    message = f"the origin answered {status}{_for(where)}{note}"
    return error_type(message, status=status, retry_after_s=retry_after_s, reason=_reason_for(status, error_type))


def _reason_for(status: int, error_type: type[taxonomy.PictrawlError]) -> Reason:
    if error_type is taxonomy.ServiceUnavailableError:
        return Reason.SERVICE_UNAVAILABLE
    if status in _REASON_BY_STATUS:
        return _REASON_BY_STATUS[status]
    return {4: Reason.HTTP_4XX, 5: Reason.HTTP_5XX}.get(status // 100, Reason.PROTOCOL)


def classify_network_error(exc: BaseException) -> type[taxonomy.PictrawlError]:
    """Return the class for a request's exception. Searches causes, contexts and groups. Accepts any exception.

    Raises:
        MemoryError: one is in the chain. It is never the URL's fault, so it is not classified.
    """
    return _classify(list(_chain(exc)))


def from_network_error(exc: BaseException, where: str = "") -> taxonomy.PictrawlError:
    """Build the error for an exception of a request, with ``exc`` as its cause. One of our errors in the chain is returned as it is."""
    chain = list(_chain(exc))
    error_type = _classify(chain)
    for found in chain:
        if isinstance(found, taxonomy.PictrawlError):
            return found
    error = error_type(f"{_describe(chain)}{_for(where)}")
    error.__cause__ = exc
    return error


def without_secrets(url: str) -> str:
    """Return a URL for messages: without userinfo, query, fragment and control characters. Accepts any text."""
    return _CONTROL.sub("", _USERINFO.sub("//", _URL_SECRETS.sub("", url[:2000]), count=1))[:300]


def _for(where: str) -> str:
    return f" for {without_secrets(where)}" if where else ""


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """Yield an exception, its group's members, causes and unsuppressed contexts; each once, nearest first."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [exc]
    while waiting:
        current = waiting.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(current.exceptions)
        waiting.append(current.__cause__)
        if not current.__suppress_context__:
            waiting.append(current.__context__)


def _classify(chain: list[BaseException]) -> type[taxonomy.PictrawlError]:
    for found in chain:
        if isinstance(found, MemoryError):
            raise found
    for rule in _RULES:
        for found in chain:
            error_type = rule(found)
            if error_type is not None:
                return error_type
    return taxonomy.ProtocolError


_Rule = Callable[[BaseException], type[taxonomy.PictrawlError] | None]


def _of_our_own(exc: BaseException) -> type[taxonomy.PictrawlError] | None:
    return type(exc) if isinstance(exc, taxonomy.PictrawlError) else None


def _of_this_machine(exc: BaseException) -> type[taxonomy.PictrawlError] | None:
    ours = isinstance(exc, httpx.PoolTimeout) or (isinstance(exc, OSError) and exc.errno in _OUR_ERRNOS)
    return taxonomy.StorageError if ours else None


def _of_tls(exc: BaseException) -> type[taxonomy.PictrawlError] | None:
    if not isinstance(exc, ssl.SSLError):
        return None
    if isinstance(exc, ssl.SSLCertVerificationError):
        return taxonomy.TLSError
    if isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
        return taxonomy.NetworkError
    reason = getattr(exc, "reason", None)
    if reason is None:  # aiohttp wraps an SSLError in one without a reason
        return None
    return taxonomy.NetworkError if reason in _BROKEN_HANDSHAKES else taxonomy.TLSError


def _of_names(exc: BaseException) -> type[taxonomy.PictrawlError] | None:
    if not isinstance(exc, socket.gaierror):
        return None
    return taxonomy.HostNotFoundError if exc.errno in _NAME_UNKNOWN else taxonomy.NetworkError


def _of_time(exc: BaseException) -> type[taxonomy.PictrawlError] | None:
    return taxonomy.TimeoutException if isinstance(exc, httpx.TimeoutException | TimeoutError) else None


def _of_urls(exc: BaseException) -> type[taxonomy.PictrawlError] | None:
    invalid = isinstance(exc, httpx.InvalidURL | httpx.UnsupportedProtocol | UnicodeError | OverflowError)
    return taxonomy.InvalidURLError if invalid else None


def _of_http(exc: BaseException) -> type[taxonomy.PictrawlError] | None:
    if isinstance(exc, httpx.HTTPStatusError):
        return classify_http_error(exc.response.status_code)
    if isinstance(exc, httpx.TooManyRedirects):
        return taxonomy.RedirectError
    if isinstance(exc, httpx.RemoteProtocolError):
        return _of_broken_reply(str(exc))
    return taxonomy.ProtocolError if isinstance(exc, httpx.DecodingError | httpx.LocalProtocolError | zlib.error) else None


def _of_broken_reply(message: str) -> type[taxonomy.PictrawlError]:
    """Tell a reply that was cut off, which may pass, from one that is no HTTP, which will not."""
    if _CUT_BODY.search(message):
        return taxonomy.TruncatedBodyError
    return taxonomy.NetworkError if _CUT_CONNECTION.search(message) else taxonomy.ProtocolError


def _of_connections(exc: BaseException) -> type[taxonomy.PictrawlError] | None:
    return taxonomy.NetworkError if isinstance(exc, httpx.TransportError | OSError | EOFError) else None


_RULES: Final[tuple[_Rule, ...]] = (
    _of_our_own,
    _of_this_machine,
    _of_tls,
    _of_names,
    _of_time,
    _of_urls,
    _of_http,
    _of_connections,
)
"""The first rule that returns a class decides. More specific rules come first."""


_WORDS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (httpx.ConnectTimeout, "connecting took too long"),
    (httpx.PoolTimeout, "no free connection"),
    (httpx.TimeoutException, "no answer in time"),
    (TimeoutError, "no answer in time"),
    (httpx.ConnectError, "cannot connect"),
    (httpx.NetworkError, "the connection broke"),
    (httpx.DecodingError, "the body cannot be decoded"),
    (httpx.ProxyError, "the proxy failed"),
    (httpx.InvalidURL, "not a URL that can be requested"),
    (httpx.UnsupportedProtocol, "not a URL that can be requested"),
    (UnicodeError, "not a URL that can be requested"),
)
"""The first match of the outermost exception describes it."""

_CA_HINT: Final = "; if this network inspects TLS, name its authority in fetch.ca_file"

_BROKEN_REPLIES: Final[dict[type[taxonomy.PictrawlError], str]] = {
    taxonomy.TruncatedBodyError: "the connection closed before the whole body came",
    taxonomy.NetworkError: "the connection closed before a reply came",
    taxonomy.ProtocolError: "the reply is not HTTP",
}


def _describe(chain: list[BaseException]) -> str:
    """Describe an exception in words, without quoting text that may contain a URL."""
    certificates = [found for found in chain if isinstance(found, ssl.SSLCertVerificationError)]
    if certificates:
        said = next((words for found in certificates if (words := getattr(found, "verify_message", ""))), "not valid")
        is_unknown = any(getattr(found, "verify_code", 0) in _UNKNOWN_ISSUERS for found in certificates)
        return f"certificate refused ({said}{_CA_HINT if is_unknown else ''})"
    outermost = chain[0]
    cause = next((_system_words(found) for found in reversed(chain) if isinstance(found, OSError) and found.strerror), "")
    if isinstance(outermost, httpx.RemoteProtocolError):
        words = _BROKEN_REPLIES[_of_broken_reply(str(outermost))]
    else:
        words = next((words for kind, words in _WORDS if isinstance(outermost, kind)), "")
        cause = cause or type(outermost).__name__
    cause = next(iter(cause.splitlines()), "")[:100]
    return f"{words} ({cause})" if words and cause else words or cause


def _system_words(error: OSError) -> str:
    """``Connection refused``; asyncio replaces the system's words by ``Connect call failed`` and an address."""
    words = str(error.strerror)
    return os.strerror(error.errno) if error.errno and words.startswith("Connect call failed") else words
