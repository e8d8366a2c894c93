"""What an image must be to enter a dataset, and how it leaves. Plain values without I/O."""

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = [
    "DEFAULT_SPLIT_BY",
    "ENCODER_SIDES",
    "MAX_DRAWN_PIXELS",
    "SPLIT_KINDS",
    "CompressionRules",
    "Encode",
    "Level",
    "Resize",
    "SplitKind",
    "ValidationRules",
]

Level = Literal["basic", "standard", "strict"]
"""Levels of validation; each applies the checks of the levels before it."""

Encode = Literal["keep", "jpeg", "webp", "webp-lossless", "png", "avif"]
"""Encodings of exported images; ``keep`` is that of the original."""

Resize = Literal["none", "keep_ratio", "longest", "center_crop", "border"]
"""How images are resized. ``keep_ratio`` makes the shorter side, ``longest`` the longer side the size; the others make a square."""

SplitKind = Literal["cluster", "group", "creator", "page", "host"]
"""What images of one split may share: nearly the same picture, a group of the list, a creator, a page, the host of their URL."""

SPLIT_KINDS: tuple[SplitKind, ...] = get_args(SplitKind)
DEFAULT_SPLIT_BY: tuple[SplitKind, ...] = ("cluster", "group")


@dataclass(frozen=True, slots=True)
class ValidationRules:
    """Limits that an image must meet to enter a dataset.

    Attributes:
        level: ``basic`` (decodes, format, size), ``standard`` (+ aspect, detail, truncation, animation), ``strict`` (+ blur, exposure).
        min_width, min_height: pixels.
        max_pixels: width times height above which an image is not decoded.
        max_aspect: longer side over shorter side.
        min_entropy: bits of the grey histogram of the image at 1/8 scale, 0 to 8.
        min_edges: share of the thumbnail's pixels at an edge, 0 to 1, with which an image of less entropy passes: a logo, a line chart.
        min_sharpness: variance of the Laplacian of the grey image, scaled to 256 pixels on its longer side.
        min_brightness, max_brightness: mean grey, 0 to 255.
        formats: names of formats as Pillow gives them, lower case.
    """

    level: Level = "standard"
    min_width: int = 64
    min_height: int = 64
    max_pixels: int = 50_000_000
    max_aspect: float = 4.0
    min_entropy: float = 1.0
    min_edges: float = 0.002
    min_sharpness: float = 20.0
    min_brightness: float = 8.0
    max_brightness: float = 247.0
    formats: tuple[str, ...] = ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "heif")


MAX_DRAWN_PIXELS = 178_956_970
"""Width times height of what is decoded or drawn for an export (Pillow's own hard limit): 512 MB in RGB. Validation's limit is lower."""

ENCODER_SIDES = {"jpeg": 65_500, "webp": 16_383, "webp-lossless": 16_383, "avif": 32_768}
"""Largest width and height, pixels, of an encoding: libjpeg's JPEG_MAX_DIMENSION, the 14 bits of WebP, and what libavif reads back
(AVIF_DEFAULT_IMAGE_DIMENSION_LIMIT). PNG has no such limit."""


@dataclass(frozen=True, slots=True)
class CompressionRules:
    """Encoding and size of the exported images.

    Attributes:
        format: ``keep`` leaves the encoding as it is and, with ``resize="none"``, the bytes as well.
        level: encoder quality, 1 to 100, for jpeg, webp and avif; the time spent for webp-lossless; for png the zlib level is
            ``min(9, level // 10)``.
        resize: see `Resize`.
        size: pixels.
        only_if_bigger: never enlarge an image.
    """

    format: Encode = "keep"
    level: int = 95
    resize: Resize = "none"
    size: int = 256
    only_if_bigger: bool = True

    def sizes(self, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return width and height, pixels, to which an upright picture is scaled, and those of the canvas, which crops or pads it."""
        if self.resize == "none":
            return (width, height), (width, height)
        side = max(width, height) if self.resize in ("border", "longest") else min(width, height)
        scale = self.size / side
        if self.only_if_bigger:
            scale = min(1.0, scale)
        scaled = (max(1, round(width * scale)), max(1, round(height * scale)))
        if self.resize in ("keep_ratio", "longest"):
            return scaled, scaled
        square = self.size if self.resize == "border" else min(self.size, *scaled)
        return scaled, (square, square)

    @property
    def words(self) -> str:
        """As the options of the command line spell them: ``webp:80 longest 512``."""
        encoding = self.format if self.format == "keep" else f"{self.format}:{self.level}"
        return encoding if self.resize == "none" else f"{encoding} {self.resize} {self.size}"

    @property
    def is_identity(self) -> bool:
        """Whether the exported bytes are the fetched bytes, but for metadata over which loaders fail."""
        return self.format == "keep" and self.resize == "none"
