"""What loaders do with a file: the size they arrive at, or the words of their error."""

import io

import pytest
from PIL import Image, ImageOps

from app.images.loading import load
from errors import Reason, ValidationError
from tests.images import samples
from tests.images.test_metadata import BROKEN, SOUND


def fails_to_load(body: bytes) -> bool:
    """Whether Hugging Face datasets or torchvision raise; warnings do not count."""
    try:
        image = Image.open(io.BytesIO(body))
        image.load()
        if image.getexif().get(0x0112) is not None:
            image = ImageOps.exif_transpose(image)
        image.convert("RGB")
    except Exception:
        return True
    return False


@pytest.mark.parametrize("name", SOUND)
def test_the_size_is_that_of_the_upright_picture(name: str) -> None:
    """Whatever the format, and wherever the orientation stands."""
    body, size = SOUND[name]
    loaded = load(body)
    assert (loaded.reason, loaded.width, loaded.height) == (None, *size)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_fails_where_a_loader_fails() -> None:
    """Over the same files, and over no other; the message names the format."""
    failing = {name for name, (body, _) in BROKEN.items() if fails_to_load(body)}
    assert len(failing) > 15
    for name, (body, _) in BROKEN.items():
        if name in failing:
            with pytest.raises(ValidationError, match=r"^cannot be loaded as ") as raised:
                load(body)
            assert raised.value.slug is Reason.CORRUPT
        else:
            load(body)


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        (samples.encode(samples.photo())[:-900], Reason.CORRUPT, "truncated"),
        (samples.encode(samples.photo(), "PNG")[:-900], Reason.CORRUPT, "truncated"),
        (samples.png_header_bomb(), Reason.TOO_MANY_PIXELS, "Pillow opens up to 178956970 pixels"),
        (b"<html>", Reason.NOT_AN_IMAGE, "no signature"),
        (b"%PDF-1.7", Reason.NOT_AN_IMAGE, "pdf"),
    ],
)
def test_what_is_no_image_says_so(body: bytes, reason: Reason, words: str) -> None:
    """Damage, a bomb, another file."""
    with pytest.raises(ValidationError, match=words) as raised:
        load(body)
    assert raised.value.slug is reason
