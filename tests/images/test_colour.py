"""Modes, depths and colour profiles: what comes out is 8-bit sRGB."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from app.images import colour
from tests.images import samples


def _levels(image: Image.Image) -> list[int]:
    return [int(value) for value in np.asarray(image).ravel()]


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([0, 0x8000, 0xFFFF], np.uint16, [0, 128, 255]),
        ([0, 128, 255], np.int32, [0, 128, 255]),
        ([0, 32768, 65535], np.int32, [0, 127, 255]),
        ([0, 500_000, 1_000_000], np.int32, [0, 127, 255]),
        ([-100, 0, 100], np.int32, [0, 71, 143]),
        ([0.0, 0.5, 1.0], np.float32, [0, 127, 255]),
        ([0.0, 100.0, 200.0], np.float32, [0, 100, 200]),
        ([np.nan, np.inf, 1.0], np.float32, [0, 0, 255]),
    ],
)
def test_deep_grey_is_scaled_to_eight_bits(values: list[float], dtype: Any, expected: list[int]) -> None:
    """16 bits, 32 bits and floats become 0 to 255 without a warning, whatever stands in them."""
    narrowed = colour.to_8bit(Image.fromarray(np.array([values], dtype=dtype)))
    assert narrowed.mode == "L"
    assert _levels(narrowed) == expected


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("1", "L"), ("L", "L"), ("P", "RGB"), ("RGB", "RGB"), ("LA", "RGBA"), ("RGBA", "RGBA"), ("CMYK", "CMYK"), ("YCbCr", "RGB")],
)
def test_every_mode_becomes_one_of_four(mode: str, expected: str) -> None:
    """What follows needs to know four modes only."""
    assert colour.to_8bit(samples.photo(32, 32).convert(mode)).mode == expected


def test_palette_with_transparency_keeps_it() -> None:
    """A transparent palette entry becomes an alpha channel."""
    image = samples.photo(32, 32).convert("P")
    image.info["transparency"] = 0
    assert colour.to_8bit(image).mode == "RGBA"


def test_transparency_shows_white() -> None:
    """As on a page."""
    assert colour.flatten(Image.new("RGBA", (1, 1), (0, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)
    assert colour.flatten(Image.new("CMYK", (1, 1))).mode == "RGB"
    assert colour.flatten(Image.new("L", (1, 1))).mode == "L"


def _swapped_primaries() -> bytes:
    """An sRGB profile under another name whose red and blue primaries are exchanged."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"tmp_").replace(b"bXYZ", b"rXYZ").replace(b"tmp_", b"bXYZ").replace(b"s\0R\0G\0B", b"o\0D\0D\0!")


def test_a_profile_is_applied() -> None:
    """Red in a profile with exchanged primaries is blue."""
    profile = _swapped_primaries()
    assert "srgb" not in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).lower()
    changed = colour.to_srgb(Image.new("RGB", (1, 1), (255, 0, 0)), profile)
    red, _, blue = np.asarray(changed)[0, 0]
    assert blue > 200 > 60 > red
    assert colour.to_srgb(Image.new("RGBA", (1, 1), (255, 0, 0, 77)), profile).getpixel((0, 0))[3] == 77  # type: ignore[index]


def test_an_srgb_profile_changes_nothing() -> None:
    """It is only dropped."""
    image = samples.photo(8, 8)
    assert colour.to_srgb(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()) is image


@pytest.mark.parametrize("profile", [b"no profile", None, b""])
def test_an_unusable_profile_changes_nothing(profile: bytes | None) -> None:
    """Colours stay as they are; CMYK becomes RGB all the same."""
    assert colour.to_srgb(Image.new("L", (1, 1), 99), profile).getpixel((0, 0)) == 99
    assert colour.to_srgb(Image.new("CMYK", (1, 1)), profile).mode == "RGB"


def test_a_profile_for_another_mode_changes_nothing() -> None:
    """Grey pixels with an RGB profile are left alone."""
    assert colour.to_srgb(Image.new("L", (1, 1), 99), _swapped_primaries()).getpixel((0, 0)) == 99


def test_a_grey_profile_stays_grey() -> None:
    """Grey goes through sRGB and back, and its gamma is applied."""
    changed = colour.to_srgb(Image.new("L", (1, 1), 128), _grey_profile(gamma=1.0))
    assert changed.mode == "L"
    assert int(np.asarray(changed)[0, 0]) > 170


def _grey_profile(gamma: float) -> bytes:
    """A minimal ICC profile for grey (ICC.1:2010, 7 and 8.4)."""
    tags = {
        b"wtpt": b"XYZ \0\0\0\0" + b"".join(round(value * 65536).to_bytes(4, "big") for value in (0.9642, 1.0, 0.8249)),
        b"kTRC": b"curv\0\0\0\0" + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big") + b"\0\0",
        b"desc": b"desc\0\0\0\0" + (5).to_bytes(4, "big") + b"Grey\0" + bytes(79),
    }
    table, data = len(tags).to_bytes(4, "big"), b""
    for name, value in tags.items():
        table += name + (128 + 4 + 12 * len(tags) + len(data)).to_bytes(4, "big") + len(value).to_bytes(4, "big")
        data += value
    header = bytearray(128)
    header[0:4] = (128 + len(table) + len(data)).to_bytes(4, "big")
    header[8:12], header[12:24], header[36:40] = b"\x02\x10\0\0", b"mntrGRAYXYZ ", b"acsp"
    header[68:80] = tags[b"wtpt"][8:]
    return bytes(header) + table + data
