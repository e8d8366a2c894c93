"""Reads URLs out of lists, where they stand as people copied them: the border at which a text becomes the URL that is requested.

What a browser reads is `downloader.url_syntax`'s; here are the traces of copying. Fast for plain URLs, since lists have millions.
"""

import html
import re
from collections.abc import Iterable
from html.entities import html5
from typing import Final

import errors
from app.discovery.text import preview
from downloader import url_guard, url_syntax

__all__ = ["MAX_URL_CHARS", "read", "read_each", "usable"]

MAX_URL_CHARS: Final = url_syntax.MAX_URL_CHARS

_PLAIN: Final = re.compile(
    r"https?+://"
    r"(?=[^/:]{1,63}+[/:])"  # a host this short has no label that is too long
    r"(?:[a-z0-9]++[.-])*+[a-z]++"
    r"(?::[1-9][0-9]{3})?+"
    r"/[!$%'-;=@-\[\]_a-z|~]*+"
    r"(?:\?(?:[!$%'-;=?-\[\]_a-z|~]|&(?![#A-Za-z][A-Za-z0-9]*+;))*+)?+"
).fullmatch
"""A URL that is requested as it stands; any other is read with care."""

_INVISIBLE: Final = re.compile(
    r"\A[\x00-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164\ufeff\uffa0]+"
    r"|[\x00-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164\ufeff\uffa0]+\Z"
)
"""Spaces and characters without width at the ends: BOM, zero-width space, word joiner, marks of direction."""

_LINE_BREAKS: Final = re.compile(r"[\t\n\r]")
_ENTITY: Final = re.compile(r"&(?:amp;)*(#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_SCHEME: Final = re.compile(r"https?:|[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_NO_SCHEME: Final = re.compile(r"[/\\]{2,}([^/\\?#]*)")
_NOT_TLS: Final = re.compile(r"[^.]*|.*:(?!443$)[0-9]+|[0-9.]+|\[.*\]", re.DOTALL)


def read(text: str) -> str:
    """Return the URL that is requested for a text: as a browser reads it, without entities of HTML and invisible characters at the ends.

    ``//host/path`` gets the scheme that browsers give an address without one: https, but http for an IP address, a name without a dot or
    a port other than 443.

    Raises:
        errors.InvalidURLError: see `url_syntax.parse`.
    """
    if len(text) <= MAX_URL_CHARS and _PLAIN(text):
        return text
    if len(text) > MAX_URL_CHARS:
        raise errors.InvalidURLError(f"the URL is longer than {MAX_URL_CHARS} characters")
    cleaned = _cleaned(text)
    if not cleaned:
        raise errors.InvalidURLError("there is no URL")
    if host := _NO_SCHEME.match(cleaned):
        cleaned = f"{'http' if _NOT_TLS.fullmatch(host[1]) else 'https'}:{cleaned}"
    if not _SCHEME.match(cleaned):
        raise errors.InvalidURLError("not a URL: it does not begin with http:// or https://")
    return url_guard.check_url(cleaned, ()).url


def read_each(texts: Iterable[str], field: str) -> list[str]:
    """Return the URLs that some texts stand for, each once.

    Args:
        field: what a message calls the texts.

    Raises:
        errors.ValidationError: one of them is none.
    """
    found: list[str] = []
    for text in texts:
        try:
            found.append(read(text))
        except errors.InvalidURLError as exc:
            raise errors.ValidationError(f"{field}: {preview(text)!r} cannot be requested: {exc}") from exc
    return list(dict.fromkeys(found))


def usable(value: object) -> str | None:
    """Return the URL that ``value`` stands for, ``None`` if it is none."""
    if not isinstance(value, str):
        return None
    try:
        return read(value)
    except errors.InvalidURLError:
        return None


def _cleaned(text: str) -> str:
    """Repeat until nothing changes, so that a URL that was read is read the same again: an entity may hold a space or another entity."""
    while True:
        stripped = _INVISIBLE.sub("", _LINE_BREAKS.sub("", text))
        cleaned = _ENTITY.sub(_character, stripped) if "&" in stripped else stripped
        if cleaned == text:
            return cleaned
        text = cleaned


def _character(entity: re.Match[str]) -> str:
    """Return what an entity stands for; only those with a semicolon: ``&copy=1`` is a parameter."""
    name = entity[1]
    if name.startswith("#"):
        return html.unescape(f"&{name};")
    return html5.get(f"{name};", entity[0])
