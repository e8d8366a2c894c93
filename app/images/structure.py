"""The structure of an image file: format by signature, end marker, and damage that decoders do not report.

Reads bytes only; must not know Pillow, rules or verdicts.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from app.images import heif, tiff
from app.images.jpeg import JpegFile

__all__ = ["FORMATS", "Integrity", "inspect", "inspect_jpeg", "is_lossless_webp", "png_chunk", "png_chunks", "riff_chunks", "sniff"]

FORMATS: Final = ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "heif")
"""All formats that are decoded, HEIF by an extra. Formats with scripts, an interpreter or a rarely used parser are left out."""

_SIGNATURES: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00\x10\x00\x00\x00CR\x02", "cr2"),
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
    (b"\xff\x4f\xff\x51", "jp2"),
    (b"<svg", "svg"),
    (b"BM", "bmp"),
)
_HEIF_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})


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


@dataclass(frozen=True, slots=True)
class Integrity:
    """What the bytes say about a file that Pillow decodes without an error.

    Attributes:
        is_complete: whether a JPEG has its EOI, a PNG its IEND, a GIF its trailer; True for other formats, whose decoders check it, and
            after the first of several frames, which is the only one that is used. Bytes after the end are ignored.
        damage: what is wrong inside the pixel data, if anything.
        frames: pictures in the file; None where the decoder counts them.
    """

    is_complete: bool = True
    damage: str | None = None
    frames: int | None = None


def inspect(body: bytes, image_format: str) -> Integrity:
    """Look for the end marker and for silent damage; see `inspect_jpeg` for JPEG.

    PNG: a critical chunk whose CRC is wrong (Pillow skips the CRC of IDAT). HEIF: a hole in coded data, which its decoder conceals.
    """
    if image_format == "jpeg":
        return inspect_jpeg(JpegFile.parse(body))
    if image_format == "png":
        return _walk_png(body)
    if image_format == "gif":
        return _walk_gif(body)
    if image_format == "heif":
        return Integrity(heif.has_whole_boxes(body), heif.find_damage(body), 2 if heif.has_sequence(body) else None)
    return Integrity(frames=tiff.count_pages(body)) if image_format == "tiff" else Integrity()


def inspect_jpeg(file: JpegFile) -> Integrity:
    """Look for EOI, and for a run of zero bytes, as a gap in a download leaves it, where the Huffman tables exclude it."""
    return Integrity(file.has_end(), "a run of zero bytes in the scan" if file.has_impossible_zeros() else None)


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


def _walk_png(body: bytes) -> Integrity:
    """Look for an IEND chunk, or a second frame, and for the first critical chunk with a wrong CRC (PNG specification, 5.3)."""
    view, has_pixels = memoryview(body), False
    for start, end in png_chunks(body):
        kind = body[start + 4 : start + 8]
        if not kind[0] & 0x20 and zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(body[end - 4 : end], "big"):
            return Integrity(damage=f"wrong checksum of chunk {kind.decode('latin-1')}")
        if kind == b"IEND" or (kind == b"fcTL" and has_pixels):
            return Integrity()
        has_pixels = has_pixels or kind == b"IDAT"
    return Integrity(is_complete=False)


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


def riff_chunks(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each chunk of a WebP; the last one may be cut off (WebP container specification, "RIFF File Format")."""
    at = 12
    while at + 8 <= len(body):
        size = int.from_bytes(body[at + 4 : at + 8], "little")
        end = at + 8 + size + (size & 1)
        yield at, end
        at = end


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Make a chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _walk_gif(body: bytes) -> Integrity:
    """Walk the blocks (GIF89a, appendix B) up to the trailer, and count the images among them."""
    at, frames = 13 + _colour_table_size(body, 10), 0
    while at < len(body):
        if body[at] == 0x3B:
            return Integrity(frames=max(1, frames))
        if body[at] == 0x2C:
            frames += 1
            at += 11 + _colour_table_size(body, at + 9)
        else:
            at += 2
        while at < len(body) and body[at]:
            at += body[at] + 1
        at += 1
    return Integrity(is_complete=frames > 1, frames=max(1, frames))


def _colour_table_size(body: bytes, flags_at: int) -> int:
    """Bytes of the colour table by its flag byte."""
    flags = body[flags_at] if flags_at < len(body) else 0
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
