"""Pixels as Pillow's, and warnings: those about lost data are reported, the harmless ones are not."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import simplejpeg
from PIL import Image

from app.images import turbojpeg
from app.images.jpeg import JpegFile
from tests.images import samples


def _decode(body: bytes, scale: int = 1) -> turbojpeg.JpegPixels:
    opened = Image.open(samples.as_file(body), formats=("JPEG",))
    return turbojpeg.decode(JpegFile.parse(body), opened.mode, opened.size, scale)


def _by_pillow(body: bytes, scale: int) -> Image.Image:
    opened = Image.open(samples.as_file(body), formats=("JPEG",))
    if scale > 1:
        opened.draft(None, (opened.width // scale, opened.height // scale))
    opened.load()
    return opened


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": "4:4:4"}, {"subsampling": "4:2:2"}])
def test_pixels_are_those_of_pillow(scale: int, options: dict[str, Any]) -> None:
    """At every scale, for every mode, and odd sizes."""
    for mode in ("RGB", "L") if "subsampling" in options else ("RGB", "L", "CMYK"):
        body = samples.encode(samples.photo(123, 77).convert(mode), **options)
        pixels = _decode(body, scale)
        assert pixels.image is not None
        assert pixels.damage is None
        expected = _by_pillow(body, scale)
        assert (pixels.image.mode, pixels.image.size) == (expected.mode, expected.size)
        assert pixels.image.tobytes() == expected.tobytes()


def test_a_damaged_file_is_decoded_all_the_same(jpeg: bytes) -> None:
    """The pixels come with the warning, from one decode, and are what Pillow would show."""
    middle = len(jpeg) // 2
    body = jpeg[:middle] + b"<html>" * 100 + jpeg[middle:]
    pixels = _decode(body)
    assert pixels.image is not None
    assert pixels.damage
    assert pixels.image.tobytes() == _by_pillow(body, 1).tobytes()


def _with_segment(body: bytes, segment: bytes) -> bytes:
    return body[:20] + segment + body[20:]


Edit = Callable[[bytes], bytes]

HARMLESS: Mapping[str, Edit] = {
    "junk between segments": lambda body: _with_segment(body, b"junk"),
    "a bad ICC marker": lambda body: _with_segment(body, b"\xff\xe2\0\x10ICC_PROFILE\0\x02\x01"),
    "an unknown JFIF version": lambda body: body[:11] + b"\x07" + body[12:],
    "zeros before EOI": lambda body: body[:-2] + bytes(16) + body[-2:],
    "bytes after EOI": lambda body: body + b"anything",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_warnings_are_no_damage(jpeg: bytes, name: str) -> None:
    """They do not touch the pixels, and they do not hide damage in the scan."""
    body = HARMLESS[name](jpeg)
    pixels = _decode(body)
    assert pixels.image is not None
    assert pixels.damage is None
    assert pixels.image.tobytes() == _by_pillow(jpeg, 1).tobytes()
    middle = len(jpeg) // 2
    assert _decode(HARMLESS[name](jpeg[:middle] + jpeg[middle + 512 :])).damage


@pytest.mark.parametrize(
    ("damage", "edit"),
    [
        ("premature end of data segment", lambda body: body[: len(body) // 2] + b"\xff\xd9"),
        ("found marker 0xd5 instead of RST0", lambda body: body.replace(b"\xff\xd0", b"\xff\xd5", 1)),
        (r"\d+ extraneous bytes before marker 0xd9", lambda body: body[:-2] + b"\x5a" * 62 + body[-2:]),
    ],
)
def test_lost_data_is_told_in_the_decoders_words(damage: str, edit: Edit) -> None:
    """Without the prefix that all of them have."""
    body = samples.encode(samples.photo(), quality=87, restart_marker_blocks=5)
    pixels = _decode(edit(body))
    assert pixels.damage
    assert re.fullmatch(damage, pixels.damage)


def test_missing_scans_are_damage() -> None:
    """A progressive file that ends between two scans."""
    body = samples.encode(samples.photo(), progressive=True)
    pixels = _decode(body[: body.rindex(b"\xff\xc4")] + b"\xff\xd9")
    assert pixels.damage == "scans are missing"


def test_what_turbojpeg_cannot_decode_is_left_to_pillow(jpeg: bytes) -> None:
    """Lossless JPEG, which would be written out of bounds; a size that is not the header's; a file without an end."""
    file, unknown = JpegFile.parse(jpeg), turbojpeg.JpegPixels()
    assert _decode(jpeg.replace(b"\xff\xc0", b"\xff\xc3", 1), 8) == unknown
    assert turbojpeg.decode(file, "RGB", (319, 240), 1) == unknown
    assert turbojpeg.decode(file, "L", (320, 240), 1) == unknown
    assert turbojpeg.decode(JpegFile.parse(jpeg[:-700]), "RGB", (320, 240), 1) == unknown


def test_a_large_picture_is_left_to_pillow_with_its_damage(monkeypatch: pytest.MonkeyPatch, jpeg: bytes) -> None:
    """A second copy of its pixels would not fit into a decoder process; the warning comes from a decode at 1/8."""
    monkeypatch.setattr(turbojpeg, "_MAX_BUFFER_BYTES", 100_000)
    middle = len(jpeg) // 2
    assert _decode(jpeg) == turbojpeg.JpegPixels()
    assert _decode(jpeg, 2).image is not None
    large = _decode(jpeg[:middle] + jpeg[middle + 512 :])
    assert large.image is None
    assert large.damage


def test_out_of_memory_is_not_the_files_fault(monkeypatch: pytest.MonkeyPatch, jpeg: bytes) -> None:
    """libjpeg reports it like an error of the file."""

    def fail(*_: object, **__: object) -> None:
        raise ValueError("Insufficient memory (case 4)")

    monkeypatch.setattr(simplejpeg, "decode_jpeg", fail)
    with pytest.raises(MemoryError):
        _decode(jpeg)
