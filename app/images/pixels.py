"""Pixels as the rest needs them: eight bits a channel, upright, on white, scaled down. Knows Pillow images, no files and no rules."""

import struct
from typing import Final

import numpy as np
from PIL import Image, ImageCms

__all__ = ["fit_within", "on_white", "orientation_of", "shrink", "to_8bit", "to_srgb", "upright"]

_ORIENTATION_TAG: Final = 0x0112
_TRANSPOSE: Final[dict[int, Image.Transpose]] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF 2.32, 4.6.4, tag Orientation: how the stored rows become the picture."""

_PLAIN_MODES: Final = frozenset({"L", "RGB", "RGBA", "CMYK"})
_BROKEN_EXIF: Final = (SyntaxError, TypeError, ValueError, LookupError, OSError, AttributeError, struct.error)
"""What Pillow raises over EXIF that is none (seen over mutated files); a picture does not depend on it."""


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none or it makes no sense."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except _BROKEN_EXIF:
        return 1
    return value if isinstance(value, int) and value in _TRANSPOSE else 1


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn and mirror so that the picture stands as it was taken."""
    return image.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else image


def fit_within(width: int, height: int, longer_side: int) -> tuple[int, int]:
    """Scale a size down, never up, so that its longer side is at most ``longer_side``; at least one pixel a side."""
    scale = min(1.0, longer_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def shrink(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scale to exactly ``size`` with antialiasing; a far larger image is box-reduced first, which costs a fraction."""
    return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.5)


def to_8bit(image: Image.Image) -> Image.Image:
    """Return the same picture in mode L, RGB, RGBA or CMYK.

    16-bit grey keeps its high byte. 32-bit integers and floats outside of 0 to 255 are scaled to that range, because
    nothing in a file says what their white is.
    """
    if image.has_transparency_data and image.mode != "RGBA":
        return image.convert("RGBA")
    if image.mode in _PLAIN_MODES:
        return image
    if image.mode == "1":
        return image.convert("L")
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_narrow(np.asarray(image)))
    return image.convert("RGB")


def _narrow(values: np.ndarray) -> np.ndarray:
    """Scale grey of any depth to uint8."""
    if values.dtype.itemsize == 2:
        return (values >> 8).astype(np.uint8)
    grey = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = float(grey.min()), float(grey.max())
    if low >= 0 and 255 < high <= 65535 and values.dtype.kind == "i":
        grey /= 256.0
    elif low < 0 or high > 255 or (high <= 1 and values.dtype.kind == "f"):
        low, high = (min(low, 0.0), max(high, 1.0)) if high <= 1 else (low, high)
        grey = (grey - low) * (255.0 / max(high - low, 1e-12))
    return grey.clip(0, 255).astype(np.uint8)


def on_white(image: Image.Image) -> Image.Image:
    """Return L or RGB: transparency shows white, as on a page; CMYK becomes RGB."""
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB") if image.mode == "CMYK" else image


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert by an embedded ICC profile to sRGB. An sRGB or unusable profile changes nothing, except that CMYK becomes RGB."""
    if profile and not _is_srgb(profile):
        try:
            return _by_profile(image, profile)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image.convert("RGB") if image.mode == "CMYK" else image


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(_as_file(profile))
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    changed = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    if changed is None:
        return image
    return changed.convert("L") if image.mode == "L" else changed
