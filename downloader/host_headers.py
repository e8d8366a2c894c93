"""Further headers of some hosts, with the credentials in them: which request gets which. Pure; knows no settings file.

An entry is for one origin: a host, or with a leading ``*.`` every host below it, and one port. Without a port it is for those of the
schemes, 443 and 80. The most specific entry counts alone. Over plain http, where anybody on the way reads along, headers and cookies are
sent only where the entry says so. A redirect gets the headers of its own host, never those of the host before.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import errors
from downloader import url_syntax

if TYPE_CHECKING:  # it loads httpx, which commands that only look do without
    from downloader.url_guard import Target

__all__ = [
    "HostEntry",
    "HostHeaders",
    "HostPattern",
    "check_cookie_name",
    "check_header_name",
    "check_referer",
    "check_value",
    "make_entry",
    "merge",
    "read_pattern",
]

HeaderLines = tuple[tuple[bytes, bytes], ...]

_MAX_HOSTS: Final = 4096

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110 5.6.2: the name of a header or, by RFC 6265, of a cookie."""

_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?")
"""RFC 9110 5.5: printable ASCII without space at the ends. A line break would begin another header."""

_COOKIE_VALUE: Final = re.compile(r"[^\s;]+")

_OURS: Final = {
    "user-agent": "set fetch.contact, which is part of it",
    "cookie": "use cookies of the same host",
    "referer": "use referer of the same host",
}
_OWNED: Final = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive", "expect", "http2-settings"}
    | {"accept-encoding", "range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "via"}
)
"""Headers that say how a message is framed, coded or asked for, which the downloader decides for each request."""


@dataclass(frozen=True, slots=True)
class HostPattern:
    """Which origins an entry is for.

    Attributes:
        host: as `url_syntax` writes it.
        port: None for the one of the scheme.
        is_wildcard: every host below ``host``, and not ``host`` itself.
    """

    host: str
    port: int | None = None
    is_wildcard: bool = False


@dataclass(frozen=True, slots=True)
class HostEntry:
    """The headers of one entry.

    Attributes:
        credentials: headers and cookies.
        public: what may be sent over plain http, the Referer.
        allow_http: send all over plain http too.
    """

    credentials: HeaderLines = field(default=(), repr=False)
    public: HeaderLines = ()
    allow_http: bool = False

    def lines(self, scheme: str) -> HeaderLines:
        """Return what is sent over a scheme."""
        return self.public + self.credentials if scheme == "https" or self.allow_http else self.public


class HostHeaders:
    """The entries of one downloader."""

    def __init__(self, entries: Mapping[HostPattern, HostEntry]) -> None:
        self._entries = dict(entries)
        self._find = functools.lru_cache(_MAX_HOSTS)(self._search)

    def lines(self, target: "Target") -> HeaderLines:
        """Return the header lines for a request to a URL."""
        entry = self._entry(target)
        return entry.lines(target.scheme) if entry is not None else ()

    def withholds(self, target: "Target") -> bool:
        """Tell whether a request went without credentials because it was plain http."""
        entry = self._entry(target)
        return entry is not None and entry.lines(target.scheme) != entry.lines("https")

    def _entry(self, target: "Target") -> HostEntry | None:
        return self._find(target.scheme, target.host, target.port) if self._entries else None

    def _search(self, scheme: str, host: str, port: int) -> HostEntry | None:
        is_default = port == url_syntax.DEFAULT_PORTS[scheme]
        for name, is_wildcard in _patterns_of(host):
            for wanted in (port, None) if is_default else (port,):
                if (entry := self._entries.get(HostPattern(name, wanted, is_wildcard))) is not None:
                    return entry
        return None


def merge(lines: Sequence[tuple[bytes, bytes]], over: Sequence[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
    """Return header lines with those in ``over`` in the place of others of the same name."""
    if not over or not lines:
        return over or lines
    names = {name.lower() for name, _ in over}
    return [*(line for line in lines if line[0].lower() not in names), *over]


def _patterns_of(host: str) -> Iterator[tuple[str, bool]]:
    """Yield a host, then the domains that it is below, nearest first."""
    yield host, False
    while "." in host:
        host = host.partition(".")[2]
        yield host, True


def read_pattern(text: str) -> HostPattern:
    """Read ``example.org``, ``example.org:8443``, ``*.example.org`` or ``[2001:db8::1]:443``.

    Raises:
        ValueError: it is none of these; the message says how to write it.
    """
    name = text.removeprefix("*.")
    is_wildcard = name != text
    if "/" in name or "*" in name or "@" in name:
        raise ValueError("write a host, such as example.org, *.example.org for all hosts below it, or example.org:8443")
    try:
        parts = url_syntax.parse(f"https://{name}/")
    except errors.InvalidURLError as exc:
        raise ValueError(exc.message) from exc
    if is_wildcard and ("." not in parts.host or parts.host.rpartition(".")[2].isdigit()):
        raise ValueError("a * stands for the hosts below a domain of two names or more, such as *.example.org")
    has_port = re.search(r":\d+\Z", name) is not None
    return HostPattern(parts.host, parts.port if has_port else None, is_wildcard)


def check_header_name(name: str) -> str:
    """Return the name of a header that an entry may set.

    Raises:
        ValueError: it is none, or the downloader's own.
    """
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a header")
    small = name.lower()
    if small in _OURS:
        raise ValueError(f"{name} is not a header to set; {_OURS[small]}")
    if small in _OWNED or small.startswith(("proxy-", "sec-")):
        raise ValueError(f"{name} is not a header to set; the downloader sets or omits it for each request")
    return name


def check_value(value: str, *, is_cookie: bool = False) -> bytes:
    """Return the value of a header or a cookie as it is sent.

    Raises:
        ValueError: it cannot be one. The message does not quote it.
    """
    if not value:
        raise ValueError("the value is empty")
    if not _VALUE.fullmatch(value):
        raise ValueError("the value holds a line break, a control character, a space at an end or something else than ASCII")
    if is_cookie and not _COOKIE_VALUE.fullmatch(value):
        raise ValueError("the value of a cookie holds a space or a semicolon")
    return value.encode("ascii")


def check_referer(value: str) -> str:
    """Return a Referer, without the parts that RFC 9110 10.1.3 forbids in it.

    Raises:
        ValueError: it is no http or https URL, or has credentials or a fragment.
    """
    if value and (not re.fullmatch(r"https?://[\x21-\x7e]+", value) or "#" in value or "@" in value.split("/")[2]):
        raise ValueError("write an http or https URL without credentials and fragment")
    return value


def check_cookie_name(name: str) -> str:
    """Return the name of a cookie.

    Raises:
        ValueError: it is none.
    """
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a cookie")
    return name


def make_entry(headers: Mapping[str, bytes], cookies: Mapping[str, bytes], referer: str = "", *, allow_http: bool = False) -> HostEntry:
    """Build an entry of checked values."""
    lines = [(name.encode("ascii"), value) for name, value in headers.items()]
    if cookies:
        lines.append((b"Cookie", b"; ".join(name.encode("ascii") + b"=" + value for name, value in cookies.items())))
    public = ((b"Referer", referer.encode("ascii")),) if referer else ()
    return HostEntry(tuple(lines), public, allow_http)
