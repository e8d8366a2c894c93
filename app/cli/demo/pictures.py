"""Synthetic pictures that pass every check, as photographs do. The same seed gives the same picture."""

import io

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["blank", "corrupt", "encoded", "photograph", "tiny"]

WIDTH, HEIGHT = 480, 360


def photograph(seed: int) -> Image.Image:
    """A colour gradient with a few ellipses and noise."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y, across = (int(random.integers(0, limit)) for limit in (WIDTH, HEIGHT, 140))
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        draw.ellipse((x, y, x + across + 20, y + across + 20), fill=colour)
    grain = random.integers(-12, 13, (HEIGHT, WIDTH, 1), dtype=np.int16)
    pixels = np.clip(np.asarray(image, dtype=np.int16) + grain, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, form: str = "JPEG", quality: int = 85) -> bytes:
    """The bytes of a picture."""
    buffer = io.BytesIO()
    if form == "PNG":
        image.save(buffer, form, compress_level=1)
    else:
        image.save(buffer, form, quality=quality, **({"method": 0} if form == "WEBP" else {}))
    return buffer.getvalue()


def tiny(seed: int) -> bytes:
    """A thumbnail, smaller than every minimum size."""
    return encoded(photograph(seed).resize((40, 30)))


def blank() -> bytes:
    """A grey rectangle, as hosts serve for deleted pictures."""
    return encoded(Image.new("RGB", (WIDTH, HEIGHT), (221, 221, 221)))


def corrupt(seed: int) -> bytes:
    """A JPEG whose second half is missing; its Content-Length is right."""
    body = encoded(photograph(seed))
    return body[: len(body) // 2]
