"""Content of a reply (RFC 9110 8): content codings, decoded within a limit, and the media type by the first bytes.

Knows bytes, not requests. Whether an image decodes is a matter of validation.
"""

import io
import re
import zlib
from dataclasses import dataclass
from typing import Final

import errors

__all__ = ["Body", "ContentRange", "coding_of", "content_length", "content_range", "media_type", "sniff"]

_DECODED: Final[dict[str, str]] = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
_UNSUPPORTED: Final = frozenset(
    {"aes128gcm", "br", "bzip2", "compress", "dcb", "dcz", "exi", "lzma", "pack200-gzip", "x-bzip2", "x-compress", "xz", "zstd"}
)
"""Codings of IANA's registry, and some that are not in it, which were not asked for. Other values of Content-Encoding name no coding."""

_HEAD_BYTES: Final = 64
"""Enough of a body to recognise an image."""

_GZIP_MAGIC: Final = b"\x1f\x8b"
_RANGE: Final = re.compile(r"bytes[ =]+(\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII | re.IGNORECASE)

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
    """Return what Content-Encoding names: ``identity``, ``gzip``, ``deflate``, or codings that `Body` does not decode, comma-separated.

    Values that are no coding (``UTF-8``, ``aws-chunked``, ``image/jpeg``) are ignored: the bytes are as they came.
    """
    names = [part.partition(";")[0].strip(' \t"').lower() for value in values for part in value.split(",")]
    codings = [_DECODED.get(name, name) for name in names if name in _DECODED or name in _UNSUPPORTED]
    return ", ".join(codings) or "identity"


def content_length(value: str) -> int:
    """Return Content-Length in bytes, 0 for none; the HTTP parser refuses a malformed one."""
    return int(value[:20]) if value.isascii() and value.isdigit() else 0


def media_type(value: str) -> tuple[str, str]:
    """Return what Content-Type names (RFC 9110 8.3): the media type and its charset, in lower case, each empty where there is none."""
    name, *parameters = value.lower().split(";")
    charset = next((part.partition("=")[2].strip(" \t\"'") for part in parameters if part.partition("=")[0].strip() == "charset"), "")
    return name.strip(), charset


@dataclass(frozen=True, slots=True)
class ContentRange:
    """Content-Range in bytes (RFC 9110 14.4): the part ``first`` to ``last`` of a file of ``total``."""

    first: int
    last: int
    total: int

    @property
    def is_whole(self) -> bool:
        """Whether the part is the whole file."""
        return self.first == 0 and self.last + 1 == self.total


def content_range(value: str) -> ContentRange | None:
    """Read Content-Range; None where it names no part of a file of known size."""
    match = _RANGE.fullmatch(value.strip())
    return ContentRange(int(match[1]), int(match[2]), int(match[3])) if match else None


class Body:
    """Collects and decodes a body in one buffer; neither the bytes on the wire nor the decoded ones may pass ``max_bytes``.

    One buffer, because a list of chunks needs twice the memory: once for the whole, once for the gaps that the chunks leave between
    those of other bodies. A body that arrives in one chunk is that chunk, without a copy.

    What the bytes are counts, not what was announced: an image is an image, and what does not begin like gzip is not decoded.

    Args:
        coding: what `coding_of` returned.
        max_bytes: limit of both sizes.
        length_bytes: Content-Length, 0 for none; the buffer is allocated at that size where the body is not encoded.

    Raises:
        errors.TooLargeError: by `feed`, one byte over the limit; never more is held in memory.
        errors.ProtocolError: encoded data that is broken or followed by other data, or in a coding that was not asked for.
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
        self._head: bytes | None = None if coding == "identity" else b""
        self._decoder: zlib._Decompress | None = None

    @property
    def wire_bytes(self) -> int:
        """Bytes that came over the wire, still encoded."""
        return self._wire_bytes

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes from the wire."""
        self._wire_bytes += len(chunk)
        if self._wire_bytes > self._max_bytes:
            raise self._too_large()
        if self._head is not None:
            chunk = self._head = self._head + chunk
            if len(chunk) < _HEAD_BYTES:
                return
            self._choose_decoder()
        self._take(chunk)

    def finish(self) -> bytes:
        """Return the whole body."""
        if head := self._head:
            self._choose_decoder()
            self._take(head)
        if self._decoder is not None and not self._decoder.eof:
            raise errors.TruncatedBodyError("the encoded body ends early")
        return self.kept()

    def kept(self) -> bytes:
        """Return what was received so far."""
        if self._buffer is None:
            return self._first
        self._buffer.truncate(self._size_bytes)
        return self._buffer.getvalue()  # no copy

    def _choose_decoder(self) -> None:
        """Choose by the first bytes; the body is not decoded where they show that nothing is encoded."""
        head, self._head = self._head or b"", None
        if sniff(head[:_HEAD_BYTES]) is not None:
            return
        if self._coding == "gzip":
            if head.startswith(_GZIP_MAGIC):
                self._decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        elif self._coding == "deflate":
            self._decoder = _deflate_decoder(head)
        else:
            raise errors.ProtocolError(f"the body is encoded as {self._coding}, which was not asked for")

    def _take(self, chunk: bytes) -> None:
        if self._decoder is None:
            self._keep(chunk)
        elif chunk:
            self._decode(self._decoder, chunk)

    def _decode(self, decoder: "zlib._Decompress", chunk: bytes) -> None:
        if decoder.eof:
            raise errors.ProtocolError(f"data after the end of the {self._coding} body")
        try:
            while chunk:
                self._keep(decoder.decompress(chunk, self._max_bytes - self._size_bytes + 1))
                chunk = decoder.unconsumed_tail
        except zlib.error as exc:
            raise errors.ProtocolError(f"the {self._coding} body cannot be decoded") from exc
        if decoder.unused_data:
            raise errors.ProtocolError(f"data after the end of the {self._coding} body")

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


def _deflate_decoder(head: bytes) -> "zlib._Decompress | None":
    """RFC 9110 8.4.1.2 means the zlib wrapper; some servers send the bare stream. None where the bytes are neither."""
    if head[0] & 0x0F == 8 and head[0] >> 4 <= 7:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS)
    try:
        zlib.decompressobj(wbits=-zlib.MAX_WBITS).decompress(head[:_HEAD_BYTES], 1)
    except zlib.error:
        return None
    return zlib.decompressobj(wbits=-zlib.MAX_WBITS)
