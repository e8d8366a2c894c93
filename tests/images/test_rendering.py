"""Encodings, sizes, and what must not leave with an image."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from app.images.decode import read_header
from app.images.rendering import compress, min_decode_size
from app.rules import CompressionRules
from errors import Reason, ValidationError
from tests.images import samples


def _size(body: bytes, **rules: Any) -> tuple[int, int]:
    result = compress(body, CompressionRules(**rules))
    image = samples.opened(result.body)
    assert (image.format or "").lower() == result.format
    assert image.size == (result.width, result.height)
    return image.size


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"resize": "none"}, (640, 400)),
        ({"resize": "keep_ratio", "size": 100}, (160, 100)),
        ({"resize": "keep_ratio", "size": 800}, (640, 400)),
        ({"resize": "keep_ratio", "size": 800, "only_if_bigger": False}, (1280, 800)),
        ({"resize": "longest", "size": 100}, (100, 62)),
        ({"resize": "longest", "size": 800}, (640, 400)),
        ({"resize": "longest", "size": 800, "only_if_bigger": False}, (800, 500)),
        ({"resize": "center_crop", "size": 100}, (100, 100)),
        ({"resize": "center_crop", "size": 500}, (400, 400)),
        ({"resize": "center_crop", "size": 500, "only_if_bigger": False}, (500, 500)),
        ({"resize": "border", "size": 100}, (100, 100)),
        ({"resize": "border", "size": 800}, (800, 800)),
        ({"resize": "border", "size": 800, "only_if_bigger": False}, (800, 800)),
    ],
)
@pytest.mark.parametrize("encoding", ["jpeg", "webp", "png", "avif"])
def test_sizes(encoding: str, rules: dict[str, Any], expected: tuple[int, int]) -> None:
    """Shorter side, longer side, square, or padded square; small pictures are not enlarged unless asked for."""
    assert _size(samples.encode(samples.photo(640, 400)), format=encoding, **rules) == expected


def test_crop_and_border_take_the_middle() -> None:
    """A crop loses both ends, a border is white on both sides, and a small picture is not scaled."""
    picture = Image.new("RGB", (300, 100), "red")
    picture.paste((0, 0, 255), (100, 0, 200, 100))
    crop = samples.opened(compress(samples.encode(picture, "PNG"), CompressionRules("png", resize="center_crop", size=100)).body)
    assert crop.getcolors() == [(10_000, (0, 0, 255))]
    border = samples.opened(compress(samples.encode(picture, "PNG"), CompressionRules("png", resize="border", size=400)).body)
    assert border.getpixel((200, 200)) == (0, 0, 255)
    assert [border.getpixel(at) for at in ((49, 200), (50, 200), (200, 149), (200, 150))] == [
        (255,) * 3,
        (255, 0, 0),
        (255,) * 3,
        (0, 0, 255),
    ]


@pytest.mark.parametrize(
    ("encoding", "options", "expected"),
    [
        ("JPEG", {}, "jpeg"),
        ("PNG", {}, "png"),
        ("WEBP", {}, "webp"),
        ("GIF", {}, "png"),
        ("BMP", {}, "png"),
        ("TIFF", {}, "png"),
        ("TIFF", {"compression": "jpeg"}, "jpeg"),
        ("AVIF", {}, "jpeg"),
    ],
)
def test_keep_with_a_resize_keeps_the_encoding_or_its_kind(encoding: str, options: dict[str, Any], expected: str) -> None:
    """Lossless stays lossless, lossy becomes JPEG where it can't be written back."""
    result = compress(samples.encode(samples.photo(), encoding, **options), CompressionRules(resize="keep_ratio", size=64))
    assert result.format == expected


def test_keep_keeps_transparency_of_avif() -> None:
    """JPEG has none, so it becomes PNG."""
    body = samples.encode(samples.photo(64, 64).convert("RGBA").rotate(45), "AVIF")
    assert compress(body, CompressionRules(resize="keep_ratio", size=32)).format == "png"


def test_keep_keeps_webp_lossless() -> None:
    """Pixel by pixel, where only the orientation is to be applied or nothing at all."""
    picture = samples.photo(64, 64)
    result = compress(samples.encode(picture, "WEBP", lossless=True), CompressionRules(resize="keep_ratio", size=64))
    assert samples.opened(result.body).convert("RGB").tobytes() == picture.tobytes()


def test_identity_returns_the_bytes_and_their_upright_size() -> None:
    """Nothing is re-encoded, but broken bytes don't leave."""
    body = samples.with_orientation(samples.photo(80, 60), 6)
    result = compress(body, CompressionRules())
    assert result.body is body
    assert (result.format, result.width, result.height) == ("jpeg", 60, 80)
    with pytest.raises(ValidationError):
        compress(body[:-200], CompressionRules())


@pytest.mark.parametrize("encoding", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("resize", ["none", "keep_ratio", "longest", "center_crop", "border"])
def test_orientation_is_applied(encoding: str, resize: Any) -> None:
    """Red is at the top left whatever way the image was stored."""
    stored = samples.marked(400, 240).transpose(Image.Transpose.ROTATE_90)
    body = samples.with_orientation(stored, 6, encoding, **({"quality": 95} if encoding == "JPEG" else {}))
    result = compress(body, CompressionRules("png", resize=resize, size=120))
    shape = {"none": (400, 240), "keep_ratio": (200, 120), "longest": (120, 72), "center_crop": (120, 120), "border": (120, 120)}[resize]
    assert (result.width, result.height) == shape
    pixels = np.asarray(samples.opened(result.body), dtype=int)
    reds = (pixels[..., 0] - pixels[..., 1]) > 100
    height, width = reds.shape
    assert reds[: height // 2, : width // 2].mean() > 0.5
    assert reds[height // 2 + 4 :].sum() == reds[:, width // 2 + 4 :].sum() == 0


@pytest.mark.parametrize("encoding", ["jpeg", "webp", "webp-lossless", "png", "avif"])
def test_metadata_stays_behind(encoding: Any) -> None:
    """No EXIF, profile, comment or text; what is left describes the encoding only."""
    exif = Image.Exif()
    exif[0x010F] = "camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    body = samples.encode(samples.photo(64, 64), exif=exif, icc_profile=profile, comment=b"a secret", dpi=(72, 72))
    for rules in (CompressionRules(encoding), CompressionRules(encoding, resize="border", size=32)):
        result = compress(body, rules).body
        assert not {"exif", "icc_profile", "comment", "xmp", "dpi"} & set(samples.opened(result).info)
        assert b"camera" not in result
        assert b"a secret" not in result


def test_transparency_becomes_white_in_jpeg_and_stays_elsewhere() -> None:
    """JPEG has no alpha."""
    body = samples.encode(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), "PNG")
    assert samples.opened(compress(body, CompressionRules("jpeg")).body).getpixel((9, 9)) == (255, 255, 255)
    for encoding in ("png", "webp", "webp-lossless", "avif"):
        assert samples.opened(compress(body, CompressionRules(encoding)).body).mode == "RGBA"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("encoding", ["jpeg", "webp", "png", "avif"])
def test_every_mode_can_be_written(mode: str, encoding: Any) -> None:
    """From whatever PNG holds."""
    picture = Image.new("I;16", (64, 64), 999) if mode == "I;16" else samples.photo(64, 64).convert(mode)
    assert _size(samples.encode(picture, "PNG"), format=encoding, resize="keep_ratio", size=32) == (32, 32)


@pytest.mark.parametrize("encoding", ["jpeg", "webp", "webp-lossless", "png", "avif"])
def test_cmyk_can_be_written(encoding: Any) -> None:
    """And shows the same colours."""
    body = samples.encode(Image.new("RGB", (64, 64), (255, 0, 0)).convert("CMYK"))
    red, green, _ = samples.opened(compress(body, CompressionRules(encoding)).body).convert("RGB").getpixel((9, 9))  # type: ignore[misc]
    assert red > 200 > 60 > green


@pytest.mark.parametrize("encoding", ["jpeg", "webp", "avif"])
def test_level_is_quality(encoding: Any) -> None:
    """A lower level is a smaller file."""
    body = samples.encode(samples.photo(), "PNG")
    sizes = [len(compress(body, CompressionRules(encoding, level=level)).body) for level in (20, 60, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 2


def test_level_is_effort_for_png() -> None:
    """0 to 9; the pixels are the same."""
    body = samples.encode(samples.photo(noise=0), "PNG")
    small, large = (compress(body, CompressionRules("png", level=level)).body for level in (95, 1))
    assert len(small) < len(large)
    assert samples.opened(small).tobytes() == samples.opened(large).tobytes()


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("encoding", ["webp-lossless", "png"])
def test_lossless_encodings_keep_every_pixel(mode: str, encoding: Any) -> None:
    """The colours below full transparency, too; a profile is converted before."""
    picture = samples.photo(64, 64).convert(mode)
    if mode in ("LA", "RGBA"):
        picture.putalpha(Image.linear_gradient("L").resize((64, 64)).point(lambda value: 0 if value < 99 else value))
    result = compress(samples.encode(picture, "PNG"), CompressionRules(encoding, level=30))
    assert result.format == encoding.removesuffix("-lossless")
    whole = "RGBA" if "A" in mode else "RGB"
    assert samples.opened(result.body).convert(whole).tobytes() == picture.convert(whole).tobytes()


def test_lossless_webp_spends_time_by_its_level() -> None:
    """The pixels are the same; more time gives a smaller file."""
    body = samples.encode(samples.photo(200, 200, noise=3), "PNG")
    quick, slow = (compress(body, CompressionRules("webp-lossless", level=level)).body for level in (1, 100))
    assert len(slow) < len(quick)
    assert samples.opened(slow).tobytes() == samples.opened(quick).tobytes()


@pytest.mark.parametrize("encoding", ["jpeg", "webp", "webp-lossless", "png", "avif"])
def test_output_is_deterministic(encoding: Any) -> None:
    """Blobs are stored under their digest."""
    body = samples.encode(samples.photo())
    rules = CompressionRules(encoding, resize="center_crop", size=64)
    assert compress(body, rules) == compress(body, rules)


def test_the_bytes_of_avif_do_not_depend_on_the_number_of_cores() -> None:
    """They do on that of its threads, by Pillow's default as many as there are cores."""
    picture = samples.photo(800, 600)
    one, two = (samples.encode(picture, "AVIF", quality=80, max_threads=threads) for threads in (1, 2))
    made = compress(samples.encode(picture, "PNG"), CompressionRules("avif", level=80)).body
    assert made == one != two


@pytest.mark.parametrize(
    ("resize", "smallest"), [("longest", (500, 250)), ("keep_ratio", (1000, 500)), ("border", (500, 250)), ("none", None)]
)
def test_a_jpeg_is_not_decoded_larger_than_it_leaves(resize: Any, smallest: tuple[int, int] | None) -> None:
    """libjpeg scales by 2, 4 and 8 at no cost."""
    body = samples.encode(Image.new("L", (4000, 2000)))
    assert min_decode_size(read_header(body), CompressionRules("avif", resize=resize, size=500)) == smallest


@pytest.mark.parametrize(
    ("body", "rules", "reason"),
    [
        (b"<html>", CompressionRules("png"), Reason.NOT_AN_IMAGE),
        (samples.png_header_bomb(), CompressionRules("png"), Reason.TOO_MANY_PIXELS),
        (
            samples.encode(samples.photo(8, 2000), "PNG"),
            CompressionRules(resize="keep_ratio", size=8192, only_if_bigger=False),
            Reason.TOO_MANY_PIXELS,
        ),
        (samples.encode(samples.photo())[:-99], CompressionRules("png"), Reason.CORRUPT),
        (samples.encode(Image.new("L", (16_384, 2)), "PNG"), CompressionRules("webp"), Reason.FORMAT),
        (samples.encode(Image.new("L", (65_533, 2)), "GIF"), CompressionRules("jpeg"), Reason.FORMAT),
        (samples.encode(Image.new("L", (9, 9)), "PNG"), CompressionRules("png", resize="border", size=13_378), Reason.TOO_MANY_PIXELS),
    ],
)
def test_what_cannot_be_done_is_refused(body: bytes, rules: CompressionRules, reason: Reason) -> None:
    """Broken input, too many pixels in or out, and what an encoding can't hold."""
    with pytest.raises(ValidationError) as caught:
        compress(body, rules)
    assert caught.value.slug is reason


@pytest.mark.parametrize(("encoding", "longest"), [("webp", 16_383), ("webp-lossless", 16_383), ("jpeg", 65_500), ("avif", 32_768)])
def test_an_encoders_limit_is_named(encoding: Any, longest: int) -> None:
    """Encoder, limit and size; the limit itself can be written."""
    with pytest.raises(ValidationError, match=f"{encoding} takes at most {longest} pixels a side, not {longest + 1}x1; resize"):
        compress(samples.encode(Image.new("L", (longest + 1, 1)), "PNG"), CompressionRules(encoding))
    assert _size(samples.encode(Image.new("L", (longest, 1)), "PNG"), format=encoding) == (longest, 1)


def test_memory_that_ends_while_an_image_is_drawn_is_named() -> None:
    """No crash and no fault of the image: encoder and size, and what helps. In a process of its own, whose memory is limited."""
    script = """
import resource, sys, errors
from app.rules import CompressionRules
from app.images.rendering import compress
body = sys.stdin.buffer.read()
compress(body, CompressionRules("png"))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000,) * 2)
try:
    compress(body, CompressionRules("png", resize="border", size=13_000))
except errors.ValidationError as error:
    print(error.slug, error.message)
"""
    body = samples.encode(samples.photo(9, 9), "PNG")
    done = subprocess.run([sys.executable, "-c", script], input=body, capture_output=True, check=True)
    assert done.stdout.decode().startswith("too_many_pixels png of 13000x13000: out of memory; a smaller compress.size needs less")
