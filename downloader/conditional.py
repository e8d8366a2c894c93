"""Conditional requests (RFC 9110 13): which validators of a reply are kept, and the header lines that send them back. Pure."""

import re
from typing import Final

import httpx

from downloader.models import Validators

__all__ = ["NOT_MODIFIED", "header_lines", "validators_of"]

NOT_MODIFIED: Final = 304

_MAX_ETAG_CHARS: Final = 256
"""Longer entity tags are not kept: a row has one, and every later request carries it."""

_ETAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')
"""RFC 9110 8.8.3, without the bytes beyond ASCII, which clients and caches read differently."""

_DATE: Final = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")
"""The date form that senders must use (RFC 9110 5.6.7). It is sent back as it came, so it is never parsed."""


def validators_of(headers: httpx.Headers, url: str) -> Validators | None:
    """Return the validators of a reply from ``url``; None where it has no usable one. A header that came twice is not usable."""
    etag = _single(headers, "etag", _ETAG)
    last_modified = _single(headers, "last-modified", _DATE)
    return Validators(url, etag, last_modified) if etag or last_modified else None


def header_lines(validators: Validators | None, url: str) -> list[tuple[bytes, bytes]]:
    """Return the lines that make a request for ``url`` conditional; none where the validators are of another URL."""
    if validators is None or validators.url != url:
        return []
    lines = (b"If-None-Match", validators.etag), (b"If-Modified-Since", validators.last_modified)
    return [(name, value.encode("ascii")) for name, value in lines if value]


def _single(headers: httpx.Headers, name: str, form: re.Pattern[str]) -> str | None:
    values = headers.get_list(name)
    value = values[0].strip() if len(values) == 1 else ""
    return value if len(value) <= _MAX_ETAG_CHARS and form.fullmatch(value) else None
