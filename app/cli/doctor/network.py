"""Checks of the way to the hosts: environment, settings, name servers, the proxy, and one request with its TLS handshake for each host."""

import os
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import errors
from app.cli.doctor.finding import Finding, fail, note, ok, warn
from app.formatting import count
from app.resources import make_downloader, make_network, source_options
from app.settings import Settings
from downloader import Network
from downloader.proxy import check_proxy
from downloader.request import RequestOptions
from downloader.resolver import ThreadedResolver
from downloader.tls import check_ca_file

__all__ = ["check_network"]

PROXY_VARIABLES = ("https_proxy", "http_proxy", "all_proxy")
CA_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
LOOKUP_SLOW_S = 0.5
LOOKUPS = 3
TRIAL_S = 8.0
"""Seconds for one request and for each of its steps: a diagnosis of a dead network should be quick."""

TRIAL_BYTES = 64_000

HINTS: dict[type[errors.PictrawlError], str] = {
    errors.TLSError: "does this network inspect TLS, or has the host an authority of its own? fetch.ca_file; else check the clock",
    errors.HostNotFoundError: "check the name, and fetch.ip_version; where only a proxy resolves names: fetch.proxy",
    errors.BlockedAddressError: "is it a host of your own? fetch.allow_networks and fetch.ports exempt it",
    errors.ProxyRefusedError: "ask who runs the proxy to allow this host",
    errors.ProxyError: "is fetch.proxy right, and are its user and password?",
    errors.StorageError: "check the name servers in /etc/resolv.conf",
}
UNREACHED = "a firewall may let nothing out but a proxy: fetch.proxy; where IPv6 leads nowhere: fetch.ip_version"


async def check_network(settings: Settings, urls: Sequence[str] = ()) -> list[Finding]:
    """Check what a build needs of the network.

    Args:
        urls: whose hosts are asked and have to answer, instead of those of the sources, which only a build from keywords needs.
    """
    findings = list(_environment(settings))
    try:
        network = make_network(settings)
    except errors.ConfigurationError as error:
        what, _, hint = str(error).partition("; ")
        return [*findings, fail("network", "settings", what, hint or "pictrawl config validate")]
    if network.ca_file is not None:
        findings.append(ok("network", "ca_file", f"{count(check_ca_file(network.ca_file), 'certificate')} in {network.ca_file}"))
    proxied = await _proxy(network)
    findings += proxied
    if any(finding.status == "fail" for finding in proxied):
        return findings
    for url in urls:
        findings += await _host(settings, network, url)
    if not urls:
        findings += map(_as_optional, await _host(settings, network, source_options(settings, "wikimedia").base_url))
    return findings


def _as_optional(finding: Finding) -> Finding:
    """A finding about a source: a build from a list never asks one."""
    if finding.status != "fail":
        return finding
    return replace(finding, status="note", hint=f"a list needs no source, keywords do: {finding.hint}")


def _environment(settings: Settings) -> Iterable[Finding]:
    """Variables that other programs obey."""
    proxies = [name for name in os.environ if name.lower() in PROXY_VARIABLES and os.environ[name]]
    if proxies and settings.fetch.proxy is None:
        named = sorted(proxies, key=lambda name: PROXY_VARIABLES.index(name.lower()))
        value = f"{', '.join(named)} set, and not used: pictrawl obeys its setting only"
        yield warn("network", "proxy", value, f'to use it, in pictrawl.toml: [fetch] proxy = {{ env = "{named[0]}" }}')
    authorities = [name for name in CA_VARIABLES if os.environ.get(name)]
    if authorities:
        yield note(
            "network", "authorities", f"{', '.join(authorities)} set: only those are trusted", "fetch.ca_file adds to the public ones"
        )


async def _proxy(network: Network) -> list[Finding]:
    proxy = network.proxy
    if proxy is None:
        return []
    try:
        await check_proxy(proxy)
    except errors.ProxyError as error:
        return [fail("network", "proxy", str(error), HINTS[errors.ProxyError])]
    answers = ok("network", "proxy", f"{proxy.url} lets us in")
    if not proxy.resolves_names:
        return [answers]
    return [answers, note("network", "address guard", proxy.blind_spot, "let the proxy refuse private addresses, or use socks5://")]


async def _host(settings: Settings, network: Network, url: str) -> list[Finding]:
    host = urlsplit(url).hostname or url
    if network.proxy is not None and network.proxy.resolves_names:
        return [await _request(settings, url)]
    looked_up = await _lookup(host)
    return [looked_up] if looked_up.status == "fail" else [looked_up, await _request(settings, url)]


async def _lookup(host: str) -> Finding:
    resolver = ThreadedResolver()
    times = []
    try:
        for _ in range(LOOKUPS):
            began = time.perf_counter()
            await resolver(host)
            times.append(time.perf_counter() - began)
    except socket.gaierror as error:
        hint = "check the name and /etc/resolv.conf; where only a proxy resolves names: fetch.proxy"
        return fail("network", "dns", f"{host}: {error.strerror}", hint)
    finally:
        resolver.close()
    value = f"{host} in {1000 * sorted(times)[LOOKUPS // 2]:.0f} ms"
    if max(times) > LOOKUP_SLOW_S:
        return warn("network", "dns", f"{value}, slowest {1000 * max(times):.0f} ms", "a caching resolver on this machine helps")
    return ok("network", "dns", value)


async def _request(settings: Settings, url: str) -> Finding:
    """Ask for the robots.txt of a host, which a build reads as well, with the downloader of a build."""
    parts = urlsplit(url)
    site = f"{parts.scheme}://{parts.netloc}"
    began = time.perf_counter()
    try:
        async with make_downloader(_in_a_hurry(settings)) as downloader:
            reply = await downloader.send(f"{site}/robots.txt", RequestOptions(TRIAL_BYTES, truncate=True, min_redirects=5))
            status = reply.status
    except (errors.PermanentError, errors.TransientError, errors.ProxyError, errors.StorageError) as error:
        if error.status is None or isinstance(error, errors.ProxyRefusedError):
            return fail("network", _aspect(error), str(error), HINTS.get(type(error), UNREACHED))
        status = error.status
    secured = ", its certificate is valid" if parts.scheme == "https" else ""
    return ok("network", "host", f"{site} answers {status} in {1000 * (time.perf_counter() - began):.0f} ms{secured}")


def _aspect(error: errors.PictrawlError) -> str:
    names: dict[type[errors.PictrawlError], str] = {
        errors.TLSError: "certificate",
        errors.HostNotFoundError: "dns",
        errors.BlockedAddressError: "address guard",
        errors.ProxyRefusedError: "proxy",
        errors.ProxyError: "proxy",
    }
    return names.get(type(error), "host")


def _in_a_hurry(settings: Settings) -> Settings:
    """The same network with one attempt and short times."""
    short = {name: min(getattr(settings.fetch, name), TRIAL_S) for name in ("connect_timeout_s", "read_timeout_s", "attempt_timeout_s")}
    fetch = settings.fetch.model_copy(update=short)
    return settings.model_copy(update={"fetch": fetch, "retry": settings.retry.model_copy(update={"attempts": 1})})
