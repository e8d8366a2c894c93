"""The colours of decoded pixels: 8 bits a channel, sRGB, no transparency. Knows Pillow images, no files and no verdicts."""

import contextlib
import io
import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

__all__ = ["flatten", "to_8bit", "to_srgb"]

_PLAIN_MODES: Final = frozenset({"L", "RGB", "RGBA", "CMYK"})
_BROKEN_PROFILE: Final = (ImageCms.PyCMSError, SyntaxError, TypeError, ValueError, LookupError, OSError, AttributeError, struct.error)
"""What Pillow raises over malformed profiles (seen with mutated files); the pixels do not depend on them."""


def to_8bit(image: Image.Image) -> Image.Image:
    """Return the same picture in mode L, RGB, RGBA or CMYK.

    Grey of more than 8 bits is scaled linearly from black to white. White is 65535 for 16 bits, 1 for floats up to 1, and otherwise the
    brightest value, because such a file does not state its white.
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
    black, brightest = min(0.0, float(grey.min())), float(grey.max())
    steps = (1.0, 255.0) if values.dtype.kind == "f" else (255.0, 65535.0)
    white = next((step for step in steps if brightest <= step), brightest)
    return ((grey - black) * (255.0 / (white - black))).clip(0, 255).astype(np.uint8)


def flatten(image: Image.Image) -> Image.Image:
    """Return L or RGB: transparency is composed onto white, CMYK becomes RGB."""
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB") if image.mode == "CMYK" else image


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to sRGB by an embedded ICC profile. An sRGB or unusable profile changes nothing, except that CMYK becomes RGB."""
    if profile:
        with contextlib.suppress(*_BROKEN_PROFILE):
            image = _apply_profile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    return image.convert("RGB") if image.mode == "CMYK" else image


def _apply_profile(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    """Apply a profile that is not sRGB already; grey is converted through RGB, because sRGB has no grey."""
    if "srgb" in ImageCms.getProfileDescription(profile).lower():
        return image
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), image.mode, mode)
    changed = transform.apply(image)
    return changed.convert("L") if image.mode == "L" else changed
