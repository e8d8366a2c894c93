"""Entropy, brightness, sharpness; and the hash survives what does not change a picture, and separates pictures."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

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


def test_edges_are_counted_inside_the_margin_in_any_channel() -> None:
    """A border alone has none, noise has none, and colours of equal grey have an edge between them."""
    frame, dot, shades = Image.new("RGB", (100, 80), "white"), Image.new("L", (100, 80), 255), Image.new("RGB", (100, 80), (100, 120, 140))
    ImageDraw.Draw(frame).rectangle((0, 0, 99, 79), outline="black", width=3)
    dot.putpixel((50, 40), 0)
    shades.paste((140, 100, 138), (50, 0, 100, 80))
    assert measures.edges_of(frame) == measures.edges_of(Image.new("L", (5, 300))) == measures.edges_of(Image.new("L", (1, 1))) == 0.0
    assert measures.edges_of(dot) == 3 / (87 * 69)  # the dot, the pixel left of it and the one above
    assert measures.edges_of(shades) == pytest.approx(1 / 87)
    noise = np.random.default_rng(1).normal(200, 3, (200, 200, 3)).clip(0, 255).astype(np.uint8)
    assert measures.edges_of(Image.fromarray(noise)) < 0.0005


def test_colour_grid_is_the_mean_of_each_cell() -> None:
    """Y, Cb and Cr by BT.601, rows first; grey has no chroma, and the size of the picture makes no difference."""
    picture = Image.new("RGB", (128, 64), (255, 0, 0))
    picture.paste((0, 0, 255), (32, 0, 64, 16))
    red, blue = "4c54ff", "1dff6b"
    assert measures.colour_grid(picture) == red + blue + 14 * red
    assert measures.colour_grid(picture.resize((256, 128), Image.Resampling.NEAREST)) == measures.colour_grid(picture)
    assert measures.colour_grid(Image.new("L", (3, 2), 77)) == 16 * "4d8080"


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
