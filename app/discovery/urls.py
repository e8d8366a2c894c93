"""Whether a string can be an image's URL at all. A fast look, for lists of millions; what may be dialled is the downloader's say."""

import re

__all__ = ["MAX_URL_CHARS", "fault", "usable"]

MAX_URL_CHARS = 8192
"""8 KB: what servers commonly take as a request line."""

_GOOD = re.compile(
    r"https?://"
    r"(?:[^\s/?#@\\\x00-\x1f\x7f-\x9f\ud800-\udfff]*@)?"  # user name and password
    r"(?:[^\s/?#@:\[\]\\<>\"\x00-\x1f\x7f-\x9f\ud800-\udfff]+|\[[0-9a-fA-F:.]+\])"  # host
    r"(?::[0-9]{0,5})?"
    r"(?:[/?#][^\s\x00-\x1f\x7f-\x9f\ud800-\udfff]*)?",
    re.IGNORECASE,
).fullmatch
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,20}):", re.IGNORECASE)


def fault(url: str) -> str:
    """Say in words why ``url`` is no URL of an image; empty if it is one."""
    if len(url) > MAX_URL_CHARS:
        return f"the URL is longer than {MAX_URL_CHARS} characters"
    if _GOOD(url):
        return ""
    return _explain(url)


def usable(value: object) -> str | None:
    """Return ``value`` if it is a URL, with ``https:`` in front of one that leaves its scheme out, else ``None``."""
    if not isinstance(value, str):
        return None
    url = value.strip()
    if url.startswith("//"):
        url = f"https:{url}"
    return None if fault(url) else url


def _explain(url: str) -> str:
    if not url:
        return "there is no URL"
    if url.lower().startswith(("http://", "https://")):
        return "the URL has a space or a control character in it" if re.search(r"[\s\x00-\x1f\x7f-\x9f]", url) else "the URL has no proper host"
    if "://" in url and (scheme := _SCHEME.match(url)):
        return f"the scheme is {scheme[1].lower()}, not http or https"
    return "not a URL: it does not begin with http:// or https://"
