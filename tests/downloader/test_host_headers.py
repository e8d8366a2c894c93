"""Headers of some hosts: which request gets which, and what may be set."""

from dataclasses import replace

import httpx
import pytest

from downloader import Fetched, FetchFailed, Network, RetryRules
from downloader.client import Downloader
from downloader.host_headers import (
    HostHeaders,
    HostPattern,
    check_cookie_name,
    check_header_name,
    check_referer,
    check_value,
    make_entry,
    read_pattern,
)
from downloader.request import RequestOptions
from downloader.url_guard import check_url
from tests.downloader.conftest import LIMITS, loopback
from tests.origin import Origin, image, redirect, reply

SECRET = b"hunter2-hunter2"


def table(**entries):
    """Headers by pattern; each entry's one header is its own name."""
    return HostHeaders({read_pattern(name): make_entry({"X-Key": value.encode()}, {}, allow_http=True) for name, value in entries.items()})


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://example.org/x", "exact"),
        ("http://EXAMPLE.org/x", "exact"),
        ("https://example.org./x", "exact"),
        ("https://example.org:8443/x", "port"),
        ("https://example.org:8080/x", None),
        ("https://a.example.org/x", "below"),
        ("https://a.b.example.org/x", "below"),
        ("https://a.example.org:8443/x", None),
        ("https://img.example.org/x", "nearer"),
        ("https://a.img.example.org/x", "nearest"),
        ("https://notexample.org/x", None),
        ("https://org/x", None),
        ("https://xn--bcher-kva.example/x", "idna"),
        ("https://[2001:db8::1]/x", "six"),
    ],
)
def test_most_specific_entry_counts(url, found):
    """A host goes before the domains above it, the nearest of these first; a port that is not the scheme's must be named."""
    hosts = table(
        **{
            "example.org": "exact",
            "example.org:8443": "port",
            "*.example.org": "below",
            "img.example.org": "nearer",
            "*.img.example.org": "nearest",
            "bücher.example": "idna",
            "[2001:db8::1]": "six",
        }
    )
    assert hosts.lines(check_url(url, ())) == (((b"X-Key", found.encode()),) if found else ())


def test_credentials_stay_off_plain_http():
    """Everybody on the way reads along; the Referer is no secret."""
    entry = make_entry({"X-Key": SECRET}, {"a": b"1", "b": b"2"}, "https://example.org/")
    assert entry.lines("http") == ((b"Referer", b"https://example.org/"),)
    assert entry.lines("https") == ((b"Referer", b"https://example.org/"), (b"X-Key", SECRET), (b"Cookie", b"a=1; b=2"))
    assert replace(entry, allow_http=True).lines("http") == entry.lines("https")
    hosts = HostHeaders({HostPattern("example.org"): entry})
    assert [hosts.withholds(check_url(f"{scheme}://example.org/")) for scheme in ("http", "https")] == [True, False]
    assert not hosts.withholds(check_url("http://example.com/"))


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("Example.ORG", HostPattern("example.org")),
        ("example.org:443", HostPattern("example.org", 443)),
        ("*.example.org:8443", HostPattern("example.org", 8443, True)),
        ("127.0.0.1:80", HostPattern("127.0.0.1", 80)),
        ("[::1]", HostPattern("::1")),
    ],
)
def test_pattern_is_read(text, pattern):
    """As hosts of URLs are written."""
    assert read_pattern(text) == pattern


@pytest.mark.parametrize(
    "text", ["", "*", "*.org", "*.127.0.0.1", "https://example.org", "example.org/", "a@example.org", "*.*.org", "a b", "x:y"]
)
def test_pattern_that_is_none_is_refused(text):
    """A star for all hosts would hand the credentials to every host of a list."""
    with pytest.raises(ValueError, match=r"\w"):
        read_pattern(text)


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "content-length", "Connection", "Accept-Encoding", "Range", "If-None-Match", "Transfer-Encoding", "Proxy-Authorization"),
        *("User-Agent", "Cookie", "Referer", "", "X Key", "X-Key:", "X-Ké", "X\r\nY"),
    ],
)
def test_header_that_is_not_to_be_set_is_refused(name):
    """The downloader decides it for each request, or it has a setting of its own."""
    with pytest.raises(ValueError, match=r"header"):
        check_header_name(name)
    assert check_header_name("Authorization") == "Authorization"


@pytest.mark.parametrize("value", ["", "\nb", "\r\nX: y", "\x00", "\x7f", " ", "\n", "é"])
def test_value_that_would_break_the_request_is_refused(value):
    """The message does not quote it."""
    for is_cookie in (False, True):
        with pytest.raises(ValueError, match="value") as caught:
            check_value(f"hunter2{value}" if value else value, is_cookie=is_cookie)
        assert "hunter2" not in str(caught.value)
    assert check_value('Digest a="b", c\td') == b'Digest a="b", c\td'


def test_cookies_are_pairs():
    """A semicolon would begin the next cookie."""
    for value in ("a;b", "a b"):
        with pytest.raises(ValueError, match="cookie"):
            check_value(value, is_cookie=True)
    for name in ("", "a=b", "a;b"):
        with pytest.raises(ValueError, match="cookie"):
            check_cookie_name(name)
    assert check_value('"x,y"', is_cookie=True) == b'"x,y"'


@pytest.mark.parametrize(
    "value", ["example.org", "ftp://example.org", "https://a:b@example.org/", "https://example.org/#x", "https://example.org/\n"]
)
def test_referer_is_a_url(value):
    """RFC 9110 10.1.3: without userinfo and fragment."""
    with pytest.raises(ValueError, match="URL"):
        check_referer(value)
    assert check_referer("https://example.org/page?x=1") == "https://example.org/page?x=1"


# on the wire


def network(origin, *, allow_http=True, host="127.0.0.1", **headers):
    entry = make_entry({"X-Key": SECRET, **headers}, {"session": SECRET}, "https://ref.test/", allow_http=allow_http)
    return Network(hosts=HostHeaders({HostPattern(host, origin.port): entry}))


def downloader(time, network, **limits):
    rules = RetryRules(jitter=0)
    return Downloader(replace(LIMITS, **limits), rules, network, sleep=time.sleep, clock=time.clock, lookup=loopback)


def secrets_in(hit):
    return (hit.headers.get("x-key"), hit.headers.get("cookie"), hit.headers.get("referer"))


ALL = (SECRET.decode(), f"session={SECRET.decode()}", "https://ref.test/")


async def test_headers_go_to_their_host_and_to_the_files_of_the_site(origin, time):
    """Behind a login robots.txt is behind it too: without the headers it would be no file, and no rules."""
    url = origin.script("/x", image())
    async with downloader(time, network(origin, Accept=b"image/png"), robots=True) as fetching:
        assert isinstance(await fetching.fetch(url), Fetched)
    assert {hit.target for hit in origin.log} == {"/robots.txt", "/.well-known/tdmrep.json", "/x"}
    assert [secrets_in(hit) for hit in origin.log] == [ALL] * 3
    assert {hit.headers["accept"] for hit in origin.log} == {"image/png"}
    assert all(hit.headers["user-agent"].startswith("pictrawl/") for hit in origin.log)


async def test_headers_never_follow_a_redirect_to_another_host(time):
    """Each hop gets those of its own host."""
    async with Origin() as first, Origin() as second:
        first.script("/x", redirect(second.url("/y")))
        second.script("/y", redirect(first.url("/z")))
        first.script("/z", image())
        async with downloader(time, network(first)) as fetching:
            assert isinstance(await fetching.fetch(first.url("/x")), Fetched)
    assert [secrets_in(hit) for hit in first.log] == [ALL, ALL]
    assert [secrets_in(hit) for hit in second.log] == [(None, None, None)]


async def test_refusal_says_that_credentials_were_withheld(origin, time):
    """Otherwise the 403 of an http URL would be a riddle."""
    url = origin.script("/x", reply(403))
    async with downloader(time, network(origin, allow_http=False)) as fetching:
        outcome = await fetching.fetch(url)
    assert isinstance(outcome, FetchFailed)
    assert secrets_in(origin.log[0]) == (None, None, "https://ref.test/")
    assert "allow_http" in outcome.message


async def test_apis_get_the_headers_and_the_callers_own_win(origin, time):
    """A source says what it accepts."""
    url = origin.script("/api", reply(200, b"{}"))
    async with downloader(time, network(origin, Accept=b"image/png")) as fetching:
        assert await fetching.fetch_json(url) == {}
        await fetching.send(url, RequestOptions(1000, method="POST", content=b"x", headers={"x-key": "mine"}))
    assert secrets_in(origin.log[0]) == ALL
    assert origin.log[0].headers["accept"] == "application/json"
    assert secrets_in(origin.log[1])[0] == "mine"


async def test_secrets_are_in_no_outcome_and_no_representation(origin, time, caplog):
    """Rows, logs and messages are made of these."""
    url = origin.script("/x", reply(503), reply(500))
    settings = network(origin)
    async with downloader(time, settings) as fetching:
        outcome = await fetching.fetch(url)
    assert len(origin.log) == 2
    assert SECRET.decode() not in f"{outcome!r} {settings!r} {settings.hosts!r} {caplog.text} {fetching!r}"
    assert SECRET.decode() not in repr(httpx.Request("GET", url, headers={"X-Key": SECRET.decode()}))
