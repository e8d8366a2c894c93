"""What the first bytes of a body say it is. Knows signatures only: whether an image decodes is validation's business."""

from typing import Final

__all__ = ["sniff"]

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
"""ISO base media brands that are still images; mp4's and the like are not among them."""

_BMP_HEADER_SIZES: Final = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
"""`BM` alone begins many a text: the size of the header that follows must be one that exists."""


def sniff(head: bytes) -> str | None:
    """Return the media type of an image by its first bytes (64 are enough), or None."""
    for prefix, media_type in _PREFIXES:
        if head.startswith(prefix):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "image/bmp"
    return None


def _by_brand(head: bytes) -> str | None:
    """Read the major brand first, then the compatible ones: some encoders write AVIF as `mif1` with `avif` among the rest."""
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), int.from_bytes(head[:4], "big"), 64) - 3, 4))]
    named = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    if not named or brands[0] not in _BRANDS:
        return None
    return "image/avif" if "image/avif" in named else named[0]
