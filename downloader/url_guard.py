"""Which URLs may be requested and which addresses may be dialled. Pure: resolves nothing, opens nothing, logs nothing.

How a URL is read stands in `downloader.url_syntax`; what is judged here is exactly what is dialled.
"""

import functools
import ipaddress
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

import httpx
import yarl

import errors
from downloader import url_syntax

__all__ = ["Target", "URLGuard", "check_url", "is_local_name", "is_public", "normalise"]

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAX_HOSTS: Final = 4096
"""Addresses whose judgement is cached: a list names each of its hosts many times."""

_NOT_PUBLIC_V4: Final = tuple(
    ipaddress.IPv4Network(cidr)
    for cidr in (
        "100.64.0.0/10",  # carrier NAT; a cloud's metadata lives at 100.100.100.200
        "168.63.129.16/32",  # a cloud's wire server on a public address
        "192.0.0.0/24",  # protocol assignments, another cloud's metadata
        "192.88.99.0/24",  # 6to4 relays
    )
)
_LOCAL_DOMAINS: Final = (".localhost", ".local", ".internal", ".home.arpa")
"""RFC 6761, RFC 6762, ICANN's reservation of 2024, RFC 8375."""

_GLOBAL_V6: Final = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6: Final = tuple(
    ipaddress.IPv6Network(cidr) for cidr in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "2620:4f:8000::/48")
)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be requested, taken apart.

    Attributes:
        url: what is sent, as `url_syntax.URLParts.url`.
        path: path and query, ASCII.
        origin: ``scheme://host:port``, the key of everything that is kept per host.
        parsed: ``url`` as httpx reads it.
    """

    url: str
    scheme: str
    host: str
    port: int
    path: str
    origin: str
    parsed: httpx.URL = field(repr=False, compare=False)


@functools.lru_cache(_MAX_HOSTS)
def is_public(address: str | IPAddress) -> bool:
    """Tell whether an address is one of the public internet; embedded IPv4 (6to4, NAT64, mapped) never makes it so."""
    ip = _unwrap(ipaddress.ip_address(address))
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast and not any(ip in net for net in _NOT_PUBLIC_V4)
    return ip in _GLOBAL_V6 and not any(ip in net for net in _NOT_PUBLIC_V6)


def is_local_name(host: str) -> bool:
    """Tell whether a name is one of local networks: a single label, or below a domain that the public DNS does not have."""
    return "." not in host or host.endswith(_LOCAL_DOMAINS)


def check_url(url: str, ports: Collection[int] = (80, 443)) -> Target:
    """Read a URL as browsers do and refuse what may not be requested. `URLGuard` checks addresses.

    Args:
        url: absolute http or https URL.
        ports: the ports that may be dialled; empty means any.

    Raises:
        errors.InvalidURLError: see `url_syntax.parse`.
        errors.BlockedAddressError: a port outside ``ports``.
    """
    parts = url_syntax.parse(url)
    if ports and parts.port not in ports:
        raise errors.BlockedAddressError(f"port {parts.port} is not among the ports allowed", evidence=f"port {parts.port}")
    try:
        parsed = httpx.URL(parts.url)
    except (httpx.InvalidURL, ValueError) as exc:
        raise url_syntax.bad_host(url, parts.host, "is no name that can be requested") from exc
    return Target(parts.url, parts.scheme, parts.host, parts.port, parts.path, f"{parts.site}:{parts.port}", parsed)


class URLGuard:
    """The rules of one downloader: its ports, and the networks that are exempt from the address rule (never from the ports).

    Args:
        ports: see `check_url`.
        allow_networks: exempt networks, as CIDRs.
        sees_addresses: False where a proxy resolves the names. Names of local networks are refused then, unless some network is exempt;
            what address any other name has is the proxy's to judge.
    """

    def __init__(self, ports: Collection[int] = (), allow_networks: Iterable[str] = (), *, sees_addresses: bool = True) -> None:
        self._ports = frozenset(ports)
        self._allowed = tuple(_network(cidr) for cidr in allow_networks)
        self._sees_addresses = sees_addresses

    def check_url(self, url: str) -> Target:
        """Check a URL, and the address too where the host is one.

        Raises:
            errors.InvalidURLError: see `check_url`.
            errors.BlockedAddressError: a port, a literal address or, behind a proxy, a local name is not allowed.
        """
        target = check_url(url, self._ports)
        if _as_address(target.host) is not None:
            self.check_address(target.host)
        elif not self._sees_addresses and not self._allowed and is_local_name(target.host):
            raise errors.BlockedAddressError(f"{target.host} is a name of the proxy's own network", evidence=target.host)
        return target

    def check_address(self, address: str, *, own: bool = False) -> None:
        """Refuse an address that is neither public nor exempt.

        Args:
            own: it is this machine's, behind which may lie what the public does not reach.

        Raises:
            errors.BlockedAddressError: with the address as evidence.
        """
        ip = _read_address(address)
        if (is_public(ip) and not own) or any(ip in network for network in self._allowed):
            return
        what = "is this machine's own" if is_public(ip) else "is not a public address"
        raise errors.BlockedAddressError(f"{address} {what}", evidence=address)


_MAX_NORMAL_CHARS = 2_000
_NORMAL = re.compile(  # beyond doubt a URL in its normal form: no port, no escape, no dot segment, a name that is no number
    r"https?://(?!xn--)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.(?!xn--)){1,4}[a-z]{2,20}"
    r"/(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*/)*(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*)?(?:\?[A-Za-z0-9._~=&-]+)?"
)


def normalise(url: str) -> str:
    """Return the key under which two spellings of one URL are the same: for deduplication, never for a request.

    Scheme and host in lower case, default port and fragment dropped, dot segments resolved, escapes canonical, query kept in order.

    Raises:
        errors.InvalidURLError: where `check_url` would refuse it.
    """
    if len(url) <= _MAX_NORMAL_CHARS and _NORMAL.fullmatch(url):
        return url
    target = check_url(url, ())
    try:
        return str(yarl.URL(target.url))
    except ValueError as exc:
        raise errors.InvalidURLError("a host or a path that cannot be normalised") from exc


@functools.lru_cache(_MAX_HOSTS)
def _read_address(text: str) -> IPAddress:
    return _unwrap(ipaddress.ip_address(text.partition("%")[0]))


@functools.lru_cache(_MAX_HOSTS)
def _as_address(host: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _unwrap(ip: IPAddress) -> IPAddress:
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip


def _network(cidr: str) -> IPNetwork:
    try:
        return ipaddress.ip_network(cidr, strict=False)
    except ValueError as exc:
        raise errors.ConfigurationError(f"fetch.allow_networks: {cidr!r} is no network; write it like 10.0.0.0/8") from exc
