"""Metadata that stops a loader is removed, and nothing else: the pixels stay, the picture stays upright, and sound metadata stays."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from app.domain import Reason
from app.images import metadata, rendering
from app.images.verdict import validate
from app.rules import CompressionRules, ValidationRules
from tests.bombs import zlib_zeros
from tests.images import samples

PHOTO = samples.photo(160, 120)
JPEG = samples.encode(PHOTO, quality=90, dpi=(72, 72))
PNG = samples.encode(PHOTO, "PNG")
WEBP = samples.encode(PHOTO, "WEBP", lossless=True)
TURNED, RATIONAL, ASCII, FLOAT, LONG, SHORT = 6, 5, 2, 11, 4, 3


def tiff(*entries: tuple[int, int, int, int], data: bytes = b"", order: str = "<", following: int = 0) -> bytes:
    """A TIFF structure of (tag, type, count, value or offset); ``data`` comes right after the directory."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    fields = b"".join(struct.pack(f"{order}HHII", *entry) for entry in entries)
    return head + struct.pack(f"{order}H", len(entries)) + fields + struct.pack(f"{order}I", following) + data


def segment(marker: int, payload: bytes) -> bytes:
    """A JPEG segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def jpeg_with(*segments: bytes) -> bytes:
    """The photo with segments right after its SOI."""
    return JPEG[:2] + b"".join(segments) + JPEG[2:]


def jpeg_exif(block: bytes) -> bytes:
    """The photo with an EXIF segment."""
    return jpeg_with(segment(0xE1, b"Exif\0\0" + block))


def png_with(*chunks: bytes, late: bool = False, base: bytes = PNG) -> bytes:
    """The photo with chunks after IHDR, or before IEND."""
    at = len(base) - 12 if late else 33
    return base[:at] + b"".join(chunks) + base[at:]


def text(keyword: bytes, content: bytes) -> bytes:
    """A compressed text chunk of a PNG."""
    return samples.chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(content))


def webp_with(*chunks: tuple[bytes, bytes], flags: int = 8) -> bytes:
    """The photo as an extended WebP."""
    size = struct.pack("<I", 159)[:3] + struct.pack("<I", 119)[:3]
    parts = [(b"VP8X", bytes([flags, 0, 0, 0]) + size)]
    tail = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks)
    head = b"".join(kind + struct.pack("<I", len(data)) + data for kind, data in parts)
    body = b"WEBP" + head + WEBP[12:] + tail
    return b"RIFF" + struct.pack("<I", len(body)) + body


def avif_exif(block: bytes) -> bytes:
    """An AVIF whose EXIF block is overwritten."""
    exif = Image.Exif()
    exif[0x010E] = "x" * 200
    body = samples.encode(PHOTO, "AVIF", quality=60, exif=exif.tobytes())
    at = body.index(b"MM\0*") if b"MM\0*" in body else body.index(b"II*\0")
    return body[:at] + block + body[at + len(block) :]


def tiff_file(tag: int, kind: int, count: int, value: int) -> bytes:
    """The photo as a TIFF, whose software tag becomes another one."""
    body = samples.encode(PHOTO, "TIFF", software="x" * 40)
    at = body.index(struct.pack("<HH", 305, 2))
    return body[:at] + struct.pack("<HHII", tag, kind, count, value) + body[at + 12 :]


BAD_RATIONAL = tiff((0x0112, SHORT, 1, TURNED), (0x011A, 10, 1, 38), data=struct.pack("<ii", -1, 0))
GPS = tiff((0x0112, SHORT, 1, TURNED), (0x8825, LONG, 1, 38), data=b"\xff" * 30)
XMP = b'<x:xmpmeta tiff:Orientation="6"/>'

BROKEN: dict[str, tuple[bytes, int]] = {
    "jpeg: rational that cannot be written": (jpeg_exif(BAD_RATIONAL), TURNED),
    "jpeg: no TIFF in EXIF": (jpeg_exif(b"garbage!"), 1),
    "jpeg: truncated directory": (jpeg_exif(tiff((0x0112, SHORT, 1, TURNED), (0x010F, ASCII, 20, 38))[:26]), TURNED),
    "jpeg: value outside of the block": (jpeg_exif(tiff((0x010F, ASCII, 90, 5_000), (0x0112, SHORT, 1, TURNED))), TURNED),
    "jpeg: GPS directory of garbage": (jpeg_exif(GPS), TURNED),
    "jpeg: orientation of two numbers": (jpeg_exif(tiff((0x0112, SHORT, 2, 0x00010006))), TURNED),
    "jpeg: two EXIF blocks": (jpeg_with(*[segment(0xE1, b"Exif\0\0" + part) for part in (BAD_RATIONAL[:30], BAD_RATIONAL[30:])]), TURNED),
    "jpeg: largest EXIF block, garbage": (jpeg_exif(b"\xaa" * 65_000), 1),
    "jpeg: XMP says the orientation, EXIF is broken": (
        jpeg_with(segment(0xE1, b"Exif\0\0garbage!"), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)),
        TURNED,
    ),
    "jpeg: Photoshop block ends in a name": (jpeg_with(segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04")), 1),
    "jpeg: JFIF without a version": (JPEG[:2] + segment(0xE0, b"JFIF\0") + JPEG[20:], 1),
    "jpeg: Adobe without a version": (jpeg_with(segment(0xEE, b"Adobe")), 1),
    "jpeg: profile without a number": (jpeg_with(segment(0xE2, b"ICC_PROFILE\0")), 1),
    "jpeg: unreadable multi-picture index": (jpeg_with(segment(0xE2, b"MPF\0garbage")), 1),
    "jpeg: multi-picture index without a number": (jpeg_with(segment(0xE2, b"MPF\0" + tiff((0xB000, 7, 4, 0)))), 1),
    "jpeg: multi-picture index without entries": (jpeg_with(segment(0xE2, b"MPF\0" + tiff((0xB001, LONG, 1, 2)))), 1),
    "png: eXIf too short": (png_with(samples.chunk(b"eXIf", b"xx")), 1),
    "png: eXIf is the text of bytes": (png_with(samples.chunk(b"eXIf", b"b'Exif\\x00\\x00MM\\x00*'")), 1),
    "png: eXIf after the pixels": (png_with(samples.chunk(b"eXIf", BAD_RATIONAL), late=True), TURNED),
    "png: raw profile of garbage": (png_with(text(b"Raw profile type exif", b"\nexif\n 14\n" + b"Exif\0\0garbage!".hex().encode())), 1),
    "png: raw profile without hex digits": (png_with(text(b"Raw profile type exif", b"\nexif\n 10\nzzzz not hex\n")), 1),
    "png: text under the keyword exif": (png_with(samples.chunk(b"tEXt", b"exif\0shot in June")), 1),
    "png: text under the keyword xmp": (png_with(samples.chunk(b"tEXt", b"xmp\0none")), 1),
    "png: text under the keyword transparency": (
        png_with(samples.chunk(b"tEXt", b"transparency\0none"), base=samples.encode(PHOTO.convert("L"), "PNG")),
        1,
    ),
    "png: text that inflates beyond all measure": (png_with(samples.chunk(b"zTXt", b"Comment\0\0" + zlib_zeros(80))), 1),
    "png: size of a pixel cut off": (png_with(samples.chunk(b"pHYs", b"\0\0")), 1),
    "png: gamma cut off": (png_with(samples.chunk(b"gAMA", b"\1")), 1),
    "png: profile that inflates beyond all measure": (png_with(samples.chunk(b"iCCP", b"icc\0\0" + zlib_zeros(9))), 1),
    "png: control of an animation cut off": (png_with(samples.chunk(b"acTL", b"\0")), 1),
    "webp: EXIF block cut off": (webp_with((b"EXIF", BAD_RATIONAL))[:-10], 1),
    "webp: EXIF of garbage": (webp_with((b"EXIF", b"garbage exif")), 1),
    "webp: orientation in broken EXIF": (webp_with((b"EXIF", BAD_RATIONAL)), TURNED),
    "webp: broken EXIF beside XMP": (webp_with((b"EXIF", b"odd"), (b"XMP ", XMP), flags=12), TURNED),
    "avif: EXIF of garbage": (avif_exif(b"garbage exif"), 1),
    "tiff: EXIF directory outside of the file": (tiff_file(34665, LONG, 1, 0xFFFFFF), 1),
    "tiff: EXIF directory in the pixels": (tiff_file(34665, LONG, 1, 300), 1),
    "tiff: description longer than the file": (tiff_file(270, ASCII, 9_999, 0xFFFFFF), 1),
}


def loaded(body: bytes) -> Image.Image:
    """What Hugging Face datasets do, and torchvision after them; every warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = Image.open(io.BytesIO(body))
        image.load()
        if image.getexif().get(0x0112) is not None:
            image = ImageOps.exif_transpose(image)
        image.convert("RGB")
        return image


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_block_is_removed_and_the_picture_stays(name: str) -> None:
    """A loader fails over the file and reads the output; the picture is as large, and turned, as before; the row says what was done."""
    body, orientation = BROKEN[name]
    with pytest.raises(Exception):  # noqa: B017, PT011 - Pillow raises a dozen types over metadata
        loaded(body)
    verdict = validate(body, ValidationRules())
    assert verdict.reason is None, verdict.detail
    assert verdict.output is not None
    assert (verdict.output.changes or "").startswith("removed ")
    picture = loaded(verdict.output.body)
    expected = ImageOps.exif_transpose(_with_orientation(_plain(name), orientation))
    assert picture.size == (verdict.width, verdict.height) == (verdict.output.width, verdict.output.height) == expected.size
    assert picture.convert("RGB").tobytes() == expected.convert("RGB").tobytes()


def _plain(name: str) -> Image.Image:
    if name.startswith("avif"):
        return samples.opened(samples.encode(PHOTO, "AVIF", quality=60))
    if "transparency" in name:
        return PHOTO.convert("L")
    return samples.opened(JPEG) if name.startswith("jpeg") else PHOTO


def _with_orientation(image: Image.Image, orientation: int) -> Image.Image:
    return samples.opened(samples.with_orientation(image, orientation, "PNG"))


def _exif_jpeg(**tags: object) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 0.0)}
    for tag, value in tags.items():
        exif[int(tag[1:], 16)] = value
    return samples.encode(PHOTO, exif=exif)


SOUND: dict[str, tuple[bytes, tuple[int, int]]] = {
    "jpeg: EXIF with a place": (_exif_jpeg(), (160, 120)),
    "jpeg: turned": (_exif_jpeg(x0112=TURNED), (120, 160)),
    "jpeg: orientation 9": (_exif_jpeg(x0112=9), (160, 120)),
    "jpeg: orientation 0": (_exif_jpeg(x0112=0), (160, 120)),
    "jpeg: orientation is text": (jpeg_exif(tiff((0x0112, ASCII, 2, ord("6")))), (160, 120)),
    "jpeg: orientation is a float": (jpeg_exif(tiff((0x0112, FLOAT, 1, int.from_bytes(struct.pack("<f", 6), "little")))), (120, 160)),
    "jpeg: orientation in XMP": (jpeg_with(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)), (120, 160)),
    "jpeg: empty EXIF": (jpeg_with(segment(0xE1, b"Exif\0\0")), (160, 120)),
    "jpeg: Photoshop block": (jpeg_with(segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\0")), (160, 120)),
    "jpeg: multi-picture file": (samples.encode(PHOTO, "MPO", save_all=True, append_images=[samples.photo(160, 120, seed=2)]), (160, 120)),
    "png: texts": (png_with(samples.chunk(b"tEXt", b"Title\0Dusk"), text(b"Comment", b"by hand")), (160, 120)),
    "png: EXIF": (samples.with_orientation(PHOTO, TURNED, "PNG"), (120, 160)),
    "png: palette with transparency": (samples.encode(PHOTO.quantize(), "PNG", transparency=bytes(range(9))), (160, 120)),
    "webp: EXIF": (samples.with_orientation(PHOTO, TURNED, "WEBP"), (120, 160)),
    "avif: EXIF": (samples.with_orientation(PHOTO, TURNED, "AVIF"), (120, 160)),
    "tiff: turned": (samples.with_orientation(PHOTO, TURNED, "TIFF"), (120, 160)),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_loaders_read_is_left_alone(name: str) -> None:
    """Metadata over which no loader fails stay in the file, and size and orientation are those that a loader arrives at."""
    body, size = SOUND[name]
    verdict = validate(body, ValidationRules())
    assert (verdict.reason, verdict.output) == (None, None)
    image = ImageOps.exif_transpose(samples.opened(body))
    assert (verdict.width, verdict.height) == image.size == size


def test_damaged_pixels_are_not_excused_by_broken_metadata() -> None:
    """A file that is corrupt without its metadata too keeps its first fault as the reason."""
    for body in (jpeg_exif(b"garbage!")[:-500], png_with(samples.chunk(b"eXIf", b"xx"))[:-700]):
        verdict = validate(body, ValidationRules())
        assert (verdict.reason, verdict.output) == (Reason.CORRUPT, None)
        assert "metadata" not in verdict.detail


@pytest.mark.parametrize("rules", [CompressionRules(), CompressionRules(format="webp"), CompressionRules(resize="keep_ratio", size=64)])
def test_broken_metadata_do_not_stop_compression(rules: CompressionRules) -> None:
    """With a verdict and without one, by any rules, and the output says what was done."""
    body = jpeg_exif(BAD_RATIONAL)
    output = rendering.compress(body, rules)
    assert output.changes is not None
    assert validate(body, ValidationRules(), rules).output == output
    assert loaded(output.body).size == (output.width, output.height)
    assert output.width < output.height


def test_a_large_tiff_loses_its_entries_in_place() -> None:
    """BigTIFF has wider fields; the pixels stay where they are."""
    body = samples.encode(PHOTO, "TIFF", software="x" * 40, big_tiff=True)
    at = body.index(struct.pack("<HH", 305, 2))
    broken = body[:at] + struct.pack("<HHQQ", 34665, 4, 1, 0xFFFFFF) + body[at + 20 :]
    verdict = validate(broken, ValidationRules())
    assert verdict.output is not None
    assert len(verdict.output.body) == len(body)
    assert loaded(verdict.output.body).tobytes() == PHOTO.tobytes()


def test_a_picture_that_would_follow_outside_of_a_tiff_costs_nothing() -> None:
    """Loaders read the first one only, from the file and from its form without metadata; there the broken chain ends."""
    body = bytearray(samples.encode(PHOTO, "TIFF"))
    start = int.from_bytes(body[4:8], "little")
    body[start + 2 + 12 * body[start] + 3] = 0xB8
    verdict = validate(bytes(body), ValidationRules())
    assert (verdict.reason, verdict.width, verdict.height) == (None, 160, 120)
    assert loaded(verdict.output.body if verdict.output else bytes(body)).tobytes() == PHOTO.tobytes()
    ((_, form),) = metadata.forms_without(bytes(body), "tiff", 1)
    assert Image.open(io.BytesIO(form)).n_frames == 1  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_warning_that_no_removal_ends_is_no_reason_to_refuse() -> None:
    """A TIFF directory that says it has 35,000 entries, of which the first few are those of the picture."""
    body = bytearray(samples.encode(PHOTO, "TIFF"))
    body[int.from_bytes(body[4:8], "little") + 1] = 138
    with pytest.raises(UserWarning):
        loaded(bytes(body))
    verdict = validate(bytes(body), ValidationRules())
    assert (verdict.reason, verdict.width, verdict.height) == (None, 160, 120)


CARRIERS: dict[str, Callable[[bytes], bytes]] = {
    "jpeg": jpeg_exif,
    "png": lambda block: png_with(samples.chunk(b"eXIf", block)),
    "webp": lambda block: webp_with((b"EXIF", block)),
}


@pytest.mark.parametrize("carrier", CARRIERS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_exif_block_passes_that_a_loader_fails_over(carrier: str, data: st.DataObject) -> None:
    """Whatever bytes stand in the block, the exported file loads, as large as its row says."""
    sound = _exif_jpeg(x0112=TURNED)
    block = bytearray(sound[sound.index(b"MM\0*" if b"MM\0*" in sound else b"II*\0") :][:160])
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(block) - 1), st.integers(0, 255)), max_size=6)):
        block[at] = value
    body = CARRIERS[carrier](bytes(block[: data.draw(st.integers(0, len(block)))]))
    verdict = validate(body, ValidationRules())
    assert verdict.reason is None, verdict.detail
    assert loaded(verdict.output.body if verdict.output else body).size == (verdict.width, verdict.height)


def test_nothing_is_removed_where_there_is_nothing() -> None:
    """A file without metadata has no other form; neither has one whose structure cannot be followed."""
    for body, name in ((PNG, "png"), (WEBP, "webp"), (b"\xff\xd8\xff\xe1", "jpeg"), (b"II*\0", "tiff"), (b"GIF89a", "gif")):
        assert not list(metadata.forms_without(body, name, 1))
