"""The structure of a JPEG, read from its bytes."""

import pytest

from app.images.jpeg import Frame, JpegFile
from tests.images import samples


@pytest.fixture(scope="module")
def progressive() -> bytes:
    """Ten scans."""
    return samples.encode(samples.photo(), progressive=True)


def test_the_frame_says_how_a_file_is_coded(jpeg: bytes, progressive: bytes) -> None:
    """Size, precision and components; none where there are two frames, or none."""
    assert JpegFile.parse(jpeg).frame == Frame(0xC0, 8, 320, 240, b"\1\2\3")
    frame = JpegFile.parse(progressive).frame
    assert frame is not None
    assert (frame.marker, frame.is_sequential, frame.is_common) == (0xC2, False, True)
    at = jpeg.index(b"\xff\xc0")
    assert JpegFile.parse(jpeg[:at] + jpeg[at : at + 19] + jpeg[at:]).frame is None
    assert JpegFile.parse(jpeg[: at + 8]).frame is None
    lossless = JpegFile.parse(jpeg.replace(b"\xff\xc0", b"\xff\xc3", 1)).frame
    assert lossless is not None
    assert not lossless.is_common


def test_a_file_cut_between_two_scans_lacks_some(jpeg: bytes, progressive: bytes) -> None:
    """Whichever scans are gone, EOI added: the decoder sees a complete file of lower quality."""
    assert not JpegFile.parse(jpeg).lacks_scans()
    assert not JpegFile.parse(progressive).lacks_scans()
    assert not JpegFile.parse(progressive + b"\xff\xd9trailing").lacks_scans()
    tables, cuts = [at for at in range(len(progressive)) if progressive.startswith(b"\xff\xc4", at)], 0
    for at in tables:
        if at > JpegFile.parse(progressive).scan_start:
            assert JpegFile.parse(progressive[:at] + b"\xff\xd9").lacks_scans()
            cuts += 1
    assert cuts >= 5


def test_a_component_without_a_scan_is_missing(jpeg: bytes) -> None:
    """A sequential file may send each component in a scan of its own; here the only scan names one of three."""
    at = JpegFile.parse(jpeg).segments[-1].start
    one = jpeg[: at - 2] + b"\0\x08\x01\x01\x00\x00\x3f\x00" + jpeg[at + 10 :]
    assert JpegFile.parse(one).lacks_scans()


def test_without_metadata_keeps_what_pixels_depend_on(jpeg: bytes) -> None:
    """Junk between segments, comments, EXIF and profiles go; the colour transform stays."""
    exif, adobe, comment = b"\xff\xe1\0\x08Exif\0\0", b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\1", b"\xff\xfe\0\x04hi"
    noisy = jpeg[:2] + exif + b"junk" + jpeg[2:20] + adobe + comment + jpeg[20:]
    cleaned = JpegFile.parse(noisy).without_metadata()
    assert b"junk" not in cleaned
    assert [segment.marker for segment in JpegFile.parse(cleaned).segments][:2] == [0xE0, 0xEE]
    assert samples.opened(cleaned).tobytes() == samples.opened(jpeg).tobytes()


@pytest.mark.parametrize("size", [1, 7])
def test_padding_is_zeros_before_the_end(jpeg: bytes, size: int) -> None:
    """Other bytes there are data that were not decoded."""
    assert JpegFile.parse(jpeg[:-2] + bytes(size) + jpeg[-2:]).has_padding(size)
    assert not JpegFile.parse(jpeg[:-2] + b"\x01" * size + jpeg[-2:]).has_padding(size)
    assert not JpegFile.parse(jpeg[:-2]).has_padding(size)


@pytest.mark.parametrize("header", [b"", b"\xff", b"\xff\xda", b"\xff\xda\0\x03\x09", b"\xff\xc0\0\x02", b"\xff\xc4\0", bytes(9)])
def test_any_bytes_give_an_answer(header: bytes) -> None:
    """No error, whatever is missing."""
    file = JpegFile.parse(b"\xff\xd8" + header)
    assert not file.has_end()
    assert not file.lacks_scans()
    assert not file.has_impossible_zeros()
    assert file.frame is None
    assert file.without_metadata()[:2] == b"\xff\xd8"
