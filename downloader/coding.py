"""Content codings, unpacked within a bound: identity, gzip and deflate, one at a time. Knows bytes, not requests."""

import io
import zlib
from typing import Final

import errors

__all__ = ["Body", "announced", "coding_of"]

_CODINGS: Final[dict[str, str]] = {
    "": "identity",
    "identity": "identity",
    "gzip": "gzip",
    "x-gzip": "gzip",
    "deflate": "deflate",
}


def coding_of(values: list[str]) -> str:
    """Return the one coding that Content-Encoding names: identity, gzip or deflate.

    Raises:
        errors.ProtocolError: a coding that was not asked for, or several on top of each other.
    """
    named = [part.strip().lower() for value in values for part in value.split(",")]
    named = [part for part in named if part and part != "identity"]
    if len(named) > 1:
        raise errors.ProtocolError("several content codings on top of each other")
    coding = _CODINGS.get(named[0] if named else "")
    if coding is None:
        raise errors.ProtocolError("a content coding that was not asked for")
    return coding


def announced(length: str) -> int:
    """Read Content-Length, in bytes, 0 for none; one that is no number is the parser's business."""
    return int(length[:20]) if length.isascii() and length.isdigit() else 0


class Body:
    """Collects a body in one buffer, counting bytes on the wire and unpacked; neither may pass ``max_bytes``.

    One buffer, because a list of parts needs twice the memory: once for the whole, once for the holes the parts leave between those of
    other bodies. A body that comes in one part is that part, and copied nowhere.

    Args:
        coding: what `coding_of` returned.
        max_bytes: bound of both sizes.
        announced_bytes: the length the reply's header states, 0 for none; the buffer is made as large, if it is not packed.

    Raises:
        errors.TooLargeError: by `feed`, one byte over the bound and never more in memory.
        errors.ProtocolError: by `feed`, packed data that is broken or followed by other data.
        errors.TruncatedBodyError: by `finish`, packed data that stops short.
    """

    def __init__(self, coding: str, max_bytes: int, announced_bytes: int = 0) -> None:
        self._coding = coding
        self._max_bytes = max_bytes
        self._wire_bytes = 0
        self._room_bytes = announced_bytes if coding == "identity" and announced_bytes <= max_bytes else 0
        self._first = b""
        self._kept: io.BytesIO | None = None
        self._size_bytes = 0
        self._unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if coding == "gzip" else None

    def feed(self, chunk: bytes) -> None:
        self._wire_bytes += len(chunk)
        if self._wire_bytes > self._max_bytes:
            raise self._too_large()
        if self._coding == "identity":
            self._keep(chunk)
        elif chunk:
            self._feed_packed(chunk)

    def finish(self) -> bytes:
        if self._coding != "identity" and self._wire_bytes and not (self._unpack and self._unpack.eof):
            raise errors.TruncatedBodyError("the packed body stops short")
        return self.taken()

    def taken(self) -> bytes:
        """What has been kept so far."""
        if self._kept is None:
            return self._first
        self._kept.truncate(self._size_bytes)
        return self._kept.getvalue()  # no copy

    def _feed_packed(self, chunk: bytes) -> None:
        unpack = self._unpack = self._unpack or zlib.decompressobj(wbits=_deflate_bits(chunk))
        if unpack.eof:
            raise errors.ProtocolError("data after the end of the packed body")
        try:
            while chunk:
                self._keep(unpack.decompress(chunk, self._max_bytes - self._size_bytes + 1))
                chunk = unpack.unconsumed_tail
        except zlib.error as exc:
            raise errors.ProtocolError("the packed body cannot be unpacked") from exc
        if unpack.unused_data:
            raise errors.ProtocolError("data after the end of the packed body")

    def _keep(self, part: bytes) -> None:
        self._size_bytes += len(part)
        if self._size_bytes > self._max_bytes:
            raise self._too_large()
        if self._kept is None and not self._first:
            self._first = part
            return
        if self._kept is None:
            self._kept = _buffer(self._first, self._room_bytes)
            self._first = b""
        self._kept.write(part)

    def _too_large(self) -> errors.TooLargeError:
        return errors.TooLargeError(f"more than {self._max_bytes} bytes")


def _buffer(first: bytes, room_bytes: int) -> io.BytesIO:
    """A buffer that need not grow before so many bytes, and holds the first of them."""
    buffer = io.BytesIO()
    if room_bytes:
        buffer.seek(room_bytes - 1)
        buffer.write(b"\0")
        buffer.seek(0)
    buffer.write(first)
    return buffer


def _deflate_bits(head: bytes) -> int:
    """RFC 9110 8.4.1.2 means zlib's wrapper; some servers send the bare stream."""
    return zlib.MAX_WBITS if head[0] & 0x0F == 8 and head[0] >> 4 <= 7 else -zlib.MAX_WBITS
