"""Modes and depths: what comes out is L, RGB, RGBA or CMYK of 8 bits. The right pixels of whole files are in test_colour_corpus."""

import struct

import numpy as np
import pytest

from app.images import pixels
from tests.images import colour_files as files
from tests.images import samples


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("1", "L"), ("L", "L"), ("P", "RGB"), ("RGB", "RGB"), ("LA", "RGBA"), ("RGBA", "RGBA"), ("CMYK", "CMYK"), ("YCbCr", "RGB")],
)
def test_every_mode_becomes_one_of_four(mode: str, expected: str) -> None:
    """What follows needs to know four modes only."""
    assert pixels.to_8bit(samples.photo(32, 32).convert(mode), b"").mode == expected


def test_palette_with_transparency_keeps_it() -> None:
    """A transparent palette entry becomes an alpha channel."""
    image = samples.photo(32, 32).convert("P")
    image.info["transparency"] = 0
    assert pixels.to_8bit(image, b"").mode == "RGBA"


def test_what_is_no_number_is_black() -> None:
    """As in maps, where it means "no data"; without a warning."""
    body = files.tiff(np.array([[np.nan, 0.5, 1.0]], dtype=np.float32), 1)
    assert list(pixels.to_8bit(samples.opened(body), body).tobytes()) == [0, 128, 255]


def test_a_picture_of_no_numbers_at_all_is_black() -> None:
    """Nothing is known of it, and nothing is wrong with the file."""
    body = files.tiff(np.full((2, 2), np.nan, np.float32), 1)
    assert set(pixels.to_8bit(samples.opened(body), body).tobytes()) == {0}


def _bitmap(alpha: int) -> bytes:
    """One pixel with a mask for alpha (BITMAPV4HEADER)."""
    masks = (0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII4I", 108, 1, 1, 1, 32, 3, 4, 0, 0, 0, 0, *masks) + bytes(52)
    return b"BM" + struct.pack("<IHHI", 126, 0, 0, 122) + header + bytes((30, 20, 10, alpha))


def test_a_bitmap_whose_alpha_nobody_set_is_opaque() -> None:
    """Windows programs write the fourth byte as zero; as alpha it would make the picture vanish."""
    unset, seen = _bitmap(0), _bitmap(9)
    opaque = pixels.to_8bit(samples.opened(unset), unset)
    assert (opaque.mode, opaque.getpixel((0, 0))) == ("RGB", (10, 20, 30))
    assert pixels.to_8bit(samples.opened(seen), seen).getpixel((0, 0)) == (10, 20, 30, 9)


@pytest.mark.parametrize(
    ("body", "bits"),
    [
        (samples.encode(samples.photo(8, 8)), 8),
        (files.png(np.zeros((2, 2), int), 1), 1),
        (files.png(np.zeros((2, 2, 3), int), 16), 16),
        (files.tiff(np.zeros((2, 2), np.uint16), 1), 16),
        (files.tiff(np.zeros((2, 2), np.float32), 1), 32),
    ],
)
def test_bits_are_those_of_the_file(body: bytes, bits: int) -> None:
    """Whatever Pillow makes of them."""
    assert pixels.bits_per_sample(samples.opened(body), body) == bits
