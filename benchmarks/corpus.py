"""The corpus of the comparison: seeded JPEGs of 55 to 160 KB, 640x480 to 1280x960, that a codec treats like photographs.

A picture is a function of its number, so that a missing one is created again byte for byte.
"""

import concurrent.futures
import io
import os
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["fill", "name_of", "picture"]

_SHAPES: Final = ((640, 480), (800, 600), (1024, 768), (768, 1024), (1280, 720), (1280, 960), (960, 1280))
_QUALITY: Final = 85
_SUBSAMPLING: Final = "4:2:0"

_BYTES_MEAN, _BYTES_SIGMA, _BYTES_RANGE = 111_000, 23_000, (66_000, 146_000)
"""The intended size; the content of a picture changes it. Of 5,000, 5 % are below 77 KB, the mean is 110, 5 % are above 145."""

_COARSE_PX: Final = 32
"""Side of a patch of the smooth texture: coarse enough that each picture has a different perceptual hash."""

_COARSE_SIGMA: Final = 28.0
"""Standard deviation of the brightness of patches."""

_GRAIN_LEVELS: Final = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 14.0, 18.0)
_BYTES_PER_PIXEL: Final = (0.0756, 0.0821, 0.0955, 0.1104, 0.138, 0.1661, 0.2246, 0.2746, 0.3307, 0.373, 0.4165)
"""Bytes of a pixel at each level of grain, measured on these pictures at this quality."""

_BATCH: Final = 25
"""Pictures that a process creates for one message."""


def name_of(number: int) -> str:
    """The file name of a picture."""
    return f"{number:06d}.jpg"


def fill(folder: Path, count: int) -> int:
    """Create the missing pictures with one process for each core; return how many were missing."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [number for number in range(count) if not (folder / name_of(number)).exists()]
    if missing:
        with concurrent.futures.ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            list(pool.map(_make, [folder] * len(missing), missing, chunksize=_BATCH))
    return len(missing)


def picture(number: int) -> bytes:
    """Return a picture of gradient, texture, shapes and grain; the same bytes for the same number and library."""
    random = np.random.default_rng(number)
    width, height = _SHAPES[int(random.integers(len(_SHAPES)))]
    smooth = _gradient(random, width, height) + _texture(random, width, height)
    drawn = Image.fromarray(smooth.clip(0, 255).astype(np.uint8))
    _draw_shapes(random, drawn)
    grain = random.normal(0, _grain(random, width * height), size=(height, width, 1)).astype(np.float32)
    buffer = io.BytesIO()
    full = (np.asarray(drawn, dtype=np.float32) + grain).clip(0, 255).astype(np.uint8)
    Image.fromarray(full).save(buffer, "JPEG", quality=_QUALITY, subsampling=_SUBSAMPLING)
    return buffer.getvalue()


def _make(folder: Path, number: int) -> None:
    """Write a whole picture or none, so that an interrupted run leaves no partial file."""
    part = folder / f"{number:06d}.part"
    part.write_bytes(picture(number))
    part.replace(folder / name_of(number))


def _gradient(random: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Four corner colours with linear interpolation."""
    corners = random.uniform(30, 220, size=(2, 2, 3)).astype(np.float32)
    down, across = np.linspace(0, 1, height, dtype=np.float32)[:, None, None], np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    left, right = (corners[0, side] * (1 - down) + corners[1, side] * down for side in (0, 1))
    return left * (1 - across) + right * across


def _texture(random: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Smooth variations of brightness around 0."""
    patches = random.normal(128, _COARSE_SIGMA, size=(height // _COARSE_PX + 1, width // _COARSE_PX + 1, 3)).clip(0, 255)
    grown = Image.fromarray(patches.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(grown, dtype=np.float32) - 128


def _draw_shapes(random: np.random.Generator, canvas: Image.Image) -> None:
    """Draw ellipses, rectangles and lines for edges."""
    draw = ImageDraw.Draw(canvas)
    for _ in range(int(random.integers(6, 18))):
        left, top = (int(random.integers(side)) for side in canvas.size)
        box = (left, top, left + int(random.integers(10, canvas.width // 2)), top + int(random.integers(10, canvas.height // 2)))
        colour = tuple(int(level) for level in random.integers(0, 256, 3))
        kind = int(random.integers(3))
        if kind == 0:
            draw.ellipse(box, fill=colour)
        elif kind == 1:
            draw.rectangle(box, fill=colour)
        else:
            draw.line(box, fill=colour, width=int(random.integers(1, 9)))


def _grain(random: np.random.Generator, pixels: int) -> float:
    """Return the level of grain that gives a picture the size drawn for it."""
    aim = float(np.clip(random.normal(_BYTES_MEAN, _BYTES_SIGMA), *_BYTES_RANGE))
    return float(np.interp(aim / pixels, _BYTES_PER_PIXEL, _GRAIN_LEVELS))
