"""Reads a URL as browsers do (WHATWG URL Standard), for http and https. Pure text: judges no address and opens nothing.

The result is the one reading of a URL: guard, robots.txt, limiter, deduplication and transport all use it, so no two parts of the program
can take the same text for two hosts. It differs from a browser's in what a browser would hide: credentials are refused, and a well-formed
path and query keep their bytes (signed URLs depend on them), dot segments and `'` included.

A refusal names the part at fault and quotes it. A text with an @ in it may hold a password in any place, if its author forgot to escape
it: then nothing of it is quoted.
"""

import functools
import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

import idna

import errors

__all__ = ["DEFAULT_PORTS", "MAX_URL_CHARS", "URLParts", "bad_host", "parse", "remove_dot_segments", "resolve"]

MAX_URL_CHARS: Final = 8192
"""Servers refuse request lines beyond 8 KB (RFC 9110 4.1 asks for 8000 octets at least)."""

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_MAX_HOSTS: Final = 4096
"""Hosts whose parsed form is cached: a list names each of its hosts many times."""

_STRIPPED: Final = "".join(map(chr, range(0x21)))
"""C0 controls and the space, which browsers strip at both ends."""

_LINE_BREAKS: Final = re.compile(r"[\t\n\r]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_REST: Final = re.compile(r"[/\\]*(?P<authority>[^/\\?#]*)(?P<path>[^?#]*)(?P<query>(?:\?[^#]*)?)", re.DOTALL)
_AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:@\x00-\x20\x7f]+)(?::(?P<port>[0-9]*))?")
_LABEL: Final = re.compile(r"[a-z0-9_-]{1,63}")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_JOINERS: Final = re.compile("[\u200c\u200d]")

_IN_PATH: Final = re.compile(r"[^!$-;=@-\[\]_a-z|~]")
"""What is escaped in a path: controls, the space, non-ASCII, and `"#<>?^`{}`."""

_IN_QUERY: Final = re.compile(r"[^!$-;=?-~]")
_KEPT_IN_PATH: Final = "!$%&'()*+,-./:;=@[]_|~"
_KEPT_IN_QUERY: Final = _KEPT_IN_PATH + "?\\^`{}"

_QUOTED_CHARS: Final = 60
_PORT: Final = re.compile(r":([^:\[\]]*)\Z")


@dataclass(frozen=True, slots=True)
class URLParts:
    """A URL taken apart.

    Attributes:
        host: ASCII, lower case, without a trailing dot; four decimal numbers for every spelling of an IPv4 address; no brackets.
        path: path and query as they are sent: ASCII, at least ``/``.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def site(self) -> str:
        """``scheme://host``, without the port."""
        return f"{self.scheme}://[{self.host}]" if ":" in self.host else f"{self.scheme}://{self.host}"

    @property
    def url(self) -> str:
        """What is requested: the default port and the fragment are dropped."""
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.site}{port}{self.path}"


def parse(url: str) -> URLParts:
    """Read an absolute URL.

    Raises:
        errors.InvalidURLError: not http(s), credentials, no or a bad host or port, longer than 8192 characters; the message names the
            part, and quotes it where it can hold no secret.
    """
    if len(url) > MAX_URL_CHARS:
        raise _too_long(len(url))
    text = _LINE_BREAKS.sub("", url.strip(_STRIPPED))
    if found := _SURROGATE.search(text):
        raise _refusal(f"half a character (U+{ord(found[0]):04X}) at character {found.start() + 1} of the URL")
    scheme = _SCHEME.match(text)
    if scheme is None or scheme[1].lower() not in DEFAULT_PORTS:
        raise _bad_scheme(text)
    parts = _REST.match(text, scheme.end())
    assert parts is not None  # every part may be empty
    if "@" in parts["authority"]:
        raise _refusal("credentials in the URL")
    name = scheme[1].lower()
    host, port = _known_host_and_port(text, parts["authority"], DEFAULT_PORTS[name])
    read = URLParts(name, host, port, _escaped_path(parts["path"]) + _escaped_query(parts["query"]))
    if len(read.path) > MAX_URL_CHARS:
        raise _too_long(len(read.path))
    return read


def resolve(base: str, reference: str) -> str:
    """Return the absolute URL that a Location header names, to be read by `parse`: without credentials.

    Args:
        base: the URL that was requested, as `URLParts.url`.

    Raises:
        errors.InvalidURLError: credentials without a host.
    """
    text, fragment_mark, _ = _LINE_BREAKS.sub("", reference.strip(_STRIPPED)).partition("#")
    return _absolute(base, text) + fragment_mark


def _absolute(base: str, text: str) -> str:
    base_scheme = base.partition(":")[0]
    scheme = _SCHEME.match(text)
    if scheme is not None and scheme[1].lower() == base_scheme and not text.startswith("//", scheme.end()):
        text, scheme = text[scheme.end() :], None  # `http:x` is relative to a base of the same scheme
    if scheme is not None:
        return _without_credentials(text, scheme.end())
    if text[:2].replace("\\", "/") == "//":
        return _without_credentials(f"{base_scheme}:{text}", len(base_scheme) + 1)
    parts = _REST.match(base, len(base_scheme) + 1)
    assert parts is not None
    path, mark, query = text.partition("?")
    if path:
        return f"{base_scheme}://{parts['authority']}{_merged(parts['path'], path)}{mark}{query}"
    return f"{base_scheme}://{parts['authority']}{parts['path']}{mark + query or parts['query']}"


def _merged(base: str, path: str) -> str:
    """Return the path of a reference: relative to that of the base (RFC 3986 5.2.3)."""
    path = path.replace("\\", "/")
    return remove_dot_segments(path if path.startswith("/") else f"{base.rpartition('/')[0]}/{path}")


def remove_dot_segments(path: str) -> str:
    """Resolve ``.`` and ``..`` in a path that begins with a slash (RFC 3986 5.2.4)."""
    if "/." not in path:
        return path
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    is_folder = path.endswith(("/.", "/.."))
    return "/" + "/".join([*kept, ""] if is_folder else kept)


def _without_credentials(url: str, start: int) -> str:
    parts = _REST.match(url, start)
    assert parts is not None
    authority = parts["authority"].rpartition("@")[2]
    if not authority:
        raise _refusal("no host")
    return f"{url[:start]}//{authority}{parts['path']}{parts['query']}"


def _escaped_path(path: str) -> str:
    path = path.replace("\\", "/")
    return (quote(path, safe=_KEPT_IN_PATH) if _IN_PATH.search(path) else path) or "/"


def _escaped_query(query: str) -> str:
    return quote(query, safe=_KEPT_IN_QUERY) if _IN_QUERY.search(query) else query


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
    digits = (parts["port"] or "").lstrip("0") or ("0" if parts["port"] else str(default_port))
    if len(digits) > 5 or not 0 < int(digits) < 65536:
        raise _refusal(f"port {digits[:20]} does not exist: there are 1 to 65535", evidence=f"port {digits[:20]}")
    if parts["host"].startswith("["):
        return _ipv6_literal(url, parts["host"]), int(digits)
    return _host_name(url, parts["host"]), int(digits)


def _ipv6_literal(url: str, text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text[1:-1]))
    except ValueError as exc:
        raise bad_host(url, text, "is not an IPv6 address") from exc


def _host_name(url: str, text: str) -> str:
    host = _to_ascii(url, text).removesuffix(".")
    if len(host) > 253:
        raise bad_host(url, text, "is longer than 253 characters")
    labels = host.split(".")
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise _bad_label(url, text, label)
    return _ipv4_literal(url, host, labels) if _NUMBER.fullmatch(labels[-1]) else host


def _to_ascii(url: str, text: str) -> str:
    """Return the host in ASCII: escapes decoded, then mapped as UTS-46 says for browsers (non-transitional, emoji allowed)."""
    try:
        name = unquote_to_bytes(text).decode() if "%" in text else text
        if name.isascii() and "xn--" not in name.lower():
            return name.lower()
        mapped = idna.uts46_remap(name, std3_rules=False)
        return ".".join([_label_to_ascii(label) for label in mapped.split(".")])
    except ValueError as exc:  # idna's errors and those of the codecs
        raise bad_host(url, text, "is not an international host name") from exc


def _label_to_ascii(label: str) -> str:
    """Encode one label, or check the one that is encoded already (UTS-46 4.1).

    Raises:
        ValueError: it is no valid label.
    """
    if label.isascii() and not label.startswith("xn--"):
        return label
    decoded = label.removeprefix("xn--").encode().decode("punycode") if label.isascii() else label
    encoded = "xn--" + decoded.encode("punycode").decode()
    is_stable = idna.uts46_remap(decoded, std3_rules=False) == decoded and encoded == (label if label.isascii() else encoded)
    if decoded.isascii() or "." in decoded or decoded.startswith("xn--") or not is_stable:
        raise ValueError("not a label that UTS-46 makes")
    idna.check_initial_combiner(decoded)
    idna.check_bidi(decoded)
    for joiner in _JOINERS.finditer(decoded):
        if not idna.valid_contextj(decoded, joiner.start()):
            raise ValueError("a joiner out of place")
    return encoded


def _ipv4_literal(url: str, host: str, labels: list[str]) -> str:
    """Read decimal, octal, hex and short forms: what is judged and dialled is always four decimal numbers."""
    try:
        numbers = [_number(label) for label in labels]
        *high, low = numbers
        if len(numbers) > 4 or max(high, default=0) > 255 or low >= 256 ** (5 - len(numbers)):
            raise ValueError("out of range")
    except ValueError as exc:
        raise bad_host(url, host, "ends in a number and is no IPv4 address") from exc
    return str(ipaddress.IPv4Address(sum(number << 8 * (3 - at) for at, number in enumerate(high)) + low))


def _number(label: str) -> int:
    if not _NUMBER.fullmatch(label):
        raise ValueError("not a number")
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    return int(label, 8 if label.startswith("0") else 10)


def _too_long(chars: int) -> errors.InvalidURLError:
    return _refusal(f"the URL is {chars} characters long, more than {MAX_URL_CHARS}", evidence=f"length {chars}")


def _bad_scheme(url: str) -> errors.InvalidURLError:
    found = _SCHEME.match(url)
    if found is None:
        return _refusal("no scheme: not an absolute http or https URL")
    return _part(url, "scheme", found[1], "is not http or https")


def _bad_authority(url: str, authority: str) -> errors.InvalidURLError:
    """What cannot be split into a host and a port."""
    port = None if authority.startswith("[") and "]" not in authority else _PORT.search(authority)
    host = authority[: port.start()] if port else authority
    if not host:
        return _refusal("no host")
    if port is not None and not re.fullmatch(r"[0-9]*", port[1]):
        return _part(url, "port", port[1], "is not a number from 1 to 65535")
    if not re.search(r"[\[\]:]", host):
        return bad_host(url, host, "has a character that no host name has")
    return bad_host(url, host, "cannot be read: a colon or a bracket out of place")


def bad_host(url: str, host: str, why: str) -> errors.InvalidURLError:
    """Return the refusal of a host of ``url``."""
    return _part(url, "host", host, why)


def _bad_label(url: str, host: str, label: str) -> errors.InvalidURLError:
    """One of the names between the dots."""
    if not label:
        return bad_host(url, host, "has an empty label: two dots in a row, or one in front")
    if len(label) > 63:
        return _part(url, "host label", label, "is longer than 63 characters")
    return _part(url, "host label", label, "has a character that no host name has")


def _part(url: str, part: str, value: str, why: str) -> errors.InvalidURLError:
    if "@" in url:
        return _refusal(f"the {part} {why}")
    shown = repr(value if len(value) <= _QUOTED_CHARS else value[: _QUOTED_CHARS - 1] + "…")
    return _refusal(f"{part} {shown} {why}", evidence=f"{part} {shown}")


def _refusal(message: str, *, evidence: str | None = None) -> errors.InvalidURLError:
    return errors.InvalidURLError(message, evidence=evidence)
