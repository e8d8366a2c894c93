"""One decode: format by content, limit by the header, one kind of error for whatever Pillow raises, and orientation."""

import struct

import pytest
from PIL import Image

from app.images import decode, structure, unsupported
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


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\0\0\1\0\1\0", "an icon (ICO)"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"8BPS\0\1", "a Photoshop file (PSD)"),
        (b"II*\0\x10\0\0\0CR\2\0", "a camera RAW file (CR2)"),
        (b"%PDF-1.7", "a PDF document"),
        (b"%!PS", "PostScript (EPS)"),
    ],
)
def test_a_format_that_is_not_decoded_is_refused_by_name(body: bytes, words: str) -> None:
    """And the detail says what is decoded."""
    with pytest.raises(ValidationError, match=r"is not decoded; what is: jpeg, png, .*, heif$") as caught:
        decode.read_header(body)
    assert caught.value.slug is Reason.FORMAT
    assert caught.value.message.startswith(words)


def test_every_foreign_format_has_words() -> None:
    """Whatever the signatures name is decoded or refused by name."""
    assert {name for _, name in structure._SIGNATURES} <= {*structure.FORMATS, *unsupported.REFUSED}


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


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError("out of memory when reading image file"),
        RuntimeError("Out of memory"),
        RuntimeError("Failed to encode image: Encoding of color planes failed"),
        ValueError("encoding error 1"),
        RuntimeError("Memory allocation error: Unspecified: Allocating 12192783 bytes failed"),
    ],
)
def test_out_of_memory_is_not_the_images_fault(error: Exception) -> None:
    """It stays a MemoryError, also where Pillow calls it something else."""
    with pytest.raises(MemoryError), decode.pillow_errors("png data"):
        raise error


def test_our_own_errors_pass() -> None:
    """A reason that is known already is kept."""
    with pytest.raises(ValidationError) as caught, decode.pillow_errors("png data"):
        raise ValidationError("too wide", reason=Reason.ASPECT)
    assert caught.value.slug is Reason.ASPECT


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
