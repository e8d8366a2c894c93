"""Content of a reply (RFC 9110 8): content codings, decoded within a limit, and the media type by the first bytes.

Knows bytes, not requests. Whether an image decodes is a matter of validation.
"""

import io
import zlib
from typing import Final

import errors

__all__ = ["Body", "coding_of", "content_length", "sniff"]

_CODINGS: Final[dict[str, str]] = {
    "": "identity",
    "identity": "identity",
    "gzip": "gzip",
    "x-gzip": "gzip",
    "deflate": "deflate",
}

_PREFIXES: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),
    (b"MM\x00+", "image/tiff"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"\xff\x0a", "image/jxl"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2"),
    (b"\xff\x4f\xff\x51", "image/jp2"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
)

_BRANDS: Final[dict[bytes, str]] = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"hevc": "image/heic",
    b"heim": "image/heic",
    b"heis": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
}
"""ISO base media brands of still images; those of mp4 and the like are not among them."""

_BMP_HEADER_SIZES: Final = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
"""Many texts begin with `BM`, so the size of the header that follows must be a known one."""


def sniff(head: bytes) -> str | None:
    """Return the media type of an image by its first bytes (64 are enough), or None."""
    for prefix, media_type in _PREFIXES:
        if head.startswith(prefix):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return _sniff_brand(head)
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "image/bmp"
    return None


def _sniff_brand(head: bytes) -> str | None:
    """Read the major brand, then the compatible ones: some encoders write AVIF as `mif1` with `avif` among the rest."""
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), int.from_bytes(head[:4], "big"), 64) - 3, 4))]
    known = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    if not known or brands[0] not in _BRANDS:
        return None
    return "image/avif" if "image/avif" in known else known[0]


def coding_of(values: list[str]) -> str:
    """Return the one coding that Content-Encoding names: identity, gzip or deflate.

    Raises:
        errors.ProtocolError: a coding that was not asked for, or several on top of each other.
    """
    codings = [part.strip().lower() for value in values for part in value.split(",")]
    codings = [part for part in codings if part and part != "identity"]
    if len(codings) > 1:
        raise errors.ProtocolError("several content codings on top of each other")
    coding = _CODINGS.get(codings[0] if codings else "")
    if coding is None:
        raise errors.ProtocolError("a content coding that was not asked for")
    return coding


def content_length(value: str) -> int:
    """Return Content-Length in bytes, 0 for none; the HTTP parser refuses a malformed one."""
    return int(value[:20]) if value.isascii() and value.isdigit() else 0


class Body:
    """Collects and decodes a body in one buffer; neither the bytes on the wire nor the decoded ones may pass ``max_bytes``.

    One buffer, because a list of chunks needs twice the memory: once for the whole, once for the gaps that the chunks leave between
    those of other bodies. A body that arrives in one chunk is that chunk, without a copy.

    Args:
        coding: what `coding_of` returned.
        max_bytes: limit of both sizes.
        length_bytes: Content-Length, 0 for none; the buffer is allocated at that size where the body is not encoded.

    Raises:
        errors.TooLargeError: by `feed`, one byte over the limit; never more is held in memory.
        errors.ProtocolError: by `feed`, encoded data that is broken or followed by other data.
        errors.TruncatedBodyError: by `finish`, encoded data that ends early.
    """

    def __init__(self, coding: str, max_bytes: int, length_bytes: int = 0) -> None:
        self._coding = coding
        self._max_bytes = max_bytes
        self._wire_bytes = 0
        self._buffer_bytes = length_bytes if coding == "identity" and length_bytes <= max_bytes else 0
        self._first = b""
        self._buffer: io.BytesIO | None = None
        self._size_bytes = 0
        self._decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if coding == "gzip" else None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes from the wire."""
        self._wire_bytes += len(chunk)
        if self._wire_bytes > self._max_bytes:
            raise self._too_large()
        if self._coding == "identity":
            self._keep(chunk)
        elif chunk:
            self._decode(chunk)

    def finish(self) -> bytes:
        """Return the whole body."""
        if self._coding != "identity" and self._wire_bytes and not (self._decoder and self._decoder.eof):
            raise errors.TruncatedBodyError("the encoded body ends early")
        return self.kept()

    def kept(self) -> bytes:
        """Return what was received so far."""
        if self._buffer is None:
            return self._first
        self._buffer.truncate(self._size_bytes)
        return self._buffer.getvalue()  # no copy

    def _decode(self, chunk: bytes) -> None:
        decoder = self._decoder = self._decoder or zlib.decompressobj(wbits=_deflate_wbits(chunk))
        if decoder.eof:
            raise errors.ProtocolError("data after the end of the encoded body")
        try:
            while chunk:
                self._keep(decoder.decompress(chunk, self._max_bytes - self._size_bytes + 1))
                chunk = decoder.unconsumed_tail
        except zlib.error as exc:
            raise errors.ProtocolError("the encoded body cannot be decoded") from exc
        if decoder.unused_data:
            raise errors.ProtocolError("data after the end of the encoded body")

    def _keep(self, part: bytes) -> None:
        self._size_bytes += len(part)
        if self._size_bytes > self._max_bytes:
            raise self._too_large()
        if self._buffer is None and not self._first:
            self._first = part
            return
        if self._buffer is None:
            self._buffer = _allocate(self._first, self._buffer_bytes)
            self._first = b""
        self._buffer.write(part)

    def _too_large(self) -> errors.TooLargeError:
        return errors.TooLargeError(f"more than {self._max_bytes} bytes")


def _allocate(first: bytes, size_bytes: int) -> io.BytesIO:
    """Return a buffer that does not grow before ``size_bytes``, with the first bytes in it."""
    buffer = io.BytesIO()
    if size_bytes:
        buffer.seek(size_bytes - 1)
        buffer.write(b"\0")
        buffer.seek(0)
    buffer.write(first)
    return buffer


def _deflate_wbits(head: bytes) -> int:
    """RFC 9110 8.4.1.2 means the zlib wrapper; some servers send the bare stream."""
    return zlib.MAX_WBITS if head[0] & 0x0F == 8 and head[0] >> 4 <= 7 else -zlib.MAX_WBITS
