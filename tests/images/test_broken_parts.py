"""A part of a file that the picture does not need costs nobody the picture: PNG chunks, later frames, thumbnail pages."""

import random
import struct
import zlib
from collections.abc import Iterator

import pytest

from app.domain import Reason
from app.images.verdict import validate
from app.rules import ValidationRules
from tests.images import samples

BASIC, STANDARD = ValidationRules(level="basic"), ValidationRules()
TOO_LARGE = zlib.compress(b"a" * 2_000_000)


def _with_chunk(body: bytes, chunk: bytes) -> bytes:
    """Directly behind IHDR."""
    return body[:33] + chunk + body[33:]


def _wrong_checksum(kind: bytes, data: bytes = b"abc\0defghijkl") -> bytes:
    chunk = samples.chunk(kind, data)
    return chunk[:-1] + bytes([chunk[-1] ^ 0xFF])


def _chunks(png: bytes) -> Iterator[tuple[str, bytes]]:
    yield "profile over the limit", _with_chunk(png, samples.chunk(b"iCCP", b"ICC\0\0" + TOO_LARGE))
    yield "international text over the limit", _with_chunk(png, samples.chunk(b"iTXt", b"Comment\0\1\0\0\0" + TOO_LARGE))
    yield "text over the limit", _with_chunk(png, samples.chunk(b"zTXt", b"Raw profile type xmp\0\0" + TOO_LARGE))
    texts = (samples.chunk(b"zTXt", b"%d\0\0" % number + zlib.compress(bytes(900_000))) for number in range(80))
    yield "texts over the limit together", _with_chunk(png, b"".join(texts))
    for kind in (
        b"tEXt",
        b"iTXt",
        b"zTXt",
        b"gAMA",
        b"cHRM",
        b"pHYs",
        b"sRGB",
        b"iCCP",
        b"eXIf",
        b"tIME",
        b"bKGD",
        b"sBIT",
        b"acTL",
        b"prVt",
    ):
        yield f"wrong checksum of {kind.decode()}", _with_chunk(png, _wrong_checksum(kind))
    yield "wrong checksum of tRNS", _with_chunk(png, _wrong_checksum(b"tRNS", bytes(6)))


def _same_pixels(one: bytes, other: bytes) -> bool:
    return samples.opened(one).convert("RGB").tobytes() == samples.opened(other).convert("RGB").tobytes()


def test_an_ancillary_chunk_never_costs_the_pixels(png: bytes) -> None:
    """It is dropped from the file that leaves, which loads, and the verdict says so; a critical chunk is another matter."""
    for name, body in _chunks(png):
        verdict = validate(body, STANDARD)
        assert (name, verdict.reason, verdict.detail) == (name, None, "")
        assert verdict.output is not None
        assert "removed" in verdict.output.changes
        assert _same_pixels(verdict.output.body, png)
    assert validate(png, STANDARD).output is None
    at = png.index(b"IDAT") + 40
    assert validate(png[:at] + bytes([png[at] ^ 1]) + png[at + 1 :], STANDARD).reason is Reason.CORRUPT


def test_a_sound_profile_stays_where_another_chunk_goes(png: bytes) -> None:
    """Only what is broken is removed."""
    profile, text = samples.chunk(b"gAMA", struct.pack(">I", 45455)), samples.chunk(b"tEXt", b"Title\0x")
    verdict = validate(_with_chunk(png, profile + text + _wrong_checksum(b"tIME")), STANDARD)
    assert verdict.output is not None
    assert profile in verdict.output.body
    assert text in verdict.output.body


def test_a_broken_animation_leaves_its_first_picture() -> None:
    """acTL with a wrong checksum: all chunks of the animation go."""
    body = samples.animation(3, "PNG")
    at = body.index(b"acTL") + 6
    verdict = validate(body[:at] + b"XX" + body[at + 2 :], STANDARD)
    assert (verdict.reason, verdict.frames) == (None, 1)
    assert verdict.output is not None
    assert b"fdAT" not in verdict.output.body


def _later_broken(encoding: str) -> Iterator[bytes]:
    """Animations of three frames whose first one is whole."""
    body = samples.animation(3, encoding)
    size = len(body)
    middle, end = (size * part // 10 for part in (7, 9))
    yield body[:middle] + bytes(end - middle) + body[end:]
    yield body[:middle] + random.Random(1).randbytes(end - middle) + body[end:]
    if encoding != "AVIF":
        yield body[: size // 2]
        yield body[:end]


@pytest.mark.parametrize("encoding", ["GIF", "PNG", "TIFF", "WEBP", "AVIF"])
def test_a_broken_later_frame_is_no_damage(encoding: str) -> None:
    """The first frame is all that is used; more than one frame is an animation all the same, and what is kept can be loaded."""
    for body in _later_broken(encoding):
        verdict = validate(body, BASIC)
        assert (verdict.reason, verdict.detail) == (None, "")
        kept = body if verdict.output is None else verdict.output.body
        assert samples.opened(kept).size == (120, 90)
        strict = validate(body, STANDARD)
        assert strict.reason is (Reason.ANIMATED if strict.frames > 1 else None)
        assert (encoding == "WEBP") or strict.frames > 1


@pytest.mark.parametrize("encoding", ["GIF", "WEBP", "TIFF"])
def test_a_broken_first_frame_is_damage(encoding: str) -> None:
    """Cut within it."""
    body = samples.animation(3, encoding)
    assert validate(body[: len(body) // 6], BASIC).reason is Reason.CORRUPT


@pytest.mark.parametrize("sides", [[(40, 30)], [(80, 60), (40, 30), (20, 15)]])
def test_a_thumbnail_page_is_no_animation(sides: list[tuple[int, int]]) -> None:
    """As cameras and scanners add it, and a pyramid of them; a second page of the same size is one."""
    picture = samples.photo(160, 120)
    body = samples.encode(picture, "TIFF", save_all=True, append_images=[picture.resize(size) for size in sides])
    verdict = validate(body, STANDARD)
    assert (verdict.reason, verdict.frames) == (None, 1)
    pages = samples.encode(picture, "TIFF", save_all=True, append_images=[samples.photo(160, 120, seed=2)])
    assert validate(pages, STANDARD).reason is Reason.ANIMATED
