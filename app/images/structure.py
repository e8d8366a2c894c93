"""The structure of an image file: format by signature, end marker, and damage that decoders do not report.

Reads bytes only; must not know Pillow, rules or verdicts.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

__all__ = ["FORMATS", "find_damage", "has_end", "is_lossless_webp", "jpeg_segments", "png_chunk", "png_chunks", "sniff"]

FORMATS: Final = ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif")
"""All formats that are decoded. Formats with scripts, an interpreter or a rarely used parser are left out."""

_SIGNATURES: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
    (b"%!PS", "eps"),
    (b"\xc5\xd0\xd3\xc6", "eps"),
    (b"%PDF", "pdf"),
    (b"8BPS", "psd"),
    (b"\x00\x00\x01\x00", "ico"),
    (b"\xff\x0a", "jxl"),
    (b"\x00\x00\x00\x0cJXL ", "jxl"),
    (b"\x00\x00\x00\x0cjP  ", "jp2"),
    (b"<svg", "svg"),
    (b"BM", "bmp"),
)
_HEIF_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})

_ZERO_RUN: Final = bytes(128)
"""128 bytes: a block of 63 one-bit coefficients takes 24 to 48 zero bytes, so the run holds a whole block."""


def sniff(body: bytes) -> str | None:
    """Return the image format by the first bytes, lower case, or None. It may be a format outside of `FORMATS`."""
    for prefix, name in _SIGNATURES:
        if body.startswith(prefix):
            return name
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "webp"
    if body[4:8] == b"ftyp":
        return _by_brand(body)
    return "svg" if body.startswith(b"<?xml") and b"<svg" in body[:1024] else None


def _by_brand(body: bytes) -> str | None:
    """Distinguish AVIF from HEIF: some encoders name ``mif1`` first and ``avif`` among the compatible brands (ISO 14496-12, 4.3)."""
    end = min(int.from_bytes(body[:4], "big"), 256)
    brands = {body[8:12], *(body[at : at + 4] for at in range(16, end, 4))}
    if brands & _AVIF_BRANDS:
        return "avif"
    return "heif" if brands & _HEIF_BRANDS else None


def has_end(body: bytes, image_format: str) -> bool:
    """Whether a JPEG has its EOI, a PNG its IEND, a GIF its trailer; True for other formats, whose decoders check it.

    Bytes after the end are ignored.
    """
    if image_format == "jpeg":
        return body.endswith(b"\xff\xd9") or body.find(b"\xff\xd9", _jpeg_scan(body)) >= 0
    if image_format == "png":
        return _walk_png(body)[0]
    return _gif_has_trailer(body) if image_format == "gif" else True


def find_damage(body: bytes, image_format: str) -> str | None:
    """Describe damage inside the pixel data that Pillow decodes without an error, or return None.

    PNG: a critical chunk whose CRC is wrong (Pillow skips the CRC of IDAT). JPEG: a run of zero bytes, as a gap in a
    download leaves it, where the Huffman tables exclude it.
    """
    if image_format == "png":
        return _walk_png(body)[1]
    if image_format == "jpeg" and _has_impossible_zeros(body):
        return "a run of zero bytes in the scan"
    return None


def is_lossless_webp(body: bytes) -> bool:
    """Whether the first picture of a WebP is a VP8L chunk (WebP container specification, "Extended File Format")."""
    at = 12
    while at + 8 <= len(body):
        kind = body[at : at + 4]
        if kind in (b"VP8L", b"VP8 "):
            return kind == b"VP8L"
        size = int.from_bytes(body[at + 4 : at + 8], "little")
        at += 24 if kind == b"ANMF" else 8 + size + (size & 1)
    return False


def _walk_png(body: bytes) -> tuple[bool, str | None]:
    """Return whether there is an IEND chunk, and the first critical chunk with a wrong CRC (PNG specification, 5.3)."""
    view = memoryview(body)
    for start, end in png_chunks(body):
        kind = body[start + 4 : start + 8]
        if not kind[0] & 0x20 and zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(body[end - 4 : end], "big"):
            return True, f"wrong checksum of chunk {kind.decode('latin-1')}"
        if kind == b"IEND":
            return True, None
    return False, None


def png_chunks(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each whole chunk, its length and checksum included, up to IEND (PNG specification, 5.3)."""
    at = 8
    while at + 12 <= len(body):
        end = at + 12 + int.from_bytes(body[at : at + 4], "big")
        if end > len(body):
            return
        yield at, end
        if body[at + 4 : at + 8] == b"IEND":
            return
        at = end


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Make a chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _gif_has_trailer(body: bytes) -> bool:
    """Walk the blocks (GIF89a, appendix B) up to the trailer."""
    at = 13 + _colour_table_size(body, 10)
    while at < len(body):
        if body[at] == 0x3B:
            return True
        if body[at] == 0x2C:
            at += 11 + _colour_table_size(body, at + 9)
        else:
            at += 2
        while at < len(body) and body[at]:
            at += body[at] + 1
        at += 1
    return False


def _colour_table_size(body: bytes, flags_at: int) -> int:
    """Bytes of the colour table by its flag byte."""
    flags = body[flags_at] if flags_at < len(body) else 0
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def jpeg_segments(body: bytes) -> list[tuple[int, int, int]]:
    """List (marker, start, end of the payload) of the segments up to and including the first SOS (ITU T.81, B.1)."""
    segments, at = [], 2
    while at + 4 <= len(body) and body[at] == 0xFF:
        marker = body[at + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", body, at + 2)
        segments.append((marker, at + 4, at + 2 + length))
        if marker == 0xDA:
            break
        at += 2 + length
    return segments


def _jpeg_scan(body: bytes) -> int:
    """Offset of the first scan of the main image; a thumbnail in EXIF has its own scans and end marker."""
    segments = jpeg_segments(body)
    return segments[-1][2] if segments and segments[-1][0] == 0xDA else len(body)


def _has_impossible_zeros(body: bytes) -> bool:
    """Whether there is a zero run in the first scan of a sequential JPEG whose luma code of zeros is not "end of block".

    A canonical Huffman table gives the code of zeros to its first symbol (ITU T.81, C). Where that is "end of block", flat
    areas are zeros; where it is a coefficient, 128 zero bytes would be a block in which all 63 coefficients are -1.
    """
    run = body.find(_ZERO_RUN, start := _jpeg_scan(body))
    if run < 0:
        return False
    ends = [at for marker in (b"\xff\xd9", b"\xff\xda") if (at := body.find(marker, start)) >= 0]
    return run < min(ends, default=len(body)) and _luma_zeros_are_a_coefficient(body)


def _luma_zeros_are_a_coefficient(body: bytes) -> bool:
    """Whether the first symbol of the first component's AC table stands for a coefficient; False where it is not known."""
    first_symbols: dict[int, int] = {}
    sequential = False
    segments = jpeg_segments(body)
    for marker, start, end in segments:
        sequential = sequential or marker in (0xC0, 0xC1)
        if marker == 0xC4:
            first_symbols.update(_first_symbols(body[start:end]))
    table = 0x10 | (body[segments[-1][1] + 2] & 0x0F)
    return sequential and first_symbols.get(table, 0) not in (0x00, 0xF0)


def _first_symbols(payload: bytes) -> dict[int, int]:
    """Map class and id of each table in a DHT segment to its first symbol."""
    found, at = {}, 0
    while at + 17 < len(payload):
        found[payload[at]] = payload[at + 17]
        at += 17 + sum(payload[at + 1 : at + 17])
    return found
