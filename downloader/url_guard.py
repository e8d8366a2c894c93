"""Which URLs may be requested and which addresses may be dialled. Pure: resolves nothing, opens nothing, logs nothing.

A refusal names the part at fault and quotes it. A text with an @ in it may hold a password in any place, if its author forgot to escape
it: then nothing of it is quoted.
"""

import functools
import ipaddress
import re
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urljoin

import httpx
import yarl

import errors

__all__ = ["Target", "URLGuard", "check_url", "is_public", "normalise", "resolve_location"]

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAX_URL_CHARS: Final = 8192
"""Servers refuse request lines beyond 8 KB (RFC 9110 4.1 asks for 8000 octets at least)."""

_MAX_HOSTS: Final = 4096
"""Hosts whose parsed form is cached: a list names each of its hosts many times."""

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_SPLIT: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<target>[^#]*)", re.DOTALL)
_AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:@]+)(?::(?P<port>[0-9]{0,5}))?")
_UNUSABLE: Final = re.compile(r"[\x00-\x20\x7f-\x9f\\\u2028\u2029\ud800-\udfff]")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SAFE: Final = "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"
"""All printable ASCII characters: only others are escaped, the rest is sent as given."""

_QUOTED_CHARS: Final = 60
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_PORT: Final = re.compile(r":([^:\[\]]*)\Z")
_CHARACTER_NAMES: Final = {" ": "a space", "\\": "a backslash"}

_NOT_PUBLIC_V4: Final = tuple(
    ipaddress.IPv4Network(cidr)
    for cidr in (
        "100.64.0.0/10",  # carrier NAT; a cloud's metadata lives at 100.100.100.200
        "168.63.129.16/32",  # a cloud's wire server on a public address
        "192.0.0.0/24",  # protocol assignments, another cloud's metadata
        "192.88.99.0/24",  # 6to4 relays
    )
)
_GLOBAL_V6: Final = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6: Final = tuple(
    ipaddress.IPv6Network(cidr) for cidr in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "2620:4f:8000::/48")
)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be requested, taken apart.

    Attributes:
        url: what is sent: lower-case scheme and ASCII host, default port and fragment dropped, path and query as given.
        path: path and query, ASCII, as given.
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


def check_url(url: str, ports: Collection[int] = (80, 443)) -> Target:
    """Take a URL apart and refuse what may not be requested. `URLGuard` checks addresses.

    Args:
        url: absolute http or https URL.
        ports: the ports that may be dialled; empty means any.

    Raises:
        errors.InvalidURLError: not http(s), userinfo, control characters, backslashes, spaces, no or a bad host or port; the message
            names the part, and quotes it where it can hold no secret.
        errors.BlockedAddressError: a port outside ``ports``.
    """
    scheme, authority, rest = _split(url)
    host, port = _known_host_and_port(url, authority, _DEFAULT_PORTS[scheme])
    if ports and port not in ports:
        raise errors.BlockedAddressError(f"port {port} is not among the ports allowed", evidence=f"port {port}")
    path = rest if rest.startswith("/") else f"/{rest}"
    if not path.isascii():
        path = quote(path, safe=_SAFE)
    site = f"{scheme}://{_bracketed(host)}"
    sent = f"{site}{path}" if port == _DEFAULT_PORTS[scheme] else f"{site}:{port}{path}"
    return Target(sent, scheme, host, port, path, f"{site}:{port}", _parse(url, sent, host))


class URLGuard:
    """The rules of one downloader: its ports, and the networks that are exempt from the address rule (never from the ports)."""

    def __init__(self, ports: Collection[int] = (), allow_networks: Iterable[str] = ()) -> None:
        self._ports = frozenset(ports)
        self._allowed = tuple(_network(cidr) for cidr in allow_networks)

    def check_url(self, url: str) -> Target:
        """Check a URL, and the address too where the host is one.

        Raises:
            errors.InvalidURLError: see `check_url`.
            errors.BlockedAddressError: a port or a literal address is not allowed.
        """
        target = check_url(url, self._ports)
        if _as_address(target.host) is not None:
            self.check_address(target.host)
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


def resolve_location(base: str, location: str) -> str:
    """Return the absolute URL that a Location header names: spaces escaped, credentials and fragment dropped.

    Raises:
        errors.InvalidURLError: it names none.
    """
    reference = location.strip(" \t").replace(" ", "%20").partition("#")[0]
    try:
        absolute = urljoin(base, reference)
    except ValueError as exc:
        raise errors.InvalidURLError("a host that cannot be read") from exc
    if reference.endswith("?") and not absolute.endswith("?"):  # urljoin drops an empty query
        absolute += "?"
    return re.sub(r"(?<=://)[^/?#@]*@", "", absolute, count=1)


def _split(url: str) -> tuple[str, str, str]:
    if len(url) > _MAX_URL_CHARS:
        raise _too_long(url, _MAX_URL_CHARS)
    if found := _UNUSABLE.search(url):
        raise _bad_character(url, found.start())
    parts = _SPLIT.match(url)
    if parts is None or parts["scheme"].lower() not in _DEFAULT_PORTS:
        raise _bad_scheme(url)
    if "@" in parts["authority"]:
        raise _refusal("credentials in the URL")
    return parts["scheme"].lower(), parts["authority"], parts["target"]


def _known_host_and_port(url: str, authority: str, default_port: int) -> tuple[str, int]:
    """Take an authority apart, once for all URLs of a host; what is refused is read again, to be worded for its URL."""
    try:
        return _usual_host_and_port(authority, default_port)
    except errors.InvalidURLError:
        return _host_and_port(url, authority, default_port)


@functools.lru_cache(_MAX_HOSTS)
def _usual_host_and_port(authority: str, default_port: int) -> tuple[str, int]:
    return _host_and_port("", authority, default_port)


def _host_and_port(url: str, authority: str, default_port: int) -> tuple[str, int]:
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise _bad_authority(url, authority)
    port = int(parts["port"]) if parts["port"] else default_port
    if not 0 < port < 65536:
        raise _bad_port(port)
    if parts["host"].startswith("["):
        return _ipv6_literal(url, parts["host"]), port
    return _host_name(url, parts["host"]), port


def _ipv6_literal(url: str, text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text[1:-1]))
    except ValueError as exc:
        raise _bad_host(url, text, "is not an IPv6 address") from exc


def _host_name(url: str, text: str) -> str:
    host = _to_ascii(url, text).removesuffix(".")
    labels = host.split(".")
    if len(host) > 253:
        raise _bad_host(url, text, "is longer than 253 characters")
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise _bad_label(url, text, label)
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4_literal(url, host)
    return host


def _to_ascii(url: str, text: str) -> str:
    if text.isascii():
        return text.lower()
    try:
        return (yarl.URL(f"http://{text}/").raw_host or "").lower()
    except ValueError as exc:
        raise _bad_host(url, text, "is not an international host name") from exc


def _ipv4_literal(url: str, host: str) -> str:
    """Take dotted decimal only. Octal, hex and short forms mean an address to some readers and a name to others."""
    if _as_address(host) is not None:
        return host
    try:
        meant = socket.inet_ntoa(socket.inet_aton(host))
    except OSError as exc:
        raise _bad_host(url, host, "ends in a number and is no IPv4 address") from exc
    if not is_public(meant):
        raise errors.BlockedAddressError(f"{host} means {meant}, which is not a public address", evidence=meant)
    raise _bad_host(url, host, "is an IPv4 address that is not written as four decimal numbers")


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


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _network(cidr: str) -> IPNetwork:
    try:
        return ipaddress.ip_network(cidr, strict=False)
    except ValueError as exc:
        raise errors.ConfigurationError(f"fetch.allow_networks: {cidr!r} is no network; write it like 10.0.0.0/8") from exc


def _parse(given: str, url: str, host: str) -> httpx.URL:
    """Parse a checked URL as httpx does.

    Args:
        given: the URL before it was checked, for the message of a refusal.
    """
    try:
        parsed = httpx.URL(url)
        if "xn--" in host:
            _ = parsed.host  # httpx decodes it only now
    except (httpx.InvalidURL, ValueError) as exc:
        raise _bad_host(given, host, "is no name that can be requested") from exc
    return parsed


def _too_long(url: str, most: int) -> errors.InvalidURLError:
    return _refusal(f"the URL is {len(url)} characters long, more than {most}", evidence=f"length {len(url)}")


def _bad_character(url: str, at: int) -> errors.InvalidURLError:
    """Name the character and its place, counted from 1."""
    name = _CHARACTER_NAMES.get(url[at]) or f"a control character (U+{ord(url[at]):04X})"
    return _refusal(f"{name} at character {at + 1} of the URL", evidence=f"character {at + 1}")


def _bad_scheme(url: str) -> errors.InvalidURLError:
    """Neither http:// nor https://: another scheme, none, or no slashes behind it."""
    found = _SCHEME.match(url)
    if found is None:
        return _refusal("no scheme: not an absolute http or https URL")
    if found[1].lower() in ("http", "https"):
        return _refusal(f"no host: not an absolute URL, as {found[1].lower()}: needs two slashes behind it")
    return _part(url, "scheme", found[1], "is not http or https")


def _bad_authority(url: str, authority: str) -> errors.InvalidURLError:
    """What cannot be split into a host and a port."""
    port = None if authority.startswith("[") and "]" not in authority else _PORT.search(authority)
    host = authority[: port.start()] if port else authority
    if not host:
        return _refusal("no host")
    if port is not None and not re.fullmatch(r"[0-9]{0,5}", port[1]):
        return _part(url, "port", port[1], "is not a number from 1 to 65535")
    return _part(url, "host", host, "cannot be read: a colon or a bracket out of place")


def _bad_port(port: int) -> errors.InvalidURLError:
    return _refusal(f"port {port} does not exist: there are 1 to 65535", evidence=f"port {port}")


def _bad_host(url: str, host: str, why: str) -> errors.InvalidURLError:
    return _part(url, "host", host, why)


def _bad_label(url: str, host: str, label: str) -> errors.InvalidURLError:
    """One of the names between the dots."""
    if not label:
        return _part(url, "host", host, "has an empty label: two dots in a row, or one in front")
    if len(label) > 63:
        return _part(url, "host label", label, "is longer than 63 characters")
    if label.startswith("-") or label.endswith("-"):
        return _part(url, "host label", label, "begins or ends with a hyphen")
    return _part(url, "host label", label, "has a character that no host name has")


def _part(url: str, part: str, value: str, why: str) -> errors.InvalidURLError:
    if "@" in url:
        return _refusal(f"the {part} {why}")
    shown = repr(value if len(value) <= _QUOTED_CHARS else value[: _QUOTED_CHARS - 1] + "…")
    return _refusal(f"{part} {shown} {why}", evidence=f"{part} {shown}")


def _refusal(message: str, *, evidence: str | None = None) -> errors.InvalidURLError:
    return errors.InvalidURLError(message, evidence=evidence)
