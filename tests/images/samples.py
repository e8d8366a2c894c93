"""Images for the tests: ordinary ones and hostile ones, made on the spot."""

import functools
import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


def photo(width: int = 320, height: int = 240, *, seed: int = 1, noise: float = 12.0) -> Image.Image:
    """Something with edges, colour and grain, the same for the same seed."""
    return _photo(width, height, seed, noise).copy()


@functools.lru_cache(maxsize=32)
def _photo(width: int, height: int, seed: int, noise: float) -> Image.Image:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    bends = rng.uniform(-9, 9, (3, 2, 2)) / (width, height)
    waves = [
        127
        + 60 * np.sin(x * one[0] + y * one[1] + one[0] * width)
        + 60 * np.sin(x * two[0] + y * two[1])
        + rng.normal(0, noise, (height, width))
        for one, two in bends
    ]
    return Image.fromarray(np.stack(waves, -1).clip(0, 255).astype(np.uint8))


def encode(image: Image.Image, encoding: str = "JPEG", **options: Any) -> bytes:
    """The file of an image."""
    out = io.BytesIO()
    image.save(out, encoding, **options)
    return out.getvalue()


def as_file(body: bytes) -> io.BytesIO:
    """A file to open, for what happens before decoding."""
    return io.BytesIO(body)


def opened(body: bytes) -> Image.Image:
    """Decode for a look at the result."""
    image = Image.open(io.BytesIO(body))
    image.load()
    return image


def marked(width: int = 120, height: int = 80) -> Image.Image:
    """Grey noise whose top left quarter is red: it shows how an image was turned."""
    image = photo(width, height).convert("L").convert("RGB")
    image.paste((255, 0, 0), (0, 0, width // 2, height // 2))
    return image


def with_orientation(image: Image.Image, orientation: int, encoding: str = "JPEG", **options: Any) -> bytes:
    """A file whose EXIF says how it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(image, encoding, exif=exif, **options)


@functools.cache
def animation(frames: int = 3, encoding: str = "GIF", size: tuple[int, int] = (120, 90)) -> bytes:
    """A file of several pictures."""
    pictures = [photo(*size, seed=seed) for seed in range(frames)]
    return encode(pictures[0], encoding, save_all=True, append_images=pictures[1:])


def chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width: int, height: int) -> bytes:
    """A PNG that is next to nothing on disk and a great deal in memory: RGBA, all zeros, complete and correct."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    packer = zlib.compressobj(1)
    row = bytes(1 + 4 * width)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def png_header_bomb() -> bytes:
    """A PNG that announces 65,535 pixels a side and holds none."""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 65535, 65535, 8, 6, 0, 0, 0)) + chunk(b"IEND", b"")


def with_hole(body: bytes, size: int = 512) -> bytes:
    """A file of which a run in the middle never arrived."""
    middle = len(body) // 2
    return body[:middle] + bytes(size) + body[middle + size :]
