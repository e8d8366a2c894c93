"""Why a text is no URL, in words: the part at fault and what it says. Pure; decides nothing, `downloader.guard` does.

A text with an @ in it may hold a password in any place, if its author forgot to escape: then nothing of it is quoted.
"""

import re
from typing import Final

import errors

__all__ = ["bad_authority", "bad_character", "bad_host", "bad_label", "bad_port", "bad_scheme", "has_credentials", "too_long"]

_QUOTED_CHARS: Final = 60
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_PORT: Final = re.compile(r":([^:\[\]]*)\Z")
_NAMES: Final = {" ": "a space", "\\": "a backslash"}


def too_long(url: str, most: int) -> errors.InvalidURLError:
    return _refusal(f"the URL is {len(url)} characters long, more than {most}", evidence=f"length {len(url)}")


def bad_character(url: str, at: int) -> errors.InvalidURLError:
    """Name the character and its place, counted from 1."""
    name = _NAMES.get(url[at]) or f"a control character (U+{ord(url[at]):04X})"
    return _refusal(f"{name} at character {at + 1} of the URL", evidence=f"character {at + 1}")


def bad_scheme(url: str) -> errors.InvalidURLError:
    """Neither http:// nor https://: another scheme, none, or no slashes behind it."""
    found = _SCHEME.match(url)
    if found is None:
        return _refusal("no scheme: not an absolute http or https URL")
    if found[1].lower() in ("http", "https"):
        return _refusal(f"no host: not an absolute URL, as {found[1].lower()}: needs two slashes behind it")
    return _part(url, "scheme", found[1], "is not http or https")


def has_credentials() -> errors.InvalidURLError:
    return _refusal("credentials in the URL")


def bad_authority(url: str, authority: str) -> errors.InvalidURLError:
    """What cannot be split into a host and a port."""
    port = None if authority.startswith("[") and "]" not in authority else _PORT.search(authority)
    host = authority[: port.start()] if port else authority
    if not host:
        return _refusal("no host")
    if port is not None and not re.fullmatch(r"[0-9]{0,5}", port[1]):
        return _part(url, "port", port[1], "is not a number from 1 to 65535")
    return _part(url, "host", host, "cannot be read: a colon or a bracket out of place")


def bad_port(port: int) -> errors.InvalidURLError:
    return _refusal(f"port {port} does not exist: there are 1 to 65535", evidence=f"port {port}")


def bad_host(url: str, host: str, why: str) -> errors.InvalidURLError:
    return _part(url, "host", host, why)


def bad_label(url: str, host: str, label: str) -> errors.InvalidURLError:
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
