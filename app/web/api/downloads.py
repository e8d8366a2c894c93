"""Sends objects: stored ones whole, in part (Range), or 304 where the client has them (RFC 9110 13 and 14); made ones whole.

They are bytes of strangers. No browser runs one as a page, whatever its bytes are: its type is from a closed list and not guessed, it is
sandboxed, and pages of other sites cannot load it.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from app.storage import Store
from app.web.api import problems
from app.web.api.conventions import may_fail

__all__ = [
    *("IMMUTABLE", "Download", "Slice", "Unsatisfiable"),
    *("binary", "has_current", "parse_range", "respond", "respond_made", "respond_small"),
]

IMMUTABLE = "private, max-age=31536000, immutable"
"""Cache-Control of content-addressed objects. Private, because they belong to one user."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes from ``start`` up to, not including, ``stop``."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many."""
        return self.stop - self.start


class Unsatisfiable(Exception):
    """The range lies outside the file: 416."""


def parse_range(header: str | None, if_range: str | None, *, size: int, etag: str) -> Slice | None:
    """Parse a Range header with one range; ``None`` means the whole file.

    An invalid header and several ranges are ignored (RFC 9110 14.2). An If-Range other than the current strong validator gives the
    whole file.

    Raises:
        Unsatisfiable: the range begins beyond the end.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or (if_range is not None and if_range.strip() != etag) or not (match[1] or match[2]):
        return None
    if not match[1]:
        return _last(int(match[2]), size)
    start = int(match[1])
    stop = int(match[2]) + 1 if match[2] else size
    if stop <= start and match[2]:
        return None
    if start >= size:
        raise Unsatisfiable
    return Slice(start, min(stop, size))


def _last(count: int, size: int) -> Slice:
    if not count or not size:
        raise Unsatisfiable
    return Slice(max(0, size - count), size)


def has_current(if_none_match: str | None, etag: str) -> bool:
    """Return whether If-None-Match names ``etag`` (weak comparison, RFC 9110 13.1.2)."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in _ETAG.findall(if_none_match)


@dataclass(frozen=True, slots=True)
class Download:
    """An object to send. ``etag`` is strong and quoted; ``filename`` makes it an attachment. One that is made has no ``key``."""

    key: str
    etag: str
    media_type: str
    filename: str | None = None
    cache_control: str = "private, no-cache"


async def respond(request: Request, store: Store, item: Download) -> Response:
    """Answer with 200, 206, 304 or 416.

    Raises:
        MissingObject: the store does not have it.
    """
    headers = _headers(item)
    if has_current(request.headers.get("if-none-match"), item.etag):
        return Response(status_code=304, headers=headers)
    size = (await store.head(item.key)).size
    try:
        part = parse_range(request.headers.get("range"), request.headers.get("if-range"), size=size, etag=item.etag)
    except Unsatisfiable as error:
        raise problems.Refusal(
            "range-not-satisfiable", f"The file has {size} bytes.", headers={"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}
        ) from error
    return _response(request, store, item, headers, part, size)


def _response(request: Request, store: Store, item: Download, headers: Mapping[str, str], part: Slice | None, size: int) -> Response:
    chosen = part or Slice(0, size)
    sent = dict(headers) | {"Content-Length": str(chosen.size)}
    if part is not None:
        sent["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    status = 206 if part is not None else 200
    if request.scope["state"].get("is_head"):
        return Response(None, status, sent, item.media_type)
    return StreamingResponse(store.stream_range(item.key, chosen.start, chosen.stop), status, sent, item.media_type)


async def respond_small(request: Request, item: Download, read: Callable[[], Awaitable[bytes]]) -> Response:
    """Answer with 200 or 304; ``read`` gives the bytes, few enough to be in memory, and is not called where the client has them."""
    headers = _headers(item) | {"Accept-Ranges": "none"}
    if has_current(request.headers.get("if-none-match"), item.etag):
        return Response(status_code=304, headers=headers)
    return Response(await read(), 200, headers, item.media_type)


async def respond_made(
    request: Request, pieces: AsyncGenerator[bytes, None], item: Download, measure: Callable[[], Awaitable[int]]
) -> Response:
    """Answer with 200 or 304; the bytes are made while they are sent, so there are no ranges.

    If ``pieces`` raises, the connection ends before the answer does, and the client sees that it has not all: by the missing last chunk,
    and in HTTP/1.0, as nginx speaks it to servers by default, by the length that ``measure`` gives.
    """
    headers = _headers(item) | {"Accept-Ranges": "none"}
    if has_current(request.headers.get("if-none-match"), item.etag):
        return Response(status_code=304, headers=headers)
    if request.scope["http_version"] == "1.0":
        headers["Content-Length"] = str(await measure())
    if request.scope["state"].get("is_head"):
        answer = Response(None, 200, headers, item.media_type)
        if request.scope["http_version"] != "1.0":
            del answer.headers["content-length"]  # it would be that of nothing
        return answer
    return StreamingResponse(pieces, 200, headers, item.media_type)


def _headers(item: Download) -> dict[str, str]:
    headers = {
        "ETag": item.etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": item.cache_control,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if item.filename is not None:
        headers["Content-Disposition"] = disposition(item.filename)
    return headers


def disposition(filename: str) -> str:
    """Content-Disposition of an attachment (RFC 6266 4.3, RFC 8187)."""
    plain = "".join(char if char.isascii() and char.isprintable() and char not in '"\\%' else "_" for char in filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def binary(*media_types: str, ranged: bool = True) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of a download."""
    body = {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in media_types}
    documented: dict[int | str, dict[str, Any]] = {
        200: {"description": "The bytes.", "content": body},
        304: {"description": "The client has them (If-None-Match)."},
    }
    if ranged:
        documented[206] = {"description": "The requested range.", "content": body}
        documented |= may_fail(416)
    return documented


_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE)
_ETAG = re.compile(r'(?:W/)?("[^"]*")')
