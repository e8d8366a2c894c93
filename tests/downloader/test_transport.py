"""The transport: what is dialled is what was checked; TLS, DNS and keep-alive failures keep their names."""

import errno
import socket
import ssl
from dataclasses import replace

import httpx
import pytest
import trustme

import errors
from downloader import Fetched, FetchFailed, FetchRequest, Network, RetryRules
from downloader.client import Downloader
from downloader.transport import GuardedTransport
from downloader.url_guard import URLGuard
from tests.downloader.conftest import IMPATIENT, LIMITS, loopback
from tests.origin import Origin, hang_up, image, raw, redirect, reset


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def server_context(authority, *names, **options):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


def client_context(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def fetch(url, time, *, lookup=loopback, ssl_context=None, limits=LIMITS, network=Network()):
    async with Downloader(
        limits, RetryRules(jitter=0), network, sleep=time.sleep, clock=time.clock, lookup=lookup, ssl_context=ssl_context
    ) as downloader:
        return await downloader.fetch(url)


async def test_tls_with_a_trusted_certificate(authority, time):
    """The name is checked and sent in the handshake, the address comes from the lookup."""
    async with Origin(server_context(authority, "good.test")) as origin:
        outcome = await fetch(_at(origin, "good.test", image()), time, ssl_context=client_context(authority))
    assert isinstance(outcome, Fetched), outcome
    assert outcome.final_url.startswith("https://good.test:")


async def test_next_connection_to_a_host_takes_the_tls_session_up(authority):
    """A real list's hosts keep no connection: the certificate is looked at once."""
    serving, asking = server_context(authority, "good.test"), client_context(authority)
    transport = GuardedTransport(URLGuard(allow_networks=("127.0.0.0/8",)), ssl_context=asking, lookup=loopback)
    async with Origin(serving) as origin, httpx.AsyncClient(transport=transport) as client:
        for _ in range(3):
            response = await client.get(_at(origin, "good.test", image(Connection="close")))
            assert response.status_code == 200
    assert serving.session_stats()["hits"] == 2


def _at(origin, host, *steps):
    origin.script("/x", *steps)
    return origin.url("/x", host=host)


@pytest.mark.parametrize("case", ["wrong name", "expired", "unknown authority"])
async def test_untrusted_certificate_is_final(authority, time, case):
    """One handshake, no request, never worked around."""
    from datetime import UTC, datetime

    options = {"not_after": datetime(2020, 1, 1, tzinfo=UTC)} if case == "expired" else {}
    serving = trustme.CA() if case == "unknown authority" else authority
    async with Origin(server_context(serving, "other.test" if case == "wrong name" else "good.test", **options)) as origin:
        outcome = await fetch(_at(origin, "good.test", image()), time, ssl_context=client_context(authority))
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, outcome.error, len(outcome.attempts), origin.log) == ("tls", "TLSError", 1, [])
    assert "certificate refused" in outcome.message
    assert ("fetch.ca_file" in outcome.message) == (case == "unknown authority")


async def test_authority_of_a_file_is_trusted(authority, time, tmp_path):
    """As in a network that inspects TLS."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with Origin(server_context(authority, "good.test")) as origin:
        outcome = await fetch(_at(origin, "good.test", image()), time, network=Network(ca_file=tmp_path / "ca.pem"))
    assert isinstance(outcome, Fetched), outcome


async def test_plain_http_on_a_tls_port_is_retried_and_never_downgraded(origin, authority, time):
    """A port that speaks something else may be passing trouble."""
    url = origin.url("/x").replace("http://", "https://")
    outcome = await fetch(url, time, ssl_context=client_context(authority), limits=IMPATIENT)
    assert isinstance(outcome, FetchFailed)
    assert (outcome.error, time.waits, origin.log) == ("TimeoutException", [2.0, 4.0], [])


async def test_unknown_name_is_final(time):
    """NXDOMAIN is an answer."""

    async def nowhere(host):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    outcome = await fetch("http://gone.test/x", time, lookup=nowhere)
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, len(outcome.attempts)) == ("dns_not_found", 1)


async def test_name_without_an_address_is_final(time):
    """An empty answer is NXDOMAIN in other words."""

    async def empty(host):
        return []

    assert (await fetch("http://gone.test/x", time, lookup=empty)).reason == "dns_not_found"


@pytest.mark.parametrize(("ip_version", "host"), [("6", "a.test"), ("6", "127.0.0.1"), ("4", "b.test"), ("4", "[::1]")])
async def test_host_without_an_address_of_the_ip_version_is_final(time, ip_version, host):
    """No connection is tried that this network cannot make, and the message says why."""

    async def lookup(name):
        return {"a.test": ["127.0.0.1"], "b.test": ["::1"]}[name]

    limits = replace(LIMITS, allow_networks=("127.0.0.0/8", "::1/128"))
    outcome = await fetch(f"http://{host}:9/x", time, lookup=lookup, limits=limits, network=Network(ip_version=ip_version))
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, len(outcome.attempts)) == ("dns_not_found", 1)
    assert f"no IPv{ip_version} address, and fetch.ip_version allows no other" in outcome.message


@pytest.mark.parametrize(("ip_version", "hits"), [("any", 1), ("4", 1), ("6", 0)])
async def test_addresses_of_the_ip_version_alone_are_dialled(origin, time, ip_version, hits):
    """The origin listens on 127.0.0.1 only; its name has both."""

    async def lookup(host):
        return ["::1", "127.0.0.1"]

    limits = replace(LIMITS, allow_networks=("127.0.0.0/8", "::1/128"))
    await fetch(_at(origin, "a.test", image()), time, lookup=lookup, limits=limits, network=Network(ip_version=ip_version))
    assert len(origin.log) == hits


async def test_silent_name_servers_are_retried(time):
    """EAI_AGAIN may pass."""

    async def later(host):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    outcome = await fetch("http://slow.test/x", time, lookup=later)
    assert (outcome.reason, time.waits) == ("network", [2.0, 4.0])


@pytest.mark.parametrize("answer", [["10.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["::ffff:10.0.0.1"], ["169.254.169.254"]])
async def test_name_with_one_bad_address_is_refused_without_a_dial(time, answer):
    """Any answer that is not public refuses the name."""
    dialled = []

    async def lookup(host):
        return answer

    class Recording(URLGuard):
        def check_address(self, address, *, own=False):
            super().check_address(address, own=own)
            dialled.append(address)

    transport = GuardedTransport(Recording(), lookup=lookup)
    with pytest.raises(errors.BlockedAddressError):
        await transport.handle_async_request(httpx.Request("GET", "http://evil.test/"))
    await transport.aclose()
    assert "10.0.0.1" not in dialled
    assert (await fetch("http://evil.test/x", time, lookup=lookup)).reason == "blocked_address"


async def test_literal_address_is_checked_at_the_dial():
    """The last wall: a literal never meets the resolver."""
    transport = GuardedTransport(URLGuard(), lookup=loopback)
    with pytest.raises(errors.BlockedAddressError):
        await transport.handle_async_request(httpx.Request("GET", "http://127.0.0.1:9/"))
    await transport.aclose()


async def test_rebinding_name_is_checked_at_each_dial(origin, time):
    """Public first, loopback later: the second answer is judged anew."""
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])

    async def rebinding(host):
        return next(answers)

    transport = GuardedTransport(URLGuard(allow_networks=("127.0.0.0/8",)), lookup=rebinding)
    response = await transport.handle_async_request(httpx.Request("GET", _at(origin, "a.test", image())))
    await response.aclose()
    with pytest.raises(errors.BlockedAddressError):
        await transport.handle_async_request(httpx.Request("GET", origin.url("/x", host="b.test")))
    await transport.aclose()


async def test_reused_connection_that_closed_is_repeated_at_once_and_counted(origin, downloader, time):
    """The keep-alive race costs an attempt and no wait."""
    origin.script("/a", image())
    origin.script("/b", hang_up(), image())
    assert isinstance(await downloader.fetch(origin.url("/a")), Fetched)
    outcome = await downloader.fetch(origin.url("/b"))
    assert isinstance(outcome, Fetched)
    assert (len(outcome.attempts), len(origin.hits("/b")), time.waits) == (2, 2, [])


@pytest.mark.parametrize(
    "step", [reset(), hang_up(), reset(b"HTTP/1.1 2"), raw(b"HTTP/1.1 103 X\r\n\r\n")], ids=["reset", "close", "part", "hint"]
)
async def test_no_url_gets_a_fourth_request(origin, downloader, step):
    """A server that breaks the connections of some URLs and keeps those of the others: no request is sent that no one counts."""
    good = [origin.script(f"/good{number}", image()) for number in range(40)]
    bad = [origin.script(f"/bad{number}", step) for number in range(3)]
    hops = [origin.script(f"/hop{number}", redirect(f"/end{number}")) for number in range(3)]
    for number in range(3):
        origin.script(f"/end{number}", step)
    urls = [*good[:20], *bad, *hops, *good[20:]]
    outcomes = {outcome.request.url: outcome async for outcome in downloader.fetch_many([FetchRequest(url) for url in urls])}
    assert [(outcomes[url].reason, len(outcomes[url].attempts)) for url in [*bad, *hops]] == [("network", 3)] * 6
    assert all(isinstance(outcomes[url], Fetched) for url in good)
    assert [len(origin.hits(f"/{name}{number}")) for name in ("bad", "hop", "end") for number in range(3)] == [3] * 9
    assert max(len(origin.hits(f"/good{number}")) for number in range(40)) == 1


async def test_fresh_connection_that_breaks_is_not_repeated(origin, downloader, time):
    """Three attempts are three requests, not six."""
    outcome = await downloader.fetch(origin.script("/b", reset()))
    assert (outcome.reason, len(origin.hits("/b"))) == ("network", 3)


async def test_connections_are_kept_alive(origin, downloader):
    """Ten images of a host take one connection."""
    url = origin.script("/a", image())
    for _ in range(10):
        await downloader.fetch(url)
    assert origin.connections == 1


async def test_unread_body_closes_its_connection(origin, downloader):
    """What we will not read is not read on for the sake of the pool."""
    origin.script("/a", raw(b"HTTP/1.1 404 X\r\nContent-Length: 900000\r\n\r\n", close=False))
    await downloader.fetch(origin.url("/a"))
    await downloader.fetch(origin.url("/a"))
    assert origin.connections == 2


async def test_descriptors_exhausted_are_our_fault(downloader, origin, monkeypatch):
    """EMFILE is no outcome of a URL: it is raised, and nobody retries it here."""

    def no_socket(*args, **kwargs):
        raise OSError(errno.EMFILE, "Too many open files")

    url = origin.script("/a", image())
    monkeypatch.setattr("downloader.transport.socket.socket", no_socket)
    with pytest.raises(errors.StorageError):
        await downloader.fetch(url)


async def test_no_proxy_from_the_environment(origin, downloader, monkeypatch):
    """A proxy would dial for us, unchecked."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert isinstance(await downloader.fetch(origin.script("/a", image())), Fetched)


async def test_no_credentials_from_the_environment(origin, downloader, monkeypatch, tmp_path):
    """What a .netrc says of a host is not for it to be told by a crawler."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login joe password secret\ndefault login joe password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_bytes(netrc.read_bytes())
    await downloader.fetch(origin.script("/a", redirect("/b")))
    assert [set(hit.headers) & {"authorization", "proxy-authorization"} for hit in origin.log] == [set(), set()]


async def test_default_authorities_do_not_know_ours(authority, time):
    """Without a context of the caller's the public authorities decide."""
    async with Origin(server_context(authority, "good.test")) as origin:
        outcome = await fetch(_at(origin, "good.test", image()), time)
    assert outcome.reason == "tls"


async def test_unused_transport_closes():
    """Nothing opened, nothing to close."""
    await GuardedTransport(URLGuard()).aclose()


async def test_post_goes_out_with_its_body(origin):
    """Not all that goes through here is a GET."""
    transport = GuardedTransport(URLGuard(allow_networks=("127.0.0.0/8",)), lookup=loopback)
    origin.script("/hook", image())
    response = await transport.handle_async_request(httpx.Request("POST", origin.url("/hook?a=1"), content=b"{}"))
    assert await response.aread()
    await transport.aclose()
    assert (origin.log[0].method, origin.log[0].body, origin.log[0].target) == ("POST", b"{}", "/hook?a=1")


async def test_content_that_comes_in_pieces_goes_out_whole(origin):
    """httpx lets a request's content be a stream."""

    async def pieces():
        yield b"{"
        yield b"}"

    origin.script("/hook", image())
    async with httpx.AsyncClient(transport=GuardedTransport(URLGuard(allow_networks=("127.0.0.0/8",)), lookup=loopback)) as client:
        await client.post(origin.url("/hook"), content=pieces(), headers={"Content-Length": "2"})
    assert (origin.log[0].method, origin.log[0].body) == ("POST", b"{}")


async def test_own_address_is_refused_however_public(origin):
    """Behind this machine's public address lie its own services; `allow_networks` exempts it like any other."""
    url = origin.script("/x", image())
    for networks, refused in ((("127.0.0.0/8",), False), ((), True)):
        transport = GuardedTransport(_Everywhere(allow_networks=networks), is_own=lambda family, where: True)
        async with httpx.AsyncClient(transport=transport) as client:
            if refused:
                with pytest.raises(errors.BlockedAddressError, match="own"):
                    await client.get(url)
            else:
                assert (await client.get(url)).status_code == 200
    assert len(origin.log) == 1


class _Everywhere(URLGuard):
    """Takes loopback for a public address of this machine."""

    def check_address(self, address, *, own=False):
        super().check_address("93.184.216.34" if not self._allowed else address, own=own)


async def test_answer_of_a_lookup_is_used_for_a_while(origin):
    """One lookup for many connections, another one once it is stale."""
    asked = []

    async def lookup(host):
        asked.append(host)
        return ["127.0.0.1"]

    for ttl_s, lookups in ((60, 1), (0, 2)):
        asked.clear()
        transport = GuardedTransport(URLGuard(allow_networks=("127.0.0.0/8",)), lookup=lookup, dns_ttl_s=ttl_s)
        for _ in range(2):
            response = await transport.handle_async_request(httpx.Request("GET", _at(origin, "a.test", raw(b"HTTP/1.1 404 X\r\n\r\n"))))
            await response.aclose()
        await transport.aclose()
        assert len(asked) == lookups
