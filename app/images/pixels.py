"""Pixels as the rest needs them: eight bits a channel, upright, on white, scaled down. Knows Pillow images, no files and no rules."""

import io
import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

__all__ = ["FIRST_SIDEWAYS", "fit_within", "on_white", "orientation_of", "shrink", "to_8bit", "to_srgb", "upright"]

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

FIRST_SIDEWAYS: Final = 5
"""From this orientation on, width and height change places."""

_PLAIN_MODES: Final = frozenset({"L", "RGB", "RGBA", "CMYK"})
_BROKEN_METADATA: Final = (SyntaxError, TypeError, ValueError, LookupError, OSError, AttributeError, struct.error)
"""What Pillow raises over EXIF or ICC data that is none (seen over mutated files); a picture does not depend on it."""


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none or it makes no sense."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except _BROKEN_METADATA:
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

    Grey of more bits is scaled linearly from black to white, where white is 65535 for 16 bits, 1 for floats up to 1, and
    else the brightest value there is, because nothing in such a file says what its white is.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_narrow(np.asarray(image)))
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in _PLAIN_MODES:
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _narrow(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Scale grey of any depth to uint8."""
    if values.dtype.itemsize == 2:
        return (values >> 8).astype(np.uint8)
    grey = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    black = min(0.0, float(grey.min()))
    white = _white_of(float(grey.max()), is_float=values.dtype.kind == "f")
    return ((grey - black) * (255.0 / (white - black))).clip(0, 255).astype(np.uint8)


def _white_of(brightest: float, *, is_float: bool) -> float:
    """The value that counts as white where the brightest pixel has ``brightest``."""
    steps = (1.0, 255.0) if is_float else (255.0, 65535.0)
    return next((step for step in steps if brightest <= step), brightest)


def on_white(image: Image.Image) -> Image.Image:
    """Return L or RGB: transparency shows white, as on a page; CMYK becomes RGB."""
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB") if image.mode == "CMYK" else image


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert by an embedded ICC profile to sRGB. An sRGB or unusable profile changes nothing, except that CMYK becomes RGB."""
    if profile:
        try:
            image = _by_profile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
        except (ImageCms.PyCMSError, *_BROKEN_METADATA):
            pass
    return image.convert("RGB") if image.mode == "CMYK" else image


def _by_profile(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    """Apply a profile that is not sRGB already; grey goes through RGB, as sRGB knows no grey."""
    if "srgb" in ImageCms.getProfileDescription(profile).lower():
        return image
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), image.mode, mode)
    changed = transform.apply(image)
    return changed.convert("L") if image.mode == "L" else changed
