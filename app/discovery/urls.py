"""A fast check whether a string is a URL that can be requested, for lists of millions; unclear cases go to the downloader's guard."""

import re

import errors
from downloader import url_guard

__all__ = ["MAX_URL_CHARS", "fault", "usable"]

MAX_URL_CHARS = 8192
"""8 KB, the request line that servers commonly accept."""

_PLAINLY_GOOD = re.compile(
    r"https?+://"
    r"(?=[^/:]{1,63}+(?:[/:]|$))"  # a host this short has no label that is too long
    r"(?:[A-Za-z0-9]++[.-])*+[A-Za-z]++"
    r"(?::[1-9][0-9]{0,3})?+"
    r"(?:[/?][!-\[\]-~]*+)?+"  # printable ASCII but the backslash
).fullmatch
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,20})://", re.IGNORECASE)


def fault(url: str) -> str:
    """Say in words why ``url`` is no URL that can be requested; empty if it is one."""
    if len(url) > MAX_URL_CHARS:
        return f"the URL is longer than {MAX_URL_CHARS} characters"
    if _PLAINLY_GOOD(url):
        return ""
    return _judge(url)


def usable(value: object) -> str | None:
    """Return ``value`` if it is a URL, with ``https:`` in front of one that leaves its scheme out, else ``None``."""
    if not isinstance(value, str):
        return None
    url = value.strip()
    if url.startswith("//"):
        url = f"https:{url}"
    return None if fault(url) else url


def _judge(url: str) -> str:
    if not url:
        return "there is no URL"
    scheme = _SCHEME.match(url)
    if scheme is None:
        return "not a URL: it does not begin with http:// or https://"
    if scheme[1].lower() not in ("http", "https"):
        return f"the scheme is {scheme[1].lower()}, not http or https"
    try:
        url_guard.check_url(url, ())
    except (errors.InvalidURLError, errors.BlockedAddressError) as exc:
        return f"not a URL that can be requested: {exc.message}"
    return ""
