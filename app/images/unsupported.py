"""What a valid file holds and our decoders lack, in words: such a file is not corrupt. Reads bytes and the decoder's message."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from app.images import heif, tiff
from app.images.jpeg import JpegFile

__all__ = ["REFUSED", "find", "refusal"]

REFUSED: Final[Mapping[str, str]] = {
    "jxl": "JPEG XL",
    "jp2": "JPEG 2000",
    "ico": "an icon (ICO)",
    "svg": "an SVG drawing",
    "cr2": "a camera RAW file (CR2)",
    "psd": "a Photoshop file (PSD)",
    "eps": "PostScript (EPS)",
    "pdf": "a PDF document",
}
"""Formats that are recognised and not decoded, in words."""

_TIFF_UNKNOWN: Final = re.compile(r"unknown pixel mode|unknown data organization|^tiff header: \d+$|not available$")
"""Pillow's messages about a layout, or a compression, that it does not know."""
_TIFF_WEBP: Final = "compression 50001"
"""libtiff's, which Pillow's own builds leave out."""

_AVIF_LACKS: Final = re.compile(r"unsupported|not implemented|no codec", re.IGNORECASE)
_HEIF_LACKS: Final = re.compile(r"unsupported|no decoding plugin", re.IGNORECASE)
_AVIF_STRUCTURE: Final = "BMFF parsing failed"
_AVIF_ALPHA: Final = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0", b"urn:mpeg:hevc:2015:auxid:1\0")

_BMP_LACKS: Final = re.compile(r"Unsupported BMP (?:compression \(([4-9]|1[0-3])\)|pixel depth \((2|64)\)|header type \(16\)|bitfields)")

_JPEG_PROCESSES: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA})
"""Coding processes that libjpeg-turbo decodes."""


def find(body: bytes, image_format: str, message: str) -> str | None:
    """Return what the decoder lacks, or None where the file is broken.

    Args:
        message: the decoder's.
    """
    explain = _EXPLANATIONS.get(image_format)
    words = explain(body, message) if explain else None
    return words and f"{image_format} with {words}: not supported by the decoder"


def refusal(name: str, decoded: Sequence[str]) -> str:
    """Return why a file in this format is not decoded, and which formats are."""
    return f"{REFUSED[name]} is not decoded; what is: {', '.join(decoded)}"


def _heif(body: bytes, message: str) -> str | None:
    if heif.has_sequence(body) and not any(kind == b"meta" for kind, _, _ in heif.boxes(body)):
        return "a sequence of pictures alone"
    words = message.rpartition(": ")[2]
    return words if _HEIF_LACKS.search(message) else None


def _tiff(body: bytes, message: str) -> str | None:
    samples = tiff.describe_samples(body)
    return samples if samples and (_TIFF_UNKNOWN.search(message) or samples.endswith(_TIFF_WEBP)) else None


def _avif(body: bytes, message: str) -> str | None:
    """An alpha plane without a size of its own, as older encoders write it, is refused by libavif like a broken structure."""
    words = message.rpartition(": ")[2]
    if _AVIF_LACKS.search(words):
        return words
    has_alpha = any(name in body for name in _AVIF_ALPHA)
    return f"this kind of alpha plane ({words})" if words == _AVIF_STRUCTURE and has_alpha and heif.has_whole_boxes(body) else None


def _bmp(_: bytes, message: str) -> str | None:
    found = _BMP_LACKS.search(message)
    return found and found[0].removeprefix("Unsupported BMP ")


def _jpeg(body: bytes, _: str) -> str | None:
    frame = JpegFile.parse(body).frame
    if frame is None or not frame.width or not frame.height or frame.precision not in (8, 12, 16):
        return None
    if frame.precision != 8:
        return f"{frame.precision} bits a sample"
    if frame.marker not in _JPEG_PROCESSES:
        return f"the coding process SOF{frame.marker - 0xC0}"
    return f"{len(frame.components)} components" if len(frame.components) in (2, *range(5, 256)) else None


_EXPLANATIONS: Final[Mapping[str, Callable[[bytes, str], str | None]]] = {
    "tiff": _tiff,
    "avif": _avif,
    "heif": _heif,
    "bmp": _bmp,
    "jpeg": _jpeg,
}
