"""Classification is total: whatever a request raises, and any integer, ends in our tree, by the most exact evidence."""

import errno
import socket
import ssl
import zlib

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import errors
from errors.classify import without_secrets


def chained(outer, *causes):
    """Chain exceptions as `raise ... from` does, outermost first."""
    for effect, cause in zip((outer, *causes), causes, strict=False):
        effect.__cause__ = cause
    return outer


def ssl_error(reason):
    error = ssl.SSLError(1, f"[SSL: {reason}] x")
    error.reason = reason
    return error


CASES = [
    (httpx.ConnectTimeout("x"), errors.TimeoutException),
    (httpx.ReadTimeout("x"), errors.TimeoutException),
    (httpx.PoolTimeout("x"), errors.StorageError),
    (TimeoutError(), errors.TimeoutException),
    (OSError(errno.ETIMEDOUT, "x"), errors.TimeoutException),
    (httpx.ConnectError("x"), errors.NetworkError),
    (httpx.ReadError("x"), errors.NetworkError),
    (ConnectionRefusedError(errno.ECONNREFUSED, "x"), errors.NetworkError),
    (EOFError(), errors.NetworkError),
    (httpx.RemoteProtocolError("peer closed connection without sending complete message body"), errors.TruncatedBodyError),
    (httpx.RemoteProtocolError("Server disconnected without sending a response."), errors.NetworkError),
    (httpx.RemoteProtocolError("illegal status line"), errors.ProtocolError),
    (httpx.LocalProtocolError("x"), errors.ProtocolError),
    (httpx.DecodingError("x"), errors.ProtocolError),
    (zlib.error("x"), errors.ProtocolError),
    (httpx.TooManyRedirects("x"), errors.RedirectError),
    (httpx.InvalidURL("x"), errors.InvalidURLError),
    (httpx.UnsupportedProtocol("x"), errors.InvalidURLError),
    (UnicodeError("label too long"), errors.InvalidURLError),
    (ExceptionGroup("x", [OverflowError("port must be 0-65535")]), errors.InvalidURLError),
    (chained(httpx.ConnectError("x"), ssl.SSLCertVerificationError("x")), errors.TLSError),
    (chained(httpx.ConnectError("x"), ssl_error("SSLV3_ALERT_HANDSHAKE_FAILURE")), errors.TLSError),
    (chained(httpx.ConnectError("x"), ssl_error("WRONG_VERSION_NUMBER")), errors.NetworkError),
    (chained(httpx.ConnectError("x"), ssl.SSLEOFError("x")), errors.NetworkError),
    (chained(httpx.ConnectError("x"), socket.gaierror(socket.EAI_NONAME, "x")), errors.HostNotFoundError),
    (chained(httpx.ConnectError("x"), socket.gaierror(socket.EAI_AGAIN, "x")), errors.NetworkError),
    (chained(httpx.ConnectError("x"), OSError(errno.EMFILE, "x")), errors.StorageError),
    (chained(httpx.ConnectError("x"), OSError(errno.EADDRNOTAVAIL, "x")), errors.StorageError),
    (OSError(errno.ENOSPC, "x"), errors.StorageError),
    (chained(httpx.ConnectError("x"), errors.BlockedAddressError("x")), errors.BlockedAddressError),
    (errors.TooLargeError("x"), errors.TooLargeError),
    (RuntimeError("x"), errors.ProtocolError),
]


@pytest.mark.parametrize(("exc", "expected"), CASES, ids=lambda case: repr(case)[:70])
def test_classify_network_error_knows(exc, expected):
    """Each foreign error has its class, the root cause deciding."""
    assert errors.classify_network_error(exc) is expected
    built = errors.from_network_error(exc, "https://u:p@h.test/a?sig=1")
    assert type(built) is expected
    assert "sig" not in str(built)
    assert "u:p" not in str(built)


def test_context_counts_unless_suppressed():
    """An implicit context is evidence; `from None` withdraws it."""
    error = httpx.ConnectError("x")
    error.__context__ = ssl.SSLCertVerificationError("x")
    assert errors.classify_network_error(error) is errors.TLSError
    error.__suppress_context__ = True
    assert errors.classify_network_error(error) is errors.NetworkError


def test_http_status_error_goes_by_its_status():
    """httpx's own status error carries the reply."""
    request = httpx.Request("GET", "http://h.test")
    error = httpx.HTTPStatusError("x", request=request, response=httpx.Response(429, request=request))
    assert errors.classify_network_error(error) is errors.RateLimitError


def test_memory_error_is_never_classified():
    """Memory is the job layer's business: it comes out as it went in, from anywhere in the chain."""
    with pytest.raises(MemoryError):
        errors.classify_network_error(chained(httpx.ReadError("x"), MemoryError()))
    with pytest.raises(MemoryError):
        errors.from_network_error(MemoryError())


def test_cycle_in_the_chain_ends():
    """A chain that bites its tail is walked once."""
    one, two = httpx.ReadError("x"), OSError("y")
    one.__cause__, two.__cause__ = two, one
    assert errors.classify_network_error(one) is errors.NetworkError


def test_from_network_error_keeps_its_cause_and_returns_our_own():
    """The foreign error stays visible; one of ours is not wrapped again."""
    foreign = httpx.ReadError("x")
    assert errors.from_network_error(foreign).__cause__ is foreign
    ours = errors.BlockedAddressError("10.0.0.1 is not public", evidence="10.0.0.1")
    assert errors.from_network_error(chained(httpx.ConnectError("x"), ours)) is ours


def test_message_words_the_root_cause():
    """The message names what failed, not the wrapper."""
    cert = ssl.SSLCertVerificationError("x")
    cert.verify_message = "certificate has expired"
    assert "certificate has expired" in str(errors.from_network_error(chained(httpx.ConnectError("x"), cert), "https://h.test/"))
    refused = chained(httpx.ConnectError("x"), ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))
    assert "Connection refused" in str(errors.from_network_error(refused))
    by_asyncio = ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 9)")
    assert str(errors.from_network_error(chained(httpx.ConnectError("x"), by_asyncio))) == "cannot connect (Connection refused)"
    assert str(errors.from_network_error(refused, "http://h.test/a?q=1")) == "cannot connect (Connection refused) for http://h.test/a"
    assert str(errors.from_network_error(httpx.ReadError("secret http://h/?q=1"))) == "the connection broke (ReadError)"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Server disconnected without sending a response.", "the connection closed before a reply came for http://h.test/"),
        (
            "peer closed connection without sending complete message body",
            "the connection closed before the whole body came for http://h.test/",
        ),
        ("secret http://h/?q=1", "the reply is not HTTP for http://h.test/"),
    ],
)
def test_broken_reply_is_named_in_words(said, words):
    """What the peer did, not the name of the library's exception."""
    assert str(errors.from_network_error(httpx.RemoteProtocolError(said), "http://h.test/?q=1")) == words


@pytest.mark.parametrize(
    ("status", "slug"),
    [
        (400, "http_400"),
        (401, "http_401"),
        (403, "http_403"),
        (404, "http_404"),
        (410, "http_410"),
        (451, "http_451"),
        (418, "http_4xx"),
        (500, "http_5xx"),
        (599, "http_5xx"),
        (429, "rate_limited"),
        (503, "service_unavailable"),
        (504, "service_unavailable"),
        (302, "protocol"),
        (999, "protocol"),
        (-1, "protocol"),
    ],
)
def test_from_status_gives_the_slug(status, slug):
    """A status has one reason, whatever class it shares."""
    error = errors.from_status(status, "http://h.test/a?b=c", retry_after_s=3.0)
    assert error.slug == slug
    assert (error.status, error.retry_after_s) == (status, 3.0)
    assert str(error) == f"the origin answered {status} for http://h.test/a"


def test_extra_statuses_count_as_service_unavailable():
    """Operators may widen what is retried; the seven codes of the table stay what they are otherwise."""
    error = errors.from_status(500, extra_statuses=(500, 502))
    assert type(error) is errors.ServiceUnavailableError
    assert error.slug == "service_unavailable"
    assert type(errors.from_status(501, extra_statuses=(500,))) is errors.PermanentError


@given(st.integers())
def test_any_status_stays_in_the_tree(status):
    """Total for every int."""
    assert issubclass(errors.classify_http_error(status), errors.PictrawlError)
    assert isinstance(errors.from_status(status).slug, errors.Reason)


@given(st.text())
def test_without_secrets_takes_any_text(text):
    """Nothing after ? or # and no control character survives, whatever the text."""
    shown = without_secrets(text)
    assert not set(shown) & set("?#\n\r\x1b\x00")
    assert shown.isprintable() or all(ord(char) > 0x9F for char in shown if not char.isprintable())


def test_ssl_error_that_knows_nothing_leaves_the_word_to_its_cause():
    """aiohttp's wrapper is an SSLError without a reason; OpenSSL's own below it has one."""

    class Wrapper(ssl.SSLError):
        pass

    assert (
        errors.classify_network_error(chained(httpx.ConnectError("x"), Wrapper(1), ssl_error("WRONG_VERSION_NUMBER")))
        is errors.NetworkError
    )
    assert errors.classify_network_error(chained(httpx.ConnectError("x"), Wrapper(1), ssl_error("NO_CIPHERS_AVAILABLE"))) is errors.TLSError
    assert errors.classify_network_error(Wrapper(1)) is errors.NetworkError
