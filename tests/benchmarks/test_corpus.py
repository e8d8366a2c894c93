"""The corpus of the comparison with img2dataset."""

import io
from pathlib import Path

import corpus
from PIL import Image


def test_picture_is_the_same_bytes_for_the_same_number() -> None:
    """A missing picture can be created again."""
    assert corpus.picture(3) == corpus.picture(3)
    assert corpus.picture(3) != corpus.picture(4)


def test_picture_is_a_jpeg_of_the_sizes_that_are_promised() -> None:
    """55 to 160 KB, 640x480 to 1280x960, 4:2:0."""
    for number in range(4):
        body = corpus.picture(number)
        with Image.open(io.BytesIO(body)) as image:
            assert image.format == "JPEG"
            assert 640 * 480 <= image.width * image.height <= 1280 * 960
            assert image.layer[0][1:3] == (2, 2)
        assert 55_000 <= len(body) <= 160_000


def test_fill_leaves_what_is_there(tmp_path: Path) -> None:
    """Only missing pictures are created; here none is missing and no process starts."""
    for number in range(2):
        (tmp_path / corpus.name_of(number)).write_bytes(b"mine")
    assert corpus.fill(tmp_path, 2) == 0
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine", b"mine"]
