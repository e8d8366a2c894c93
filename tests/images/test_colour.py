"""Colour profiles and transparency: what comes out is sRGB on white."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from app.images import colour
from tests.images import colour_files as files
from tests.images import samples


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


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "L"])
def test_a_profile_for_other_pixels_changes_nothing(mode: str) -> None:
    """Ink profiles are for ink, colour profiles for colour; grey takes those of grey and of colour."""
    other = {"CMYK": files.rgb_profile(files.P3, None, "P3")}.get(mode, files.ink_profile()[0])
    image = Image.new(mode, (1, 1), 99)
    assert colour.to_srgb(image, other).getpixel((0, 0)) == colour.to_srgb(image, None).getpixel((0, 0))


def test_a_profile_is_judged_by_what_it_does() -> None:
    """A name with sRGB in it proves nothing; a profile that does the same as sRGB is dropped without a conversion, whatever its name."""
    image = samples.photo(8, 8)
    assert colour.to_srgb(image, files.rgb_profile(files.BT709, 1.0, "linear sRGB")) != image
    assert colour.to_srgb(image, files.rgb_profile(files.BT709, None, "Anything")) is image


def test_a_huge_profile_is_applied_but_not_kept() -> None:
    """A cache of large profiles would fill a decoder's memory."""
    profile = files.rgb_profile(files.BT709, 1.0, "linear")
    padded = (3_000_000).to_bytes(4, "big") + profile[4:] + bytes(3_000_000 - len(profile))
    before = colour._conversion.cache_info().currsize
    assert colour.to_srgb(Image.new("RGB", (1, 1), (55, 55, 55)), padded).getpixel((0, 0)) == (128, 128, 128)
    assert colour._conversion.cache_info().currsize == before


def test_a_grey_profile_stays_grey() -> None:
    """Its curve is applied to each level: 55 of 255 in linear light is 128 in sRGB."""
    changed = colour.to_srgb(Image.new("L", (1, 1), 55), files.grey_profile(1.0))
    assert (changed.mode, changed.getpixel((0, 0))) == ("L", 128)
