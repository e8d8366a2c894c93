"""Proxies: what goes through them, whose fault an error is, and what the address guard still sees. All against real ones."""

import ssl
import sys
from dataclasses import replace

import httpx
import pytest
import trustme

import errors
from downloader import Deferred, Fetched, FetchFailed, FetchRequest, Network, RetryRules
from downloader.client import Downloader
from downloader.proxy import Proxy, check_proxy, read_proxy
from downloader.transport import GuardedTransport
from downloader.url_guard import URLGuard
from tests.downloader.conftest import LIMITS, loopback
from tests.origin import Origin, image, redirect, stall
from tests.proxies import HttpProxy, SocksProxy

AUTHORITY = trustme.CA()
SECRET = "hunter2@/:"
QUOTED = "ann:hunter2%40%2F%3A"


def tls_origin(*names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(*names).configure_cert(context)
    return Origin(context)


def downloader(time, url, **options):
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    limits = options.pop("limits", replace(LIMITS, robots=False))
    network = Network(proxy=read_proxy(url), **options.pop("network", {}))
    options.setdefault("lookup", loopback)
    return Downloader(limits, RetryRules(jitter=0), network, sleep=time.sleep, clock=time.clock, ssl_context=context, **options)


def serve(origin, host, *steps):
    origin.script("/x", *(steps or (image(),)))
    return origin.url("/x", host=host)


# what goes through


@pytest.mark.parametrize("credentials", ["", QUOTED])
async def test_http_proxy_carries_http_and_https(time, credentials):
    """Plain http in absolute form, https in a tunnel whose TLS ends at the origin; credentials go to the proxy alone."""
    login = ("ann", SECRET) if credentials else ()
    async with HttpProxy(*login) as proxy, Origin() as plain, tls_origin("good.test") as secure:
        urls = [serve(plain, "plain.test"), serve(secure, "good.test")]
        async with downloader(time, proxy.url(credentials)) as fetching:
            for url in (*urls, *urls):
                assert isinstance(await fetching.fetch(url), Fetched)
    assert proxy.log == [f"GET {urls[0]}", f"CONNECT good.test:{secure.port}", f"GET {urls[0]}"]
    assert [len(origin.log) for origin in (plain, secure)] == [2, 2]
    assert [origin.connections for origin in (plain, secure)] == [1, 1]
    assert not any("proxy-authorization" in hit.headers for hit in (*plain.log, *secure.log))
    assert [hit.headers["host"] for hit in plain.log] == [f"plain.test:{plain.port}"] * 2


@pytest.mark.parametrize(("scheme", "handed"), [("socks5", "127.0.0.1"), ("socks5h", "good.test")])
@pytest.mark.parametrize("credentials", ["", QUOTED])
async def test_socks_proxy_is_handed_addresses_or_names(time, scheme, handed, credentials):
    """`socks5` resolves here, `socks5h` there; TLS is verified by name either way, and connections are kept."""
    login = ("ann", SECRET) if credentials else ()
    async with SocksProxy(*login) as proxy, Origin() as plain, tls_origin("good.test") as secure:
        urls = [serve(plain, "good.test"), serve(secure, "good.test")]
        async with downloader(time, proxy.url(credentials, scheme)) as fetching:
            for url in (*urls, *urls):
                assert isinstance(await fetching.fetch(url), Fetched)
    assert proxy.log == [f"{handed}:{plain.port}", f"{handed}:{secure.port}"]


@pytest.mark.parametrize("kind", [HttpProxy, SocksProxy])
async def test_certificates_are_verified_behind_a_proxy(time, kind):
    """The wrong name is final, and the origin gets no request."""
    async with kind() as proxy, tls_origin("other.test") as secure:
        async with downloader(time, proxy.url()) as fetching:
            outcome = await fetching.fetch(serve(secure, "good.test"))
    assert (outcome.reason, secure.log) == ("tls", [])


@pytest.mark.parametrize("kind", [HttpProxy, SocksProxy])
async def test_tls_sessions_are_resumed_behind_a_proxy(time, kind):
    """The second connection to a host costs no certificate."""
    async with kind() as proxy, tls_origin("good.test") as secure:
        url = serve(secure, "good.test", image(Connection="close"))
        async with downloader(time, proxy.url()) as fetching:
            for _ in range(2):
                assert isinstance(await fetching.fetch(url), Fetched)
        assert secure.connections == 2
        assert secure._ssl_context.session_stats()["hits"] == 1


# what the guard still sees


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/x", "http://localhost/x", "http://router/x", "https://db.internal/x", "http://nas.local/x"]
)
async def test_local_hosts_are_not_asked_of_a_proxy(time, url):
    """Literal addresses and names of local networks; a redirect is judged like a listed URL."""
    limits = replace(LIMITS, robots=False, allow_networks=())
    async with HttpProxy() as proxy:
        async with downloader(time, proxy.url(), limits=limits) as fetching:
            assert (await fetching.fetch(url)).reason == "blocked_address"
    assert proxy.log == []


async def test_redirect_to_a_local_host_is_not_asked_of_a_proxy(time):
    """The page of a list's host must not reach behind the proxy."""
    limits = replace(LIMITS, robots=False, allow_networks=())
    async with HttpProxy() as proxy, Origin() as plain:
        url = serve(plain, "plain.test", redirect("http://metadata.internal/"))
        async with downloader(time, proxy.url(), limits=limits) as fetching:
            assert (await fetching.fetch(url)).reason == "blocked_address"
    assert len(proxy.log) == 1


def test_local_names_pass_where_some_network_is_exempt():
    """Whoever opens a private network wants its hosts."""
    guard = URLGuard((), ("10.0.0.0/8",), sees_addresses=False)
    assert guard.check_url("http://db.internal/").host == "db.internal"
    assert URLGuard(()).check_url("http://router/").host == "router"  # it resolves, and its address is checked


@pytest.mark.parametrize("answer", ["10.0.0.1", "169.254.169.254", "::1"])
async def test_socks5_is_handed_no_private_address(time, answer):
    """Resolved here, checked here."""

    async def lookup(host):
        return [answer]

    async with SocksProxy() as proxy:
        async with downloader(time, proxy.url(), lookup=lookup) as fetching:
            assert (await fetching.fetch("http://evil.test/x")).reason == "blocked_address"
            assert (await fetching.fetch(f"http://{f'[{answer}]' if ':' in answer else answer}/x")).reason == "blocked_address"
    assert proxy.log == []


async def test_literal_address_is_checked_as_it_is_handed_over():
    """The last wall: it meets neither the resolver nor, here, the check of the URL."""
    async with SocksProxy() as proxy:
        transport = GuardedTransport(URLGuard(), Network(proxy=read_proxy(proxy.url())), lookup=loopback)
        with pytest.raises(errors.BlockedAddressError):
            await transport.handle_async_request(httpx.Request("GET", "http://10.0.0.1:9/"))
        await transport.aclose()
    assert proxy.log == []


async def test_ip_version_holds_for_what_socks5_is_handed(time):
    """IPv6 is left out, though the name has it first."""

    async def lookup(host):
        return ["::1", "127.0.0.1"]

    limits = replace(LIMITS, robots=False, allow_networks=("127.0.0.0/8", "::1/128"))
    async with SocksProxy() as proxy, Origin() as plain:
        async with downloader(time, proxy.url(), lookup=lookup, limits=limits, network={"ip_version": "4"}) as fetching:
            assert isinstance(await fetching.fetch(serve(plain, "a.test")), Fetched)
    assert proxy.log == [f"127.0.0.1:{plain.port}"]


# whose fault it is


@pytest.mark.parametrize(
    ("kind", "credentials", "words"),
    [
        (HttpProxy, "ann:wrong", "wants other credentials"),
        (SocksProxy, "ann:wrong", "wants other credentials"),
        (SocksProxy, "", "wants other credentials"),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_login_that_is_refused_is_no_fault_of_a_url(time, kind, credentials, words, scheme):
    """It is raised for the job, not recorded for the URL; the message names the proxy without its credentials."""
    async with kind("ann", SECRET) as proxy:
        async with downloader(time, proxy.url(credentials)) as fetching:
            with pytest.raises(errors.ProxyError, match=words) as caught:
                await fetching.fetch(f"{scheme}://good.test:8080/x")
            with pytest.raises(errors.ProxyError, match=words):
                await fetching.check_proxy()
    assert f"127.0.0.1:{proxy.port}" in str(caught.value)
    assert "wrong" not in str(caught.value)
    assert time.waits == []


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
@pytest.mark.parametrize("target", ["http", "https"])
async def test_proxy_that_is_away_is_no_fault_of_a_url(time, scheme, target):
    """Ten thousand URLs must not fail for it."""
    async with downloader(time, f"{scheme}://127.0.0.1:1") as fetching:
        with pytest.raises(errors.ProxyError, match=r"127\.0\.0\.1:1 cannot be reached \(Connection refused"):
            await fetching.fetch(f"{target}://good.test:8080/x")
        with pytest.raises(errors.ProxyError, match="cannot be reached"):
            await fetching.check_proxy()


async def test_proxy_without_an_address_is_no_fault_of_a_url(time):
    """Its name is looked up like any other, and its address may be a private one."""

    async def nowhere(host):
        return []

    async with downloader(time, "http://proxy.test:3128", lookup=nowhere) as fetching:
        with pytest.raises(errors.ProxyError, match=r"proxy\.test:3128 has a name without an address"):
            await fetching.fetch("http://good.test/x")


@pytest.mark.parametrize("status", [400, 403, 405])
async def test_host_that_the_proxy_refuses_is_final(time, status):
    """Its rules are about this host; the others go on."""
    async with HttpProxy(status=status) as proxy:
        async with downloader(time, proxy.url()) as fetching:
            outcome = await fetching.fetch("https://good.test:8443/x")
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, outcome.error, outcome.status, len(outcome.attempts)) == ("proxy_refused", "ProxyRefusedError", status, 1)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_host_that_the_proxy_cannot_reach_is_retried(time, status):
    """Like a connection of our own that failed, with the breaker of that host."""
    async with HttpProxy(status=status) as proxy:
        async with downloader(time, proxy.url()) as fetching:
            outcome = await fetching.fetch("https://good.test:8443/x")
            assert isinstance(await fetching.fetch("https://good.test:8443/y"), FetchFailed | Deferred)
            assert isinstance(await fetching.fetch("https://good.test:8443/z"), Deferred)
    assert (outcome.reason, outcome.error, len(outcome.attempts)) == ("network", "NetworkError", 3)
    assert f"the proxy answered {status}" in outcome.message


@pytest.mark.parametrize(
    ("code", "reason", "attempts"),
    [(1, "network", 3), (2, "proxy_refused", 1), (3, "network", 3), (4, "network", 3), (5, "network", 3), (8, "network", 3)],
)
async def test_answers_of_a_socks_proxy_are_the_hosts(time, code, reason, attempts):
    """RFC 1928 6."""
    async with SocksProxy(code=code) as proxy:
        async with downloader(time, proxy.url()) as fetching:
            outcome = await fetching.fetch("https://good.test:8443/x")
    assert (outcome.reason, len(outcome.attempts)) == (reason, attempts)
    assert "proxy" in outcome.message


async def test_socks_proxy_that_makes_no_connections_serves_nobody(time):
    """Command not supported."""
    async with SocksProxy(code=7) as proxy:
        async with downloader(time, proxy.url()) as fetching:
            with pytest.raises(errors.ProxyError, match="makes no connections"):
                await fetching.fetch("https://good.test:8443/x")


@pytest.mark.parametrize("kind", [HttpProxy, SocksProxy])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy_that_hangs_is_no_fault_of_a_url(time, kind, scheme):
    """After a time that ran out the proxy itself is asked, and does not answer either."""
    limits = replace(LIMITS, robots=False, connect_timeout_s=0.1, read_timeout_s=0.1)
    async with kind(silent=True) as proxy:
        async with downloader(time, proxy.url(), limits=limits) as fetching:
            with pytest.raises(errors.ProxyError, match="does not answer"):
                await fetching.fetch(f"{scheme}://good.test:8080/x")


@pytest.mark.parametrize("kind", [HttpProxy, SocksProxy])
async def test_host_that_hangs_behind_a_proxy_is_its_own_fault(time, kind):
    """The proxy answers when it is asked."""
    limits = replace(LIMITS, robots=False, read_timeout_s=0.1)
    async with kind() as proxy, Origin() as plain:
        async with downloader(time, proxy.url(), limits=limits) as fetching:
            outcome = await fetching.fetch(serve(plain, "slow.test", stall()))
    assert (outcome.reason, len(outcome.attempts)) == ("timeout", 3)


async def test_many_urls_end_at_a_proxy_that_is_away(time):
    """None of them has an outcome."""
    outcomes = []
    async with downloader(time, "http://127.0.0.1:1") as fetching:

        async def fetch_all():
            async for outcome in fetching.fetch_many(FetchRequest(f"http://host{number}.test/x") for number in range(100)):
                outcomes.append(outcome)

        with pytest.raises(errors.ProxyError):
            await fetch_all()
    assert outcomes == []


# the setting, and the probe


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy.test:3128", Proxy("http", "proxy.test", 3128)),
        ("http://ann:p%40ss@10.0.0.1:3128/", Proxy("http", "10.0.0.1", 3128, "ann", "p@ss")),
        ("socks5h://[::1]:1080\n", Proxy("socks5h", "::1", 1080)),
    ],
)
def test_proxy_is_read(text, proxy):
    """Credentials are escaped as in any URL, and never represented."""
    assert read_proxy(text) == proxy
    assert "p@ss" not in repr(read_proxy(text))


@pytest.mark.parametrize(
    "text", ["", "proxy:3128", "https://hunter2@h:1", "http://hunter2", "http://h:99999", "http://h:1/hunter2", "http://h:1?hunter2"]
)
def test_proxy_that_is_none_is_refused(text):
    """The message says how to write it, and quotes nothing."""
    with pytest.raises(errors.ConfigurationError, match=r"fetch\.proxy .*; write http://host:port") as caught:
        read_proxy(text)
    assert "hunter2" not in str(caught.value)


def test_socks_needs_its_extra(monkeypatch):
    """The message has the line that installs it; an HTTP proxy needs none."""
    monkeypatch.setitem(sys.modules, "python_socks", None)
    with pytest.raises(errors.ConfigurationError, match=r"needs python-socks; install pictrawl\[socks\]"):
        read_proxy("socks5://127.0.0.1:1080")
    assert read_proxy("http://127.0.0.1:3128").port == 3128


def test_socks_login_is_ascii():
    """python-socks sends no other."""
    with pytest.raises(errors.ConfigurationError, match="ASCII"):
        read_proxy("socks5://ann:%C3%A9@127.0.0.1:1080")


async def test_probe_asks_for_no_host_but_the_proxy():
    """Where it lets us in nothing else happens."""
    async with HttpProxy("ann", SECRET) as proxy:
        await check_proxy(read_proxy(proxy.url(QUOTED)))
        assert proxy.log == [f"CONNECT 127.0.0.1:{proxy.port}"]
    async with SocksProxy("ann", SECRET) as proxy:
        await check_proxy(read_proxy(proxy.url(QUOTED)))
        assert proxy.log == []


async def test_probe_names_a_port_of_another_protocol():
    """Each kind of proxy taken for the other."""
    async with HttpProxy() as http, SocksProxy() as socks:
        with pytest.raises(errors.ProxyError, match=r"is no SOCKS5 proxy|does not answer"):
            await check_proxy(Proxy("socks5", "127.0.0.1", http.port), timeout_s=0.2)
        with pytest.raises(errors.ProxyError, match=r"is no HTTP proxy|does not answer"):
            await check_proxy(Proxy("http", "127.0.0.1", socks.port), timeout_s=0.2)


async def test_downloader_without_a_proxy_has_nothing_to_check(time):
    """A worker asks before it takes a chunk up again."""
    async with Downloader(LIMITS) as fetching:
        await fetching.check_proxy()
