"""HEIC photos, as phones write them, and what is wrong with some."""

import io
import struct
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from app.domain import Reason, Verdict
from app.images import decode, heif
from app.images.rendering import compress
from app.images.verdict import validate
from app.rules import CompressionRules, ValidationRules
from errors import ValidationError
from tests.images import samples

RULES = ValidationRules()
LEFT_RED = samples.marked(240, 160)


def heic(image: Image.Image, *more: Image.Image, **options: Any) -> bytes:
    """The file of one picture, or of several."""
    file = pillow_heif.from_pillow(image)
    for other in more:
        file.add_from_pillow(other)
    out = io.BytesIO()
    file.save(out, **({"quality": 85} | options))
    return out.getvalue()


def exif_of(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@pytest.fixture(scope="module")
def photo() -> bytes:
    return heic(samples.photo())


def refused(body: bytes, rules: ValidationRules = RULES) -> tuple[Reason | None, str]:
    verdict = validate(body, rules)
    return verdict.reason, verdict.detail


def test_a_photo_is_judged_and_leaves_as_jpeg(photo: bytes) -> None:
    """Measures and hash are those of the picture; no loader reads HEIC, so it is re-encoded even where encodings are kept."""
    verdict = validate(photo, RULES)
    assert isinstance(verdict, Verdict)
    assert (verdict.reason, verdict.format, verdict.width, verdict.height, verdict.frames) == (None, "heif", 320, 240, 1)
    output = compress(photo, CompressionRules())
    assert (output.format, output.width, output.height) == ("jpeg", 320, 240)
    difference = np.abs(np.asarray(samples.opened(output.body), int) - np.asarray(samples.photo(), int))
    assert difference.mean() < 8


def test_transparency_leaves_as_png() -> None:
    """JPEG has none."""
    picture = samples.photo().convert("RGBA")
    picture.putalpha(picture.getchannel(0))
    output = compress(heic(picture), CompressionRules())
    assert output.format == "png"
    assert samples.opened(output.body).getchannel("A").getextrema() != (255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(orientation: int) -> None:
    """The file turns the picture (irot, imir), EXIF says so again: it is turned once, and the size is that of the turned one."""
    body = heic(LEFT_RED, exif=exif_of(orientation))
    expected = decode.apply_orientation(LEFT_RED, orientation)
    verdict = validate(body, RULES)
    assert (verdict.reason, (verdict.width, verdict.height)) == (None, expected.size)
    drawn = np.asarray(samples.opened(compress(body, CompressionRules()).body).convert("RGB"), int)
    assert np.abs(drawn - np.asarray(expected, int)).mean() < 12


def test_an_orientation_of_exif_alone_does_not_count() -> None:
    """The picture is turned as the file's own properties say (ISO/IEC 23008-12, A.2.2)."""
    body = heic(LEFT_RED, exif=exif_of(6))
    at = body.index(b"irot") + 4
    assert body[at]
    verdict = validate(body[:at] + b"\0" + body[at + 1 :], RULES)
    assert (verdict.reason, (verdict.width, verdict.height)) == (None, LEFT_RED.size)


def test_colours_are_converted() -> None:
    """By the numbers that the file states; what cannot be converted is refused by name."""
    red = Image.new("RGB", (320, 240), (200, 30, 30))
    red.paste(samples.photo(160, 240), (0, 0))
    wide = heic(red, color_primaries=12, transfer_characteristics=13, save_nclx_profile=True)
    drawn = samples.opened(compress(wide, CompressionRules()).body).getpixel((280, 120))
    assert isinstance(drawn, tuple)
    assert drawn[0] > 205  # red of Display P3 is redder than that of sRGB
    reason, detail = refused(heic(red, color_primaries=9, transfer_characteristics=16, save_nclx_profile=True))
    assert reason is Reason.FORMAT
    assert "PQ" in detail


def test_ten_bits_are_read_as_eight() -> None:
    """No loader of the exports has more."""
    deep = np.asarray(samples.photo(), np.uint16) * 257
    file = pillow_heif.from_bytes("RGB;16", (320, 240), deep.tobytes())
    out = io.BytesIO()
    file.save(out, quality=85)
    verdict = validate(out.getvalue(), RULES)
    assert (verdict.reason, verdict.format) == (None, "heif")
    drawn = np.asarray(samples.opened(compress(out.getvalue(), CompressionRules()).body), int)
    assert np.abs(drawn - np.asarray(samples.photo(), int)).mean() < 8


def test_thumbnails_are_no_frames_and_further_pictures_are() -> None:
    """A burst is animated; the primary picture is the one that is judged."""
    assert validate(heic(samples.photo(), thumbnails=[64]), RULES).frames == 1
    reason, detail = refused(heic(samples.photo(), samples.photo(seed=2), samples.photo(seed=3)))
    assert (reason, detail) == (Reason.ANIMATED, "3 frames, limit 1")
    second = heic(samples.photo(), samples.photo(200, 100, seed=2), primary_index=1)
    verdict = validate(second, ValidationRules(level="basic"))
    assert (verdict.width, verdict.height) == (200, 100)


def test_a_sequence_is_animated(photo: bytes) -> None:
    """A track of pictures beside the still one; a track alone is not decoded, and not called broken."""
    track = struct.pack(">I4s", 16, b"moov") + bytes(8)
    assert refused(photo + track)[0] is Reason.ANIMATED
    reason, detail = refused(photo[:28].replace(b"heic", b"msf1", 1) + track)
    assert (reason, detail) == (Reason.FORMAT, "heif with a sequence of pictures alone: not supported by the decoder")


@pytest.mark.parametrize("part", [0.01, 0.05, 0.3, 0.6, 0.9, 0.999])
def test_truncation_is_corrupt(photo: bytes, part: float) -> None:
    """At every place."""
    assert refused(photo[: int(len(photo) * part)])[0] in (Reason.CORRUPT, Reason.NOT_AN_IMAGE)


def test_a_hole_is_corrupt(photo: bytes) -> None:
    """The decoder conceals it; zeros in what is not coded (EXIF) are none."""
    at = len(photo) * 2 // 3
    assert refused(photo[:at] + bytes(300) + photo[at + 300 :]) == (
        Reason.CORRUPT,
        "heif data: a run of zero bytes in the coded picture",
    )
    exif = Image.Exif()
    exif[0x927C] = bytes(2000)
    assert refused(heic(samples.photo(), exif=exif.tobytes())) == (None, "")


def test_pixels_are_counted_before_anything_is_decoded(photo: bytes) -> None:
    """By the size that the header states."""
    assert refused(photo, ValidationRules(max_pixels=1000))[0] is Reason.TOO_MANY_PIXELS
    at = photo.index(b"ispe") + 8
    huge = photo[:at] + struct.pack(">II", 30_000, 30_000) + photo[at + 8 :]
    assert refused(huge)[0] is Reason.TOO_MANY_PIXELS


def test_a_size_that_is_not_the_coded_one_is_corrupt(photo: bytes) -> None:
    """Row and file would differ."""
    at = photo.index(b"ispe") + 8
    for size in ((300, 200), (400, 300)):
        assert refused(photo[:at] + struct.pack(">II", *size) + photo[at + 8 :])[0] is Reason.CORRUPT


def test_any_flipped_byte_gives_a_verdict(photo: bytes) -> None:
    """Tables of boxes included: no exception but ours, no endless loop."""
    for at in range(0, 420, 3):
        for value in (0, 255):
            body = photo[:at] + bytes([value]) + photo[at + 1 :]
            assert isinstance(validate(body, RULES), Verdict)
            heif.find_damage(body)


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    heif._plugin.cache_clear()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    yield
    heif._plugin.cache_clear()


@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_the_refusal_names_it(photo: bytes) -> None:
    """It is a format that is not read here, neither broken nor none."""
    assert refused(photo) == (Reason.FORMAT, heif.INSTALL)
    with pytest.raises(ValidationError, match=r"install pictrawl\[heif\]"):
        compress(photo, CompressionRules())
