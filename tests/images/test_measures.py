"""Entropy, brightness, sharpness; and the hash survives what does not change a picture, and separates pictures."""

import io

import numpy as np
import pytest
from PIL import Image

from app.images import measures
from tests.images import samples


def _distance(first: Image.Image, second: Image.Image) -> int:
    return (int(measures.perceptual_hash(first.convert("L")), 16) ^ int(measures.perceptual_hash(second.convert("L")), 16)).bit_count()


def test_hash_is_sixteen_hex_digits() -> None:
    """64 bits."""
    assert len(bytes.fromhex(measures.perceptual_hash(samples.photo().convert("L")))) == 8


def test_hash_survives_scaling_and_recoding() -> None:
    """Half the size at poor quality stays within the default distance."""
    image = samples.photo(640, 480)
    recoded = Image.open(io.BytesIO(samples.encode(image.resize((320, 240)), quality=40)))
    assert _distance(image, recoded) <= 6


def test_hash_tells_pictures_apart() -> None:
    """Other pictures are further away than duplicates ever are."""
    pictures = [samples.photo(seed=seed) for seed in range(6)]
    assert min(_distance(a, b) for i, a in enumerate(pictures) for b in pictures[:i]) > 6


def test_hash_of_flat_images_is_one_bit() -> None:
    """Only the constant term is above the median: no noise of floating point decides a bit."""
    assert {measures.perceptual_hash(Image.new("L", (50, 40), grey)) for grey in (1, 77, 255)} == {"8000000000000000"}


@pytest.mark.parametrize(
    ("seed", "expected"), [(0, "cae04a1f351f351d"), (1, "c0e0bf9f4a974295"), (2, "bf40953fe0aee023"), (3, "ca4a1f951f959994")]
)
def test_hash_is_the_one_that_is_stored(seed: int, expected: str) -> None:
    """Datasets hold these: another way to compute them must give the same bits."""
    assert measures.perceptual_hash(samples.photo(300, 200, seed=seed).convert("L")) == expected


def test_entropy_is_that_of_the_histogram() -> None:
    """One value has 0 bits, two equally frequent ones have 1, all 256 have 8."""
    assert measures.entropy_of(Image.new("L", (16, 16), 9).histogram()) == 0.0
    assert measures.entropy_of(Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).histogram()) == 1.0
    assert measures.entropy_of(Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).histogram()) == 8.0


def test_brightness_is_the_mean() -> None:
    """To the last digit."""
    grey = samples.photo(123, 77).convert("L")
    assert measures.brightness_of(grey.histogram()) == float(np.asarray(grey).mean())
    assert measures.brightness_of(Image.new("L", (16, 16), 255).histogram()) == 255.0


def test_sharpness_falls_with_blur() -> None:
    """Scaling down and up again takes the edges away; without a neighbourhood there is no sharpness."""
    grey = samples.photo(256, 192).convert("L")
    blurred = grey.resize((16, 12)).resize((256, 192), Image.Resampling.BICUBIC)
    assert measures.sharpness_of(grey) > 20 > measures.sharpness_of(blurred)
    assert measures.sharpness_of(Image.new("L", (2, 50))) == 0.0


def test_sharpness_of_a_single_point() -> None:
    """The kernel is 4 in the middle and -1 beside it: variance of (4, -1, -1, -1, -1, 0, ...) over 9 places."""
    grey = Image.new("L", (5, 5))
    grey.putpixel((2, 2), 1)
    assert measures.sharpness_of(grey) == pytest.approx(20 / 9)
