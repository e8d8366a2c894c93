"""Stored samples to 8-bit pixels: depth, polarity, the range of deep grey, transparency. Knows loaded Pillow images, no profiles.

What the file does not say, such as the white of a float image with values above 1, is refused by name and never guessed.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops
from PIL.TiffImagePlugin import TiffImageFile

from errors import Reason, ValidationError

__all__ = ["bits_per_sample", "to_8bit"]

_PLAIN_MODES: Final = frozenset({"L", "RGB", "RGBA", "CMYK"})

_MIN_IS_WHITE: Final = 0
"""TIFF 6.0, tag PhotometricInterpretation: 0 is white."""

_SUBSAMPLED_DEFAULT: Final = (2, 2)
"""TIFF 6.0, tag YCbCrSubSampling, where it is missing."""

_OVERSHOOT: Final = 0.05
"""Share of the range by which floats may leave it, as sharpening does at edges; they are clipped."""

_FULL_RANGE_SHARE: Final = 16
"""The brightest of 32-bit samples must reach this part of the assumed white; a darker image would be black by mistake."""

_BAND_ROWS: Final = 256
"""Rows that are scaled at once: the memory of a decoder would not hold a large image as floats."""

_KINDS: Final[dict[int, Literal["unsigned", "signed", "float"]]] = {1: "unsigned", 2: "signed", 3: "float"}
"""TIFF 6.0, tag SampleFormat."""


@dataclass(frozen=True, slots=True)
class _Grey:
    """How the samples of a grey image are stored.

    Attributes:
        bits: of one sample.
        is_inverted: whether 0 is white.
        stated: the values of black and white, where the file states them.
    """

    bits: int
    kind: Literal["unsigned", "signed", "float"] = "unsigned"
    is_inverted: bool = False
    stated: tuple[float, float] | None = None


def bits_per_sample(image: Image.Image, body: bytes) -> int:
    """The bits of one channel as the file stores it, such as 8, 16 or 32; 8 for formats of which no other depth is decoded."""
    if image.format == "PNG":
        return body[24]
    return _tag(image, 258, 8) if isinstance(image, TiffImageFile) else 8


def to_8bit(image: Image.Image, body: bytes) -> Image.Image:
    """Return a loaded picture in mode L, RGB, RGBA or CMYK, where 0 is black, or no ink.

    Args:
        image: loaded.
        body: the file it was loaded from.

    Raises:
        errors.ValidationError: the meaning of the samples is not stated by the file, or not supported (``format``).
    """
    if isinstance(image, TiffImageFile):
        _refuse_subsampled(image)
    if image.mode.startswith("I") or image.mode == "F" or _grey_kind(image) == "signed":
        return _with_key(image, _narrow(np.asarray(image), _grey_layout(image, body)), body)
    if image.format == "PNG" and "transparency" in image.info and image.mode != "P":
        return _apply_key(image, body)
    if image.mode == "La":
        return _unpremultiply(image)
    if image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")  # a fourth byte that nobody set
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        return ImageChops.invert(image)  # Pillow inverts every CMYK JPEG; only Adobe's are stored inverted
    if image.mode in _PLAIN_MODES:
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _tag(image: TiffImageFile, number: int, default: int) -> int:
    """The first value of a TIFF tag."""
    value = image.tag_v2.get(number, default)
    return int(value[0] if isinstance(value, tuple) else value)


def _refuse_subsampled(image: TiffImageFile) -> None:
    """Refuse uncompressed YCbCr with less colour than brightness, which Pillow would read as if it had as much."""
    if image.mode != "YCbCr" or _tag(image, 259, 1) != 1:
        return
    subsampling = image.tag_v2.get(530, _SUBSAMPLED_DEFAULT)
    if tuple(subsampling) != (1, 1):
        raise ValidationError(f"tiff with uncompressed YCbCr, subsampled {subsampling}: not supported", reason=Reason.FORMAT)


def _grey_kind(image: Image.Image) -> Literal["unsigned", "signed", "float"]:
    return _KINDS.get(_tag(image, 339, 1), "unsigned") if isinstance(image, TiffImageFile) else "unsigned"


def _grey_layout(image: Image.Image, body: bytes) -> _Grey:
    bits = bits_per_sample(image, body)
    if not isinstance(image, TiffImageFile):
        return _Grey(bits)
    return _Grey(bits, _grey_kind(image), _tag(image, 262, 1) == _MIN_IS_WHITE, _stated_range(image))


def _stated_range(image: TiffImageFile) -> tuple[float, float] | None:
    """SMinSampleValue and SMaxSampleValue (TIFF 6.0, section 19)."""
    low, high = (image.tag_v2.get(number) for number in (340, 341))
    low, high = (value[0] if isinstance(value, tuple) else value for value in (low, high))
    if low is None or high is None or not -np.inf < float(low) < float(high) < np.inf:
        return None
    return float(low), float(high)


def _narrow(values: npt.NDArray[Any], grey: _Grey) -> npt.NDArray[np.uint8]:
    """Scale grey of any depth to uint8, rounded to the nearest."""
    if values.dtype.itemsize == 2:
        low, high = 0.0, float(2**grey.bits - 1)
        return _scaled(np.arange(65536, dtype=np.float32), low, high, grey.is_inverted).take(values)
    if grey.kind == "signed" and values.dtype.itemsize == 1:
        values = values.view(np.int8)
    if grey.kind == "unsigned":
        values = values.view(np.uint32)
    low, high = grey.stated or _assumed_range(values, grey)
    narrowed = np.empty(values.shape, np.uint8)
    for at in range(0, len(values), _BAND_ROWS):
        band = slice(at, at + _BAND_ROWS)
        narrowed[band] = _scaled(values[band].astype(np.float32), low, high, grey.is_inverted)
    return narrowed


def _scaled(values: npt.NDArray[np.float32], low: float, high: float, is_inverted: bool) -> npt.NDArray[np.uint8]:
    """Scale in place from black at ``low`` and white at ``high``, or the other way round."""
    np.nan_to_num(values, copy=False, nan=low, posinf=high, neginf=low)
    values -= high if is_inverted else low
    values *= 255.0 / (low - high if is_inverted else high - low)
    values += 0.5
    return values.clip(0, 255, out=values).astype(np.uint8)


def _assumed_range(values: npt.NDArray[Any], grey: _Grey) -> tuple[float, float]:
    """Black and white of samples whose range is not stated: 0 to 1 for floats; 8, 16 or all bits, whichever the brightest reaches."""
    finite = values[~np.isnan(values)] if grey.kind == "float" else values
    darkest, brightest = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if grey.kind == "float":
        if darkest >= -_OVERSHOOT and brightest <= 1.0 + _OVERSHOOT:
            return 0.0, 1.0
    elif darkest >= 0:
        most = float(2 ** (grey.bits - (grey.kind == "signed")) - 1)
        steps = (*(step for step in (255.0, 65535.0) if step < most), most)
        white = next(step for step in steps if brightest <= step)
        if white == steps[0] or brightest * _FULL_RANGE_SHARE >= white:
            return 0.0, white
    raise ValidationError(
        f"{grey.bits}-bit {grey.kind} samples from {darkest:g} to {brightest:g}: the file does not state which value is white; "
        "floats are taken from 0 to 1, others by SMinSampleValue and SMaxSampleValue",
        reason=Reason.FORMAT,
    )


def _key_of(image: Image.Image, body: bytes) -> int | None:
    """The grey sample that is transparent (PNG 11.3.2.1), as stored; only the bits that samples have count."""
    key = image.info.get("transparency")
    if image.format != "PNG" or not isinstance(key, int):
        return None
    return key % (1 << bits_per_sample(image, body))


def _with_key(image: Image.Image, grey: npt.NDArray[np.uint8], body: bytes) -> Image.Image:
    """Deep grey with its transparent value, if it has one."""
    key, narrowed = _key_of(image, body), Image.fromarray(grey)
    if key is None:
        return narrowed
    alpha = Image.fromarray(np.where(np.asarray(image) == key, np.uint8(0), np.uint8(255)))
    return Image.merge("RGBA", (narrowed, narrowed, narrowed, alpha))


def _apply_key(image: Image.Image, body: bytes) -> Image.Image:
    """Make one grey or one colour of a PNG transparent. Pillow compares the key as stored with samples scaled to 8 bits."""
    bits, key = bits_per_sample(image, body), image.info["transparency"]
    if image.mode == "RGB":
        if bits > 8:
            raise ValidationError("png of 16 bits a channel with a transparent colour (tRNS): not supported", reason=Reason.FORMAT)
        image.info["transparency"] = tuple(value & 0xFF for value in key)
        return image.convert("RGBA")
    grey = image.convert("L")
    transparent = 255 * bool(key) if image.mode == "1" else (key & (2**bits - 1)) * 255 // (2**bits - 1)
    alpha = grey.point([0 if level == transparent else 255 for level in range(256)])
    return Image.merge("RGBA", (grey, grey, grey, alpha))


def _unpremultiply(image: Image.Image) -> Image.Image:
    """Grey that was multiplied by its alpha (TIFF 6.0, ExtraSamples 1)."""
    grey, alpha = image.getchannel(0), image.getchannel(1)
    return Image.merge("RGBa", (grey, grey, grey, alpha)).convert("RGBA")
