"""Signatures, end markers and silent damage, told from bytes alone."""

import pytest
from PIL import Image

from app.images import structure
from tests.images import samples


@pytest.mark.parametrize("encoding", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_sniff_names_what_pillow_writes(encoding: str) -> None:
    """Every format that is decoded is recognised by its first bytes."""
    assert structure.sniff(samples.encode(samples.photo(64, 64), encoding)) == encoding.lower()


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "eps"),
        (b"%PDF-1.7\n", "pdf"),
        (b"8BPS\0\1", "psd"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg"),
        (b"<?xml version='1.0'?>\n<svg/>", "svg"),
        (b"<?xml version='1.0'?>\n<rss/>", None),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heif"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "avif"),
        (b"\0\0\0\x14ftypisom\0\0\0\0mp42", None),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"<!doctype html><html>", None),
        (b"", None),
    ],
)
def test_sniff_names_foreign_formats_and_nothing_else(body: bytes, name: str | None) -> None:
    """Other image formats have a name, anything else has none."""
    assert structure.sniff(body) == name


def test_jpeg_end_is_the_main_images_own() -> None:
    """A thumbnail in EXIF has an EOI too; it is not the end of the image."""
    thumbnail = samples.encode(samples.photo(64, 48))
    body = samples.encode(samples.photo(), exif=b"Exif\0\0" + thumbnail)
    assert structure.inspect(body, "jpeg").is_complete
    assert not structure.inspect(body[:-2], "jpeg").is_complete
    assert not structure.inspect(body[: len(body) // 2], "jpeg").is_complete


def test_jpeg_end_may_be_followed_by_anything(jpeg: bytes) -> None:
    """Phones append more pictures after EOI."""
    assert structure.inspect(jpeg + b"trailing" * 100, "jpeg").is_complete


def test_jpeg_end_is_found_past_fill_bytes_and_standalone_markers(jpeg: bytes) -> None:
    """Fill bytes and markers without a payload may stand between segments (ITU T.81, B.1.1)."""
    assert structure.inspect(jpeg[:2] + b"\xff\xff\x01" + jpeg[2:] + b"!", "jpeg").is_complete
    assert not structure.inspect(b"\xff\xd8\xff\xe0", "jpeg").is_complete


def test_png_end_is_iend(png: bytes) -> None:
    """A PNG without its last chunk is incomplete, wherever it was cut."""
    assert structure.inspect(png, "png").is_complete
    assert not any(structure.inspect(png[:-cut], "png").is_complete for cut in (1, 4, 12, 13, 1000))


def test_gif_end_is_its_trailer() -> None:
    """A GIF's blocks are walked to the trailer; a semicolon inside of them is none. Of an animation the first frame is enough."""
    body, animation = samples.animation(1), samples.animation(3)
    assert structure.inspect(body + b"more", "gif") == structure.Integrity(frames=1)
    assert not any(structure.inspect(body[:-cut], "gif").is_complete for cut in (1, 2, 50, len(body) - 11))
    assert structure.inspect(animation, "gif") == structure.Integrity(frames=3)
    assert structure.inspect(animation[:-2], "gif") == structure.Integrity(frames=3)
    assert structure.inspect(animation[: len(animation) // 2], "gif") == structure.Integrity(frames=2)
    assert structure.inspect(b"GIF89a", "gif") == structure.Integrity(is_complete=False, frames=1)


def test_png_is_complete_once_its_first_frame_is() -> None:
    """The frames behind it are not used."""
    animation = samples.animation(3, "PNG")
    assert structure.inspect(animation[: animation.rindex(b"fdAT") + 20], "png").is_complete
    assert not structure.inspect(animation[: animation.index(b"IDAT") + 20], "png").is_complete


def test_other_formats_are_left_to_their_decoders() -> None:
    """Pillow finds each truncation of the others by itself."""
    assert structure.inspect(b"BM", "bmp").is_complete


def test_png_damage_is_a_wrong_checksum_of_a_critical_chunk(png: bytes) -> None:
    """Pillow skips the checksum of IDAT; a text chunk's is nobody's concern."""
    at = png.index(b"IDAT") + 40
    assert structure.inspect(png, "png").damage is None
    assert structure.inspect(png[:at] + bytes([png[at] ^ 1]) + png[at + 1 :], "png").damage == "wrong checksum of chunk IDAT"
    text = samples.chunk(b"tEXt", b"Title\0x")[:-1] + b"?"
    assert structure.inspect(png[:33] + text + png[33:], "png").damage is None


def test_jpeg_damage_is_a_hole_in_the_scan(jpeg: bytes) -> None:
    """A run of zeros that the Huffman tables rule out is damage; a decoder makes grey stripes of it."""
    assert structure.inspect(jpeg, "jpeg").damage is None
    assert structure.inspect(samples.with_hole(jpeg), "jpeg").damage == "a run of zero bytes in the scan"


def test_jpeg_zeros_are_no_damage_where_they_are_legal(jpeg: bytes) -> None:
    """Flat pictures with tables of their own are zeros; progressive scans and appended data are not judged."""
    flat = samples.encode(Image.new("RGB", (4000, 4000), "red"), optimize=True)
    assert flat.count(bytes(128)) > 0
    assert structure.inspect(flat, "jpeg").damage is None
    assert structure.inspect(jpeg + bytes(4096), "jpeg").damage is None
    progressive = samples.encode(samples.photo(), progressive=True)
    assert structure.inspect(samples.with_hole(progressive), "jpeg").damage is None
    assert structure.inspect(b"\xff\xd8\xff" + bytes(500), "jpeg").damage is None


@pytest.mark.parametrize(
    ("options", "lossless"),
    [({"lossless": True}, True), ({}, False), ({"lossless": True, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}, True)],
)
def test_lossless_webp_is_told_from_lossy(options: dict[str, object], lossless: bool) -> None:
    """The bitstream chunk tells, also behind an extended header."""
    assert structure.is_lossless_webp(samples.encode(samples.photo(64, 64), "WEBP", **options)) is lossless


def test_lossless_webp_is_told_in_an_animation_too() -> None:
    """Frames hold their bitstream one level deeper."""
    pictures = [samples.photo(64, 64, seed=seed) for seed in range(2)]
    body = samples.encode(pictures[0], "WEBP", save_all=True, append_images=pictures[1:], lossless=True)
    assert structure.is_lossless_webp(body)
    assert not structure.is_lossless_webp(b"RIFF\0\0\0\0WEBP")
