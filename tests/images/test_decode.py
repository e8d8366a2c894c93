"""One decode: format by content, limit by the header, one kind of error for whatever Pillow raises; then modes, orientation and colours."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from app.images import decode
from errors import Reason, ValidationError
from tests.images import samples


def _decoded(body: bytes, min_size: tuple[int, int] | None = None) -> decode.Decoded:
    return decode.decode(body, decode.read_header(body), min_size=min_size)


def _reason(body: bytes) -> Reason:
    with pytest.raises(ValidationError) as caught:
        _decoded(body)
    return caught.value.slug


@pytest.mark.parametrize("encoding", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_every_format_decodes(encoding: str) -> None:
    """The seven formats, by their real name."""
    decoded = _decoded(samples.encode(samples.photo(80, 60), encoding))
    assert (decoded.format, decoded.width, decoded.height, decoded.frames) == (encoding.lower(), 80, 60, 1)
    assert decoded.is_complete
    assert decoded.image.size == (80, 60)


@pytest.mark.parametrize("encoding", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_every_format_is_found_truncated(encoding: str, part: float) -> None:
    """A file cut anywhere in its data is corrupt, at full scale and below."""
    body = samples.encode(samples.photo(), encoding)
    cut = body[: int(len(body) * part)]
    assert _reason(cut) is Reason.CORRUPT
    with pytest.raises(ValidationError):
        _decoded(cut, (40, 30))


def test_header_holds_the_size_before_anything_is_decoded() -> None:
    """4 billion pixels are read off the header."""
    header = decode.read_header(samples.png_header_bomb())
    assert (header.format, header.width, header.height) == ("png", 65535, 65535)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<!doctype html><html><body>404</body></html>", Reason.NOT_AN_IMAGE),
        (b"", Reason.NOT_AN_IMAGE),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", Reason.FORMAT),
        (b"\xff\xd8\xff\xe0" + bytes(50), Reason.CORRUPT),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), Reason.CORRUPT),
        (b"GIF89a" + bytes(3), Reason.CORRUPT),
    ],
)
def test_what_has_no_header_is_refused_by_what_it_is(body: bytes, reason: Reason) -> None:
    """No image, a format that is never decoded, and a broken one are three things."""
    with pytest.raises(ValidationError) as caught:
        decode.read_header(body)
    assert caught.value.slug is reason


def test_a_jpeg_is_decoded_no_larger_than_needed() -> None:
    """1/4 scale holds what was asked for, and the size reported is the whole image's."""
    decoded = _decoded(samples.encode(samples.photo(640, 480)), (160, 120))
    assert decoded.image.size == (160, 120)
    assert (decoded.width, decoded.height) == (640, 480)


@pytest.mark.parametrize(("encoding", "options"), [("JPEG", {}), ("PNG", {}), ("WEBP", {}), ("TIFF", {}), ("AVIF", {})])
def test_orientation_changes_the_size(encoding: str, options: dict[str, str]) -> None:
    """Orientation 6 exchanges width and height, also where Pillow turns the pixels itself."""
    decoded = _decoded(samples.with_orientation(samples.photo(80, 60), 6, encoding, **options))
    assert (decoded.width, decoded.height) == (60, 80)
    turned = decoded.image.size if decoded.orientation == 1 else decoded.image.size[::-1]
    assert turned == (60, 80)


def test_a_phones_second_picture_is_no_animation() -> None:
    """A multi-picture JPEG is the photo it begins with, also where its index is broken."""
    body = samples.encode(samples.photo(80, 60), "MPO", save_all=True, append_images=[samples.photo(80, 60, seed=2)])
    assert (_decoded(body).format, _decoded(body).frames) == ("jpeg", 1)
    at = body.index(b"MPF\0") + 4
    assert _decoded(body[:at] + b"\xff" * 8 + body[at + 8 :]).frames == 1


@pytest.mark.parametrize("encoding", ["GIF", "WEBP", "PNG", "TIFF"])
def test_frames_are_counted_and_the_first_is_decoded(encoding: str) -> None:
    """Three pictures are three frames."""
    decoded = _decoded(samples.animation(3, encoding))
    assert decoded.frames == 3
    assert decoded.image.size == (120, 90)


@pytest.mark.parametrize(("image", "mode"), [(Image.new("I;16", (70, 70), 40_000), "L"), (samples.photo(70, 70).convert("1"), "L")])
def test_deep_and_shallow_png_decode(image: Image.Image, mode: str) -> None:
    """16-bit and one-bit greys come as eight bits."""
    assert _decoded(samples.encode(image, "PNG")).image.mode == mode


def test_cmyk_jpeg_decodes() -> None:
    """Print JPEGs stay CMYK until they are small."""
    assert _decoded(samples.encode(samples.photo(70, 70).convert("CMYK"))).image.mode == "CMYK"


def test_a_missing_end_is_told() -> None:
    """Pillow decodes a PNG without IEND; the check finds it."""
    assert not _decoded(samples.encode(samples.photo(80, 60), "PNG")[:-12]).is_complete


@pytest.mark.parametrize("encoding", ["JPEG", "PNG"])
def test_a_hole_in_the_data_is_corrupt(encoding: str) -> None:
    """A run of zeros that Pillow decodes without an error."""
    assert _reason(samples.with_hole(samples.encode(samples.photo(), encoding))) is Reason.CORRUPT


@pytest.mark.parametrize(
    "error", [OSError("x"), SyntaxError("x"), KeyError("x"), struct.error("x"), ZeroDivisionError(), RecursionError(), UserWarning("x")]
)
def test_every_error_is_one_error(error: Exception) -> None:
    """Whatever comes out of Pillow means that the image is corrupt, and its cause is kept."""
    with pytest.raises(ValidationError, match="png data: ") as caught, decode.pillow_errors("png data"):
        raise error
    assert caught.value.slug is Reason.CORRUPT
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [MemoryError(), OSError("out of memory when reading image file"), RuntimeError("Out of memory")])
def test_out_of_memory_is_not_the_images_fault(error: Exception) -> None:
    """It stays a MemoryError, also where Pillow calls it something else."""
    with pytest.raises(MemoryError), decode.pillow_errors("png data"):
        raise error


def test_our_own_errors_pass() -> None:
    """A reason that is known already is kept."""
    with pytest.raises(ValidationError) as caught, decode.pillow_errors("png data"):
        raise ValidationError("too wide", reason=Reason.ASPECT)
    assert caught.value.slug is Reason.ASPECT


def _levels(image: Image.Image) -> list[int]:
    return [int(value) for value in np.asarray(image).ravel()]


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([0, 0x8000, 0xFFFF], np.uint16, [0, 128, 255]),
        ([0, 128, 255], np.int32, [0, 128, 255]),
        ([0, 32768, 65535], np.int32, [0, 127, 255]),
        ([0, 500_000, 1_000_000], np.int32, [0, 127, 255]),
        ([-100, 0, 100], np.int32, [0, 71, 143]),
        ([0.0, 0.5, 1.0], np.float32, [0, 127, 255]),
        ([0.0, 100.0, 200.0], np.float32, [0, 100, 200]),
        ([np.nan, np.inf, 1.0], np.float32, [0, 0, 255]),
    ],
)
def test_deep_grey_is_scaled_to_eight_bits(values: list[float], dtype: Any, expected: list[int]) -> None:
    """16 bits, 32 bits and floats become 0 to 255 without a warning, whatever stands in them."""
    narrowed = decode.to_8bit(Image.fromarray(np.array([values], dtype=dtype)))
    assert narrowed.mode == "L"
    assert _levels(narrowed) == expected


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("1", "L"), ("L", "L"), ("P", "RGB"), ("RGB", "RGB"), ("LA", "RGBA"), ("RGBA", "RGBA"), ("CMYK", "CMYK"), ("YCbCr", "RGB")],
)
def test_every_mode_becomes_one_of_four(mode: str, expected: str) -> None:
    """What follows needs to know four modes only."""
    assert decode.to_8bit(samples.photo(32, 32).convert(mode)).mode == expected


def test_palette_with_transparency_keeps_it() -> None:
    """A transparent palette entry becomes an alpha channel."""
    image = samples.photo(32, 32).convert("P")
    image.info["transparency"] = 0
    assert decode.to_8bit(image).mode == "RGBA"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_undone(orientation: int) -> None:
    """An image stored in any of the eight orientations comes out as it was taken."""
    upright = samples.marked()
    stored = upright
    undo = decode._TRANSPOSE.get(orientation)
    if undo is not None:
        inverse = {Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90}
        stored = upright.transpose(inverse.get(undo, undo))
    reopened = samples.opened(samples.with_orientation(stored, orientation, "PNG"))
    assert decode.orientation_of(reopened) == orientation
    assert decode.apply_orientation(reopened, orientation).tobytes() == upright.tobytes()


@pytest.mark.filterwarnings("ignore:.*EXIF data")
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage that is no TIFF", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"])
def test_broken_exif_means_upright(exif: bytes) -> None:
    """A picture does not depend on its metadata."""
    assert decode.orientation_of(samples.opened(samples.encode(samples.photo(64, 64), exif=exif))) == 1


@pytest.mark.parametrize("error", [SyntaxError, KeyError, OSError, struct.error])
def test_exif_that_raises_means_upright(error: type[Exception]) -> None:
    """Whatever Pillow makes of it."""

    class Broken(Image.Image):
        def getexif(self) -> Image.Exif:
            raise error

    assert decode.orientation_of(Broken()) == 1


def test_senseless_orientation_means_upright() -> None:
    """9 is no orientation."""
    assert decode.orientation_of(samples.opened(samples.with_orientation(samples.photo(64, 64), 9))) == 1


@pytest.mark.parametrize(("size", "expected"), [((1000, 500), (256, 128)), ((100, 50), (100, 50)), ((5000, 1), (256, 1))])
def test_fit_within_never_enlarges_and_never_vanishes(size: tuple[int, int], expected: tuple[int, int]) -> None:
    """The longer side is bounded, the shorter one keeps a pixel."""
    assert decode.fit_within(*size, 256) == expected


def test_shrink_gives_the_size_asked_for() -> None:
    """And leaves an image of that size alone."""
    image = samples.photo(100, 80)
    assert decode.downscale(image, (10, 8)).size == (10, 8)
    assert decode.downscale(image, (100, 80)) is image


def test_transparency_shows_white() -> None:
    """As on a page."""
    assert decode.flatten(Image.new("RGBA", (1, 1), (0, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)
    assert decode.flatten(Image.new("CMYK", (1, 1))).mode == "RGB"
    assert decode.flatten(Image.new("L", (1, 1))).mode == "L"


def _swapped_primaries() -> bytes:
    """An sRGB profile under another name whose red and blue primaries are exchanged."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"tmp_").replace(b"bXYZ", b"rXYZ").replace(b"tmp_", b"bXYZ").replace(b"s\0R\0G\0B", b"o\0D\0D\0!")


def test_a_profile_is_applied() -> None:
    """Red in a profile with exchanged primaries is blue."""
    profile = _swapped_primaries()
    assert "srgb" not in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).lower()
    changed = decode.to_srgb(Image.new("RGB", (1, 1), (255, 0, 0)), profile)
    red, _, blue = np.asarray(changed)[0, 0]
    assert blue > 200 > 60 > red
    assert decode.to_srgb(Image.new("RGBA", (1, 1), (255, 0, 0, 77)), profile).getpixel((0, 0))[3] == 77  # type: ignore[index]


def test_an_srgb_profile_changes_nothing() -> None:
    """It is only dropped."""
    image = samples.photo(8, 8)
    assert decode.to_srgb(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()) is image


@pytest.mark.parametrize("profile", [b"no profile", None, b""])
def test_an_unusable_profile_changes_nothing(profile: bytes | None) -> None:
    """Colours stay as they are; CMYK becomes RGB all the same."""
    assert decode.to_srgb(Image.new("L", (1, 1), 99), profile).getpixel((0, 0)) == 99
    assert decode.to_srgb(Image.new("CMYK", (1, 1)), profile).mode == "RGB"


def test_a_profile_for_another_mode_changes_nothing() -> None:
    """Grey pixels with an RGB profile are left alone."""
    assert decode.to_srgb(Image.new("L", (1, 1), 99), _swapped_primaries()).getpixel((0, 0)) == 99


def test_a_grey_profile_stays_grey() -> None:
    """Grey goes through sRGB and back, and its gamma is applied."""
    changed = decode.to_srgb(Image.new("L", (1, 1), 128), _grey_profile(gamma=1.0))
    assert changed.mode == "L"
    assert int(np.asarray(changed)[0, 0]) > 170


def _grey_profile(gamma: float) -> bytes:
    """A minimal ICC profile for grey (ICC.1:2010, 7 and 8.4)."""
    tags = {
        b"wtpt": b"XYZ \0\0\0\0" + b"".join(round(value * 65536).to_bytes(4, "big") for value in (0.9642, 1.0, 0.8249)),
        b"kTRC": b"curv\0\0\0\0" + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big") + b"\0\0",
        b"desc": b"desc\0\0\0\0" + (5).to_bytes(4, "big") + b"Grey\0" + bytes(79),
    }
    table, data = len(tags).to_bytes(4, "big"), b""
    for name, value in tags.items():
        table += name + (128 + 4 + 12 * len(tags) + len(data)).to_bytes(4, "big") + len(value).to_bytes(4, "big")
        data += value
    header = bytearray(128)
    header[0:4] = (128 + len(table) + len(data)).to_bytes(4, "big")
    header[8:12], header[12:24], header[36:40] = b"\x02\x10\0\0", b"mntrGRAYXYZ ", b"acsp"
    header[68:80] = tags[b"wtpt"][8:]
    return bytes(header) + table + data
