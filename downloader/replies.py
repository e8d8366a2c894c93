"""What is read of one reply: its headers within bounds, where it redirects to, its body within bounds. Knows no attempts and no hosts."""

from typing import Final

import httpx

import errors
from downloader.coding import Body, announced, coding_of

__all__ = ["check_header_size", "location_of", "read_body"]

_MAX_HEADERS: Final = 200
_MAX_HEADER_BYTES: Final = 65_536


def location_of(response: httpx.Response) -> str:
    found = {value.strip() for value in response.headers.get_list("location")}
    if len(found) != 1 or not (location := found.pop()):
        raise errors.RedirectError("a redirect without one usable Location", status=response.status_code)
    return location


def check_header_size(headers: httpx.Headers) -> None:
    lines = headers.raw
    size_bytes = sum([len(name) + len(value) for name, value in lines])
    if len(lines) > _MAX_HEADERS or size_bytes > _MAX_HEADER_BYTES:
        raise errors.ProtocolError("too many or too large reply headers")


async def read_body(response: httpx.Response, max_bytes: int, *, truncate: bool) -> bytes:
    announced_bytes = announced(response.headers.get("content-length", ""))
    body = Body(coding_of(response.headers.get_list("content-encoding")), max_bytes, announced_bytes)
    if announced_bytes > max_bytes and not truncate:
        raise errors.TooLargeError(f"more than {max_bytes} bytes announced", status=response.status_code)
    # response.stream, not aiter_raw(): httpx counts a mocked reply as read before anyone reads it.
    async for chunk in response.stream:  # type: ignore[union-attr]
        try:
            body.feed(chunk)
        except errors.TooLargeError:
            if truncate:
                return body.taken()
            raise
    return body.finish()
