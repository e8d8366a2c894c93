"""The colours of decoded pixels: to sRGB by the profile that applies, and onto white. Knows Pillow images, no files and no verdicts."""

import io
import struct
from functools import lru_cache
from typing import Final

import numpy as np
from PIL import Image, ImageCms

__all__ = ["flatten", "to_display", "to_srgb"]

_BROKEN_PROFILE: Final = (ImageCms.PyCMSError, SyntaxError, TypeError, ValueError, LookupError, OSError, AttributeError, struct.error)
"""What Pillow raises over malformed profiles (seen with mutated files); the pixels do not depend on them."""

_CACHED_PROFILES: Final = 16
_MAX_CACHED_BYTES: Final = 2_000_000
"""A profile for print has 0.5 to 2 MB; a larger one is applied without being kept."""

_GREYS: Final = Image.frombytes("L", (256, 1), bytes(range(256)))

_CHANNELS: Final[dict[str, int]] = {"RGB": 3, "CMYK": 4, "GRAY": 1}
"""Channels of the pixels that a profile is for, by its colour space (ICC.1:2022, 7.2.8)."""


def to_display(image: Image.Image, profile: bytes | None, ground: str = "white") -> Image.Image:
    """Return L or RGB as any screen shows it: sRGB, transparency composed onto ``ground``."""
    return flatten(to_srgb(image, profile), ground)


def flatten(image: Image.Image, ground: str = "white") -> Image.Image:
    """Return L or RGB: transparency is composed onto ``ground``, CMYK becomes RGB."""
    if image.mode == "RGBA":
        return Image.alpha_composite(Image.new("RGBA", image.size, ground), image).convert("RGB")
    return image.convert("RGB") if image.mode == "CMYK" else image


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert L, RGB, RGBA or CMYK to sRGB by an ICC profile.

    A profile that is broken, for other pixels, or the same as sRGB changes nothing, except that CMYK becomes RGB. Grey stays grey.
    """
    if profile:
        conversion = (_conversion if len(profile) <= _MAX_CACHED_BYTES else _conversion.__wrapped__)(profile, image.mode)
        if isinstance(conversion, list):
            return image.point(conversion * (3 if image.mode != "L" else 1) + list(range(256)) * (image.mode == "RGBA"))
        if conversion is not None:
            return conversion.apply(image)
    return image.convert("RGB") if image.mode == "CMYK" else image


@lru_cache(maxsize=_CACHED_PROFILES)
def _conversion(profile: bytes, mode: str) -> list[int] | ImageCms.ImageCmsTransform | None:
    """Prepare the conversion of pixels of a mode: a level for each of 256 greys, a transform, or None where nothing changes."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        channels = _CHANNELS.get(str(opened.profile.xcolor_space).strip(), 0)
        if mode == "L" or (channels == 1 and mode != "CMYK"):
            return _grey_table(opened, channels)
        if channels != Image.getmodebands(mode) - (mode == "RGBA"):
            return None
        transform = _transform(opened, mode, "RGBA" if mode == "RGBA" else "RGB")
        return None if mode != "CMYK" and _is_identity(transform, mode) else transform
    except _BROKEN_PROFILE:
        return None


def _transform(profile: ImageCms.ImageCmsProfile, mode: str, to_mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, to_mode)


def _grey_table(profile: ImageCms.ImageCmsProfile, channels: int) -> list[int] | None:
    """Convert each grey through RGB, because sRGB has no grey. Grey pixels with a profile for RGB are R = G = B."""
    if channels not in (1, 3):
        return None
    greys = _GREYS if channels == 1 else _GREYS.convert("RGB")
    table = list(_transform(profile, greys.mode, "RGB").apply(greys).convert("L").tobytes())
    return None if all(abs(level - place) <= 1 for place, level in enumerate(table)) else table


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a lattice of colours and all greys come out within one of 255 levels."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
    colours = np.concatenate([lattice, greys])[None]
    changed = np.asarray(transform.apply(Image.fromarray(colours).convert(mode)))[..., :3]
    return int(abs(changed.astype(np.int16) - colours).max()) <= 1
