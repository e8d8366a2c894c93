"""What our decoders lack is `format` with the words, what is broken is `corrupt`; no detail depends on the run."""

import struct
from collections.abc import Iterator

from app.domain import Reason
from app.images import decode
from app.images.verdict import validate
from app.rules import ValidationRules
from tests.images import samples

RULES = ValidationRules(level="basic", min_width=1, min_height=1)


def _tiff(bits: int, kind: int, samples_per_pixel: int = 1, compression: int = 1, photometric: int | None = None) -> bytes:
    """Eight pixels a side, uncompressed."""
    data = bytes(range(256)) * (8 * 8 * samples_per_pixel * bits // 8 // 256 + 1)
    photometric = (2 if samples_per_pixel >= 3 else 1) if photometric is None else photometric
    numbers = {
        256: 8,
        257: 8,
        258: bits,
        259: compression,
        262: photometric,
        273: 0,
        277: samples_per_pixel,
        278: 8,
        279: len(data),
        339: kind,
    }
    lists_at = 8 + 2 + 12 * len(numbers) + 4
    data_at, lists, entries = lists_at + 4 * samples_per_pixel, b"", b""
    for tag, value in numbers.items():
        if tag in (258, 339) and samples_per_pixel >= 3:
            entries += struct.pack("<HHII", tag, 3, samples_per_pixel, lists_at + len(lists))
            lists += struct.pack(f"<{samples_per_pixel}H", *[value] * samples_per_pixel)
        elif tag in (258, 339):
            entries += struct.pack("<HHI4s", tag, 3, samples_per_pixel, struct.pack(f"<{samples_per_pixel}H", *[value] * samples_per_pixel))
        else:
            entries += struct.pack("<HHII", tag, 4, 1, data_at if tag == 273 else value)
    return b"II*\0" + struct.pack("<IH", 8, len(numbers)) + entries + struct.pack("<I", 0) + lists.ljust(data_at - lists_at, b"\0") + data


def _avif_without_alpha_size() -> bytes:
    """The alpha plane is not associated with its size (ISO/IEC 23008-12, 6.5.3), as older encoders left it out."""
    picture = samples.photo(64, 64).convert("RGBA")
    picture.putalpha(picture.getchannel(0))
    body = samples.encode(picture, "AVIF")
    at = body.index(b"ipma") + 22
    assert body[at] == 1
    return body[:at] + b"\0" + body[at + 1 :]


def _unsupported() -> Iterator[tuple[str, bytes]]:
    yield "1 x 64-bit float samples", _tiff(64, 3)
    yield "1 x 16-bit float samples", _tiff(16, 3)
    yield "3 x 32-bit float samples", _tiff(32, 3, 3)
    yield "2 x 32-bit float samples", _tiff(32, 3, 2)
    yield "3 x 32-bit unsigned samples", _tiff(32, 1, 3)
    yield "1 x 16-bit complex float samples", _tiff(16, 6)
    yield "compression 34712", _tiff(8, 1, 3, compression=34712)
    yield "compression 50001", _tiff(8, 1, 3, compression=50001)
    yield "photometric 32803", _tiff(8, 1, 1, photometric=32803)
    yield "this kind of alpha plane (BMFF parsing failed)", _avif_without_alpha_size()
    jpeg = samples.encode(samples.photo(64, 64))
    at = jpeg.index(b"\xff\xc0")
    yield "12 bits a sample", jpeg[: at + 1] + b"\xc1" + jpeg[at + 2 : at + 4] + b"\x0c" + jpeg[at + 5 :]
    yield "the coding process SOF5", jpeg[: at + 1] + b"\xc5" + jpeg[at + 2 :]
    bmp = samples.encode(samples.photo(64, 64), "BMP")
    yield "pixel depth (64)", bmp[:28] + struct.pack("<H", 64) + bmp[30:]
    yield "compression (4)", bmp[:30] + struct.pack("<I", 4) + bmp[34:]


def test_what_the_decoder_lacks_is_not_corrupt() -> None:
    """The words say what it is."""
    for words, body in _unsupported():
        verdict = validate(body, RULES)
        assert (words, verdict.reason) == (words, Reason.FORMAT)
        assert words in verdict.detail
        assert verdict.detail.endswith("not supported by the decoder")


def _broken() -> Iterator[bytes]:
    for encoding in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"):
        body = samples.encode(samples.photo(64, 64), encoding)
        for size in (12, 20, 30, 60, 200, len(body) // 2):
            yield body[:size]
        yield body[:12] + bytes(len(body) - 12)
        yield body[:12] + b"\xff" * (len(body) - 12)
    yield _tiff(8, 77, 3)
    yield _avif_without_alpha_size()[:-40]


def test_what_is_broken_is_corrupt_in_the_same_words_each_time() -> None:
    """No address of an object, and no "cannot identify": the decoder's own words."""
    for body in _broken():
        first, second = validate(body, RULES), validate(bytes(bytearray(body)), RULES)
        assert (first.reason, first.detail) == (second.reason, second.detail)
        assert first.reason in (Reason.CORRUPT, Reason.NOT_AN_IMAGE, None)
        assert "0x" not in first.detail
        assert "cannot identify" not in first.detail


def test_addresses_are_left_out() -> None:
    """They differ from run to run."""
    assert decode.describe(OSError("cannot identify image file <_io.BytesIO object at 0x7f36af57d8a0>")) == "cannot identify image file"
    assert decode.describe(ValueError("<a.B object at 0xAF>")) == "ValueError"
