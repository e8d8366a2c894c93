"""The verdict on ordinary, borderline and hostile files. No bytes make it raise."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from app.domain import Reason
from app.images.checks import CANNOT_COMPRESS
from app.images.rendering import compress
from app.images.verdict import validate
from app.rules import CompressionRules, Encode, Level, ValidationRules
from tests.images import samples

STANDARD = ValidationRules()
BASIC = ValidationRules(level="basic")
STRICT = ValidationRules(level="strict")


@pytest.mark.parametrize("level", ["basic", "standard", "strict"])
@pytest.mark.parametrize("encoding", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_a_photo_is_valid_at_every_level(encoding: str, level: Level) -> None:
    """And the verdict tells all there is to know."""
    verdict = validate(samples.encode(samples.photo(), encoding), ValidationRules(level=level))
    assert (verdict.reason, verdict.detail) == (None, "")
    assert (verdict.format, verdict.width, verdict.height, verdict.frames) == (encoding.lower(), 320, 240, 1)
    assert verdict.phash is not None
    assert len(verdict.phash) == 16
    assert ("sharpness" in verdict.measures) is (level == "strict")
    assert verdict.measures["entropy"] > 4


@pytest.mark.parametrize(
    ("body", "rules", "reason"),
    [
        (samples.png_header_bomb(), BASIC, Reason.TOO_MANY_PIXELS),
        (samples.encode(samples.photo(63, 64)), BASIC, Reason.TOO_SMALL),
        (samples.encode(samples.photo())[:-500], BASIC, Reason.CORRUPT),
        (samples.encode(samples.photo())[:-2], BASIC, Reason.CORRUPT),
        (samples.encode(samples.photo(), progressive=True)[:-500], BASIC, Reason.CORRUPT),
        (samples.with_hole(samples.encode(samples.photo())), BASIC, Reason.CORRUPT),
        (samples.encode(samples.photo(), "PNG")[:-12], BASIC, None),
        (samples.encode(samples.photo(), "PNG")[:-12], STANDARD, Reason.CORRUPT),
        (b"<html></html>", BASIC, Reason.NOT_AN_IMAGE),
        (b"%!PS-Adobe-3.0 EPSF-3.0", BASIC, Reason.FORMAT),
        (samples.encode(samples.photo(), "GIF"), replace(BASIC, formats=("jpeg", "png")), Reason.FORMAT),
        (samples.encode(samples.photo(500, 100)), BASIC, None),
        (samples.encode(samples.photo(500, 100)), STANDARD, Reason.ASPECT),
        (samples.animation(), BASIC, None),
        (samples.animation(), STANDARD, Reason.ANIMATED),
        (samples.animation(), replace(BASIC, max_pixels=30_000), Reason.TOO_MANY_PIXELS),
        (samples.encode(Image.new("RGB", (300, 200), "green")), BASIC, None),
        (samples.encode(Image.new("RGB", (300, 200), "green")), STANDARD, Reason.LOW_INFORMATION),
        (samples.encode(samples.photo(32, 24, noise=0).resize((640, 480))), STANDARD, None),
        (samples.encode(samples.photo(32, 24, noise=0).resize((640, 480))), STRICT, Reason.BLURRY),
        (samples.encode(samples.photo().point(lambda value: value // 32)), STRICT, Reason.EXPOSURE),
        (samples.encode(samples.photo().point(lambda value: 248 + value // 32)), STRICT, Reason.EXPOSURE),
        (samples.encode(Image.new("I;16", (70, 70), 40_000), "PNG"), BASIC, None),
        (samples.encode(samples.photo().convert("CMYK")), STRICT, None),
        (samples.encode(samples.photo().convert("LA"), "PNG"), STRICT, None),
        (samples.encode(samples.photo().convert("P"), "PNG"), STRICT, None),
    ],
)
def test_reason(body: bytes, rules: ValidationRules, reason: Reason | None) -> None:
    """Each check names its reason from the level on that runs it, and says why."""
    verdict = validate(body, rules)
    assert verdict.reason == reason
    assert bool(verdict.detail) is (reason is not None)


def _drawn(mode: str, size: tuple[int, int], ground: Any, draw: Callable[[ImageDraw.ImageDraw], object]) -> Image.Image:
    image = Image.new(mode, size, ground)
    draw(ImageDraw.Draw(image))
    return image


WHITE_GLYPH = _drawn("RGBA", (160, 120), (0, 0, 0, 0), lambda draw: draw.polygon([(40, 100), (80, 20), (120, 100)], fill="white"))
BLACK_GLYPH = _drawn("RGBA", (160, 120), (0, 0, 0, 0), lambda draw: draw.ellipse((60, 30, 100, 70), fill="black"))
LOGO = _drawn("RGB", (256, 256), (30, 90, 160), lambda draw: draw.ellipse((90, 90, 160, 160), fill=(160, 60, 40)))
CHART = _drawn(
    "RGB", (400, 300), "white", lambda draw: draw.line([(40, 20), (40, 270), (380, 270), (200, 100), (60, 200)], fill="black", width=2)
)
TEXT = _drawn("L", (640, 480), 255, lambda draw: draw.text((100, 100), "The image carries words", fill=0, font_size=24))


@pytest.mark.parametrize(
    ("image", "encoding", "is_information"),
    [
        (WHITE_GLYPH, "PNG", True),
        (BLACK_GLYPH, "PNG", True),
        (BLACK_GLYPH.quantize(8), "PNG", True),
        (WHITE_GLYPH.resize((1600, 1200)), "WEBP", True),
        (LOGO, "PNG", True),
        (LOGO.resize((64, 64)), "PNG", True),
        (LOGO.resize((2000, 2000)), "JPEG", True),
        (CHART, "PNG", True),
        (CHART.resize((1600, 1200)), "JPEG", True),
        (CHART.convert("1"), "PNG", True),
        (TEXT, "PNG", True),
        (Image.new("RGB", (300, 200), "white"), "PNG", False),
        (Image.new("RGB", (300, 200), (200, 30, 90)), "JPEG", False),
        (Image.new("RGBA", (300, 200), (0, 0, 0, 0)), "PNG", False),
        (Image.new("RGBA", (300, 200), (128, 128, 128, 128)), "PNG", False),
        (_drawn("RGB", (300, 200), "white", lambda draw: draw.rectangle((0, 0, 299, 199), outline="black")), "PNG", False),
        (_drawn("RGB", (1200, 900), "white", lambda draw: draw.rectangle((0, 0, 1199, 899), outline="black")), "JPEG", False),
        (_drawn("RGB", (300, 200), "white", lambda draw: draw.rectangle((1, 1, 298, 198), outline="black", width=2)), "PNG", False),
        (_drawn("RGB", (300, 200), "white", lambda draw: draw.rectangle((150, 100, 152, 102), fill="black")), "PNG", False),
        (_drawn("RGB", (300, 200), "white", lambda draw: draw.rectangle((150, 100, 152, 102), fill="black")), "JPEG", False),
        (_drawn("RGB", (400, 300), (250, 250, 250), lambda draw: draw.ellipse((90, 90, 160, 160), fill=(240, 240, 240))), "PNG", False),
    ],
)
def test_what_carries_information(image: Image.Image, encoding: str, is_information: bool) -> None:
    """Clear edges do, on white or on black, whatever share of the picture they take; a blank, a border or a speck does not."""
    verdict = validate(samples.encode(image, encoding, **({"quality": 30} if encoding == "JPEG" else {})), STANDARD)
    assert verdict.reason is (None if is_information else Reason.LOW_INFORMATION), verdict.detail


def test_white_glyphs_are_different_pictures() -> None:
    """Judged on black, they have hashes, thumbnails and brightness of their own."""
    other = _drawn("RGBA", (160, 120), (0, 0, 0, 0), lambda draw: draw.rectangle((10, 10, 60, 110), fill="white"))
    first, second = (validate(samples.encode(image, "PNG"), BASIC) for image in (WHITE_GLYPH, other))
    assert first.phash is not None
    assert second.phash is not None
    assert (int(first.phash, 16) ^ int(second.phash, 16)).bit_count() > 10
    assert first.measures["brightness"] < 100


def test_a_rejected_image_is_described_all_the_same() -> None:
    """Where it decoded, size, hash, measures and thumbnail are there to look at."""
    verdict = validate(samples.animation(), STANDARD)
    assert (verdict.width, verdict.height, verdict.frames) == (120, 90, 3)
    assert verdict.phash is not None
    assert verdict.thumbnail is not None
    assert verdict.measures["frames"] == 3.0


def test_what_is_not_decoded_has_its_headers_size() -> None:
    """No hash and no thumbnail, but what the file says of itself."""
    verdict = validate(samples.png_header_bomb(), BASIC)
    assert (verdict.format, verdict.width, verdict.height) == ("png", 65535, 65535)
    assert (verdict.phash, verdict.thumbnail) == (None, None)
    assert "4294836225" in verdict.detail
    assert "50000000" in verdict.detail


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientation_is_applied_to_size_hash_and_thumbnail(orientation: int) -> None:
    """The same picture stored sideways has the same size and nearly the same hash."""
    turn = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    picture = samples.photo(640, 400)
    plain = validate(samples.encode(picture), STANDARD)
    turned = validate(samples.with_orientation(picture if turn is None else picture.transpose(turn), orientation), STANDARD)
    assert (turned.width, turned.height) == (640, 400)
    assert plain.phash is not None
    assert turned.phash is not None
    assert (int(plain.phash, 16) ^ int(turned.phash, 16)).bit_count() <= 4
    assert turned.thumbnail is not None
    assert samples.opened(turned.thumbnail).size == (160, 100)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((640, 480), (160, 120)), ((1024, 768), (256, 192)), ((1200, 900), (256, 192)), ((4000, 100), (256, 7)), ((64, 64), (64, 64))],
)
def test_thumbnail_has_at_most_256_pixels(size: tuple[int, int], expected: tuple[int, int]) -> None:
    """A JPEG's comes as the decoder scales it, between 160 and 256 pixels; a small image is not enlarged."""
    verdict = validate(samples.encode(samples.photo(*size)), STANDARD)
    assert verdict.thumbnail is not None
    thumbnail = samples.opened(verdict.thumbnail)
    assert thumbnail.format == "JPEG"
    assert thumbnail.size == expected


def test_thumbnail_holds_no_metadata() -> None:
    """No position, no profile."""
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 0.0)}
    verdict = validate(samples.encode(samples.photo(), exif=exif, icc_profile=b"private", comment=b"me"), STANDARD)
    assert verdict.thumbnail is not None
    assert {name for name in samples.opened(verdict.thumbnail).info if not name.startswith("jfif")} == set()
    assert b"private" not in verdict.thumbnail


@pytest.mark.parametrize(
    ("body", "mode", "pixel"),
    [
        (samples.encode(Image.new("L", (90, 70), 77)), "L", 77),
        (samples.encode(Image.new("RGBA", (90, 70), (255, 0, 0, 0)), "PNG"), "RGB", (255, 255, 255)),
        (samples.encode(Image.new("CMYK", (90, 70), (0, 0, 0, 0))), "RGB", (255, 255, 255)),
    ],
)
def test_thumbnail_shows_on_any_page(body: bytes, mode: str, pixel: object) -> None:
    """Grey stays grey, what is transparent is white, CMYK is turned into what browsers show."""
    thumbnail = validate(body, BASIC).thumbnail
    assert thumbnail is not None
    assert (samples.opened(thumbnail).mode, samples.opened(thumbnail).getpixel((45, 35))) == (mode, pixel)


def test_the_same_bytes_give_the_same_verdict() -> None:
    """Down to the thumbnail."""
    body = samples.encode(samples.photo())
    assert validate(body, STRICT) == validate(body, STRICT)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"BM", b"RIFF\0\1\0\0WEBPVP8 "]),
)
def test_random_bytes_never_raise(data: bytes, prefix: bytes) -> None:
    """Whatever begins like an image gets a reason or passes."""
    verdict = validate(prefix + data, STANDARD)
    assert verdict.reason is not None


_WHOLE = [samples.encode(samples.photo(90, 70), encoding) for encoding in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "BMP")]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_WHOLE), st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=12))
def test_mutated_images_never_raise(body: bytes, changes: list[tuple[float, int]]) -> None:
    """A few wrong bytes anywhere in a good file."""
    data = bytearray(body)
    for place, value in changes:
        data[int(place * len(data))] = value
    verdict = validate(bytes(data), replace(STRICT, max_pixels=1_000_000))
    assert verdict.reason is None or verdict.detail


LEAVING = CompressionRules("jpeg", 90, "keep_ratio", 256)


@pytest.mark.parametrize("level", ["standard", "strict"])
@pytest.mark.parametrize("side", [96, 256, 600])
def test_what_leaves_does_not_change_what_is_measured(level: Level, side: int) -> None:
    """From a larger decode, the same picture: the hash within two bits, grey within one level, entropy within a third of a bit."""
    rules, leaving = ValidationRules(level=level), replace(LEAVING, size=side)
    for seed in range(6):
        body = samples.encode(samples.photo(1100, 800, seed=seed))
        alone, along = validate(body, rules), validate(body, rules, leaving)
        assert along.output == compress(body, leaving)
        assert (along.width, along.height, along.reason) == (alone.width, alone.height, alone.reason)
        assert (int(str(along.phash), 16) ^ int(str(alone.phash), 16)).bit_count() <= 2
        assert abs(along.measures["brightness"] - alone.measures["brightness"]) < 1
        assert abs(along.measures["entropy"] - alone.measures["entropy"]) < 0.33
        assert samples.opened(along.thumbnail or b"").size == samples.opened(alone.thumbnail or b"").size


@pytest.mark.parametrize("encoding", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("wanted", ["keep", "jpeg", "webp", "webp-lossless", "png", "avif"])
def test_what_leaves_is_what_compression_makes(encoding: str, wanted: Encode) -> None:
    """Byte for byte, from every format to every other, also turned by EXIF."""
    rules = CompressionRules(wanted, 80, "center_crop", 64)
    body = samples.encode(samples.photo(), encoding)
    assert validate(body, STANDARD, rules).output == compress(body, rules)
    turned = samples.with_orientation(samples.photo(300, 200), 6)
    assert validate(turned, STANDARD, rules).output == compress(turned, rules)


def test_what_is_rejected_or_stays_as_it_is_has_no_output() -> None:
    """An image that is rejected is not encoded."""
    assert validate(samples.encode(samples.photo(63, 64)), STANDARD, LEAVING).output is None
    assert validate(samples.encode(samples.photo())[:-500], STANDARD, LEAVING).output is None
    assert validate(samples.encode(samples.photo()), STANDARD, CompressionRules()) == validate(samples.encode(samples.photo()), STANDARD)


def test_what_cannot_leave_is_rejected_with_its_measures() -> None:
    """The reason is that of compression, and the words say that it is."""
    verdict = validate(samples.encode(samples.photo(390, 100)), STANDARD, replace(LEAVING, size=10_000, only_if_bigger=False))
    assert (verdict.reason, verdict.output) == (Reason.TOO_MANY_PIXELS, None)
    assert verdict.detail.startswith(CANNOT_COMPRESS)
    assert verdict.phash is not None
    assert verdict.thumbnail is not None
