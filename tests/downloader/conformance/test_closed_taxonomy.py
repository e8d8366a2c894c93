"""Whatever a header, a URL, a status, a byte stream or an exception holds: it ends as an outcome or as an error of ours."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable

import aiohttp
import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import errors
from downloader import Deferred, Fetched, FetchFailed, FetchLimits, RetryRules
from downloader.client import Downloader
from tests.clocks import FakeTime
from tests.downloader.conftest import LIMITS
from tests.origin import JPEG, Origin, raw

OUTCOMES = Fetched | FetchFailed | Deferred

HEADERS = [
    "location",
    "content-encoding",
    "content-length",
    "content-range",
    "transfer-encoding",
    "retry-after",
    "date",
    "x-robots-tag",
    "tdm-reservation",
    "content-usage",
    "set-cookie",
    "content-type",
]
WORDS = st.sampled_from(
    [
        "",
        "0",
        "-1",
        "1e9",
        "99999999999999999999",
        "gzip",
        "chunked",
        "noai",
        "*:",
        "//",
        "http://[",
        "https://a:b@c",
        "=?",
        '"',
        "\\",
        "bytes */",
    ]
)
VALUES = st.lists(WORDS | st.text(max_size=12), max_size=5).map("".join)

LEAVES: list[Callable[[], BaseException]] = [
    lambda: httpx.ConnectError("x"),
    lambda: httpx.ReadTimeout("x"),
    lambda: httpx.PoolTimeout("x"),
    lambda: httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
    lambda: httpx.DecodingError("x"),
    lambda: httpx.InvalidURL("x"),
    lambda: httpx.StreamConsumed(),
    lambda: httpx.TooManyRedirects("x"),
    lambda: OSError(errno.EMFILE, "x"),
    lambda: OSError(errno.ENOSPC, ""),
    lambda: OSError(),
    lambda: ConnectionResetError(errno.ECONNRESET, "x"),
    lambda: socket.gaierror(socket.EAI_NONAME, "x"),
    lambda: socket.gaierror("no number"),
    lambda: ssl.SSLError("x"),
    lambda: ssl.SSLEOFError(8, "x"),
    lambda: ssl.SSLCertVerificationError("x"),
    lambda: aiohttp.ServerDisconnectedError(),
    lambda: aiohttp.ClientPayloadError("x"),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
    lambda: ValueError("x"),
    lambda: KeyError("x"),
    lambda: RuntimeError("x"),
    lambda: EOFError(),
    lambda: AssertionError(),
    lambda: StopIteration(),
    lambda: errors.TooLargeError("x"),
    lambda: errors.StorageError("x"),
    lambda: TimeoutError(),
]


def _linked(parts: tuple[Callable[[], BaseException], BaseException, str]) -> BaseException:
    make, inner, how = parts
    outer = make()
    if how == "group" and isinstance(inner, Exception):
        return ExceptionGroup("x", [outer, inner] if isinstance(outer, Exception) else [inner])
    setattr(outer, how if how != "group" else "__cause__", inner)
    return outer


TREES = st.recursive(
    st.sampled_from(LEAVES).map(lambda make: make()),
    lambda inner: st.tuples(st.sampled_from(LEAVES), inner, st.sampled_from(["__cause__", "__context__", "group"])).map(_linked),
    max_leaves=6,
)


def fetched_from(handler: Callable[[httpx.Request], httpx.Response], url: str = "http://h.test/a", *, robots: bool = False) -> object:
    """The outcome of a URL whose origin is a function."""

    async def run() -> object:
        time = FakeTime()
        transport = httpx.MockTransport(handler)
        async with Downloader(FetchLimits(robots=robots), transport=transport, sleep=time.sleep, clock=time.clock) as downloader:
            return await downloader.fetch(url)

    return asyncio.run(run())


@given(
    headers=st.lists(st.tuples(st.sampled_from(HEADERS), VALUES), max_size=6),
    status=st.integers(100, 599) | st.integers(0, 2000),
    body=st.binary(max_size=40) | st.just(JPEG),
)
@example(headers=[("location", "http://[::1/")], status=302, body=b"")
@example(headers=[("retry-after", "60")], status=404, body=b"")
@example(headers=[("content-encoding", "gzip")], status=200, body=b"\x1f\x8b")
@settings(deadline=None)
def test_any_reply(headers: list[tuple[str, str]], status: int, body: bytes) -> None:
    """Any status with any headers and any body."""
    pairs = [(name.encode(), value.encode("utf-8", "replace")) for name, value in headers]
    outcome = fetched_from(lambda request: httpx.Response(status, headers=pairs, content=body))
    assert isinstance(outcome, OUTCOMES)
    assert isinstance(outcome, Fetched) or isinstance(outcome.reason, errors.Reason)


ROBOTS = st.lists(
    st.sampled_from(
        ["User-agent: *", "User-agent: pictrawl", "Disallow: /", "Allow: /a", "Disallow:", "Sitemap: x", "\ufeff", "\0", "%zz", "*" * 99]
    )
    | st.text(max_size=12),
    max_size=8,
).map("\n".join)


@given(
    text=ROBOTS.map(lambda text: text.encode("utf-8", "replace")) | st.binary(max_size=60),
    status=st.sampled_from([200, 204, 206, 301, 304, 404, 429, 451, 500, 503]) | st.integers(100, 999),
    headers=st.lists(st.tuples(st.sampled_from(HEADERS), VALUES), max_size=3),
)
@settings(deadline=None)
def test_any_robots_txt(text: bytes, status: int, headers: list[tuple[str, str]]) -> None:
    """Whatever a site has for a robots.txt: an outcome, with a decision on record that agrees with it."""
    pairs = [(name.encode(), value.encode("utf-8", "replace")) for name, value in headers]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/robots.txt":
            return httpx.Response(status, headers=pairs, content=text)
        return httpx.Response(200, content=JPEG)

    outcome = fetched_from(answer, robots=True)
    assert isinstance(outcome, OUTCOMES)
    verdict = outcome.decisions.robots
    assert (verdict == "disallowed") == (isinstance(outcome, FetchFailed) and outcome.reason == "robots")
    assert (verdict in ("allowed", "no_file")) == isinstance(outcome, Fetched)
    for hop in outcome.decisions.hops:
        assert hop.evidence is None or (hop.evidence.isprintable() and len(hop.evidence) <= errors.EVIDENCE_CHARS)


PIECES = [
    "http",
    "https",
    "HTTP",
    "://",
    ":",
    "/",
    "//",
    "?",
    "#",
    "@",
    "[",
    "]",
    "::1",
    "127.0.0.1",
    "0x7f.1",
    "xn--",
    "xn--zz",
    "h.test",
    ".",
    "%",
    "%zz",
    "65536",
    "-1",
    "\\",
    "ü",
    "。",
    "①",
]
PARTS = st.sampled_from([*PIECES, " ", "\0", "\r\n", "\ud800", "\u202e", "a" * 64])


@given(
    st.text(max_size=80)
    | st.lists(PARTS | st.text(max_size=4), max_size=12).map("".join)
    | st.lists(PARTS, max_size=8).map(lambda parts: "http://" + "".join(parts))
)
@settings(deadline=None)
def test_any_url(url: str) -> None:
    """Any text for a URL: what is none never reaches the network."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=JPEG)

    outcome = fetched_from(answer, url)
    assert isinstance(outcome, Fetched | FetchFailed)
    assert len(asked) == isinstance(outcome, Fetched)


@pytest.mark.parametrize("extra", [(), tuple(range(400, 600))], ids=["seven codes", "all retried"])
async def test_any_status(extra: tuple[int, ...]) -> None:
    """Every status that a reply line can hold, and then some."""
    time = FakeTime()
    transport = httpx.MockTransport(lambda request: httpx.Response(int(request.url.path[1:]), content=JPEG))
    rules = RetryRules(extra_statuses=extra, budget=10)
    async with Downloader(FetchLimits(robots=False), rules, transport=transport, sleep=time.sleep, clock=time.clock) as downloader:
        for status in [*range(100, 601), 99, 999, 1000]:
            outcome = await downloader.fetch(f"http://h{status}.test/{status}")
            assert isinstance(outcome, OUTCOMES)
            assert len(outcome.attempts) == (3 if status in {429, 503, 504, *extra} else 1), status


@given(TREES)
def test_any_exception_tree_has_a_class(tree: BaseException) -> None:
    """Classification is total, and its message quotes nothing of a URL's query."""
    assert issubclass(errors.classify_network_error(tree), errors.PictrawlError)
    built = errors.from_network_error(tree, "http://u:pw@h.test/a?sig=secret")
    assert isinstance(built, errors.PictrawlError)
    assert "secret" not in str(built)
    assert isinstance(built.slug, errors.Reason)


@given(TREES, st.sampled_from([httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout, OSError, ValueError]))
@settings(deadline=None)
def test_any_exception_of_a_transport(tree: BaseException, outermost: type[Exception]) -> None:
    """Whatever a transport's own errors were caused by, an outcome comes out, or an error that is this machine's."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise outermost("x") from tree

    with contextlib.suppress(errors.StorageError):
        assert isinstance(fetched_from(fail), FetchFailed | Deferred)


def _chopped(parts: tuple[list[tuple[int, bytes]], int]) -> bytes:
    edits, cut = parts
    data = bytearray(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(JPEG) + JPEG)
    for at, noise in edits:
        data[at : at + len(noise)] = noise
    return bytes(data[:cut])


NOISE = st.sampled_from(
    [b"\r\n", b"\0", b"\xff", b"HTTP/1.1 ", b":", b"-", b"chunked", b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n", b"5"]
) | st.binary(max_size=4)
STREAMS = st.binary(max_size=200) | st.tuples(st.lists(st.tuples(st.integers(0, 90), NOISE), max_size=3), st.integers(0, 400)).map(_chopped)


@given(STREAMS)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_on_the_wire(data: bytes) -> None:
    """A real connection that says anything at all, and then closes."""

    async def run() -> object:
        time = FakeTime()
        async with Origin() as origin, Downloader(LIMITS, sleep=time.sleep, clock=time.clock) as downloader:
            return await downloader.fetch(origin.script("/x", raw(data)))

    assert isinstance(asyncio.run(run()), OUTCOMES)
