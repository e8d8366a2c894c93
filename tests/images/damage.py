"""Sound JPEGs of many kinds, and what networks, disks and servers do to them."""

import random
from collections.abc import Iterator, Mapping

from app.images.jpeg import JpegFile
from tests.images import samples

SIZES = ((320, 240), (360, 480), (257, 401), (640, 300), (200, 200))
QUALITIES = (75, 85, 88, 60, 92)
NOISE = (9.0, 3.0, 12.0, 6.0, 0.7)
KINDS: tuple[dict[str, object], ...] = (
    {},
    {"progressive": True},
    {"restart_marker_blocks": 7},
    {"subsampling": "4:4:4"},
    {"optimize": True},
    {"subsampling": "4:2:2"},
    {"progressive": True, "subsampling": "4:4:4"},
    {"mode": "L"},
)

PAGE = b"<!doctype html><html><head><title>502 Bad Gateway</title></head><body><p>The server is away.</p></body></html>\n" * 40
"""What a server inserts into a body, a little over 4 KB."""


def sound() -> Iterator[bytes]:
    """Forty files: eight kinds, each in five sizes, textures and qualities."""
    for place, (size, quality, noise) in enumerate(zip(SIZES, QUALITIES, NOISE, strict=True)):
        for number, kind in enumerate(KINDS):
            options = dict(kind)
            image = samples.photo(*size, seed=8 * place + number, noise=noise).convert(str(options.pop("mode", "RGB")))
            yield samples.encode(image, "JPEG", quality=quality, **options)


def damaged(body: bytes, dice: random.Random) -> Mapping[str, bytes]:
    """One file, damaged in nine ways within its scans."""
    start, end = JpegFile.parse(body).scan_start, len(body) - 2
    at = start + int((end - start) * dice.uniform(0.2, 0.8))
    cut = start + int((end - start) * 0.6)
    flipped = bytearray(body)
    for _ in range(16):
        flipped[dice.randrange(start, end)] ^= 1 << dice.randrange(8)
    return {
        "cut at 60 %": body[:cut],
        "cut at 60 %, EOI added": body[:cut] + b"\xff\xd9",
        "512 bytes dropped": body[:at] + body[min(at + 512, end) :],
        "512 bytes zeroed": body[:at] + bytes(min(512, end - at)) + body[min(at + 512, end) :],
        "4 KB of HTML inserted": body[:at] + PAGE[:4096] + body[at:],
        "1 KB overwritten by HTML": body[:at] + PAGE[: min(1024, end - at)] + body[min(at + 1024, end) :],
        "2 KB doubled": body[:at] + body[max(start, at - 2048) : at] + body[at:],
        "64 random bytes": body[:at] + dice.randbytes(min(64, end - at)) + body[min(at + 64, end) :],
        "16 bits flipped": bytes(flipped),
    }
