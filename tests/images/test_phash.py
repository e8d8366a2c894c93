"""The hash survives what doesn't change a picture, and tells pictures apart."""

import io

import pytest
from PIL import Image

from app.images import phash
from tests.images import samples


def _distance(first: Image.Image, second: Image.Image) -> int:
    return (int(phash.perceptual_hash(first.convert("L")), 16) ^ int(phash.perceptual_hash(second.convert("L")), 16)).bit_count()


def test_hash_is_sixteen_hex_digits() -> None:
    """64 bits."""
    assert len(bytes.fromhex(phash.perceptual_hash(samples.photo().convert("L")))) == 8


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
    assert {phash.perceptual_hash(Image.new("L", (50, 40), grey)) for grey in (1, 77, 255)} == {"8000000000000000"}


@pytest.mark.parametrize(
    ("seed", "expected"), [(0, "cae04a1f351f351d"), (1, "c0e0bf9f4a974295"), (2, "bf40953fe0aee023"), (3, "ca4a1f951f959994")]
)
def test_hash_is_the_one_that_is_stored(seed: int, expected: str) -> None:
    """Datasets hold these: another way to compute them must give the same bits."""
    assert phash.perceptual_hash(samples.photo(300, 200, seed=seed).convert("L")) == expected
