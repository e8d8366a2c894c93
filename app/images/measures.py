"""What is measured on the pixels of an image: entropy, edges, brightness, sharpness, hash, colours. Knows no limits and no files."""

import functools
import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageChops

from app.domain import COLOUR_GRID_SIDE

__all__ = ["brightness_of", "colour_grid", "edges_of", "entropy_of", "perceptual_hash", "sharpness_of"]

_LAPLACIAN_SIDE: Final = 3
"""Pixels a side of the kernel."""

_EDGE_STEP: Final = 24
"""Levels of 255 between neighbours from which on there is an edge: more than the noise of a JPEG or a sensor, less than a faint line."""

_MARGIN: Final = 16
"""Edges are counted without a margin of a 16th of each side, at least two pixels, so that a border alone is none."""

_SAMPLED_SIDE: Final = 64
"""Pixels a side from which the cells are averaged: 256 a cell. Averaging all pixels takes three times as long; it differs by 5 levels."""

_HASHED_SIDE: Final = 32
"""Pixels a side of the image whose DCT is hashed."""

_LOW_FREQUENCIES: Final = 8
"""Frequencies a side that are kept: 8 x 8 = 64 bits."""

_DCT: Final = 2.0 * np.cos(np.pi * np.outer(np.arange(_LOW_FREQUENCIES), 2 * np.arange(_HASHED_SIDE) + 1) / (2 * _HASHED_SIDE))
"""The first rows of the DCT-II matrix."""

_DECIMALS: Final = 1000.0
"""Coefficients are compared to three decimals."""

_MIDDLE: Final = _LOW_FREQUENCIES * _LOW_FREQUENCIES // 2
"""The median of 64 numbers is the mean of the 32nd and this one, counted from 0. ``np.median`` takes four times as long as sorting."""


def entropy_of(counts: Sequence[int]) -> float:
    """Shannon entropy of the histogram of an L image, in bits, 0 to 8."""
    pixels = sum(counts)
    weighted = math.fsum(count * math.log2(count) for count in counts if count)
    return max(0.0, math.log2(pixels) - weighted / pixels)


def brightness_of(counts: Sequence[int]) -> float:
    """Mean of the L image with this histogram, 0 to 255."""
    return sum(value * count for value, count in enumerate(counts)) / sum(counts)


def sharpness_of(grey: Image.Image) -> float:
    """Variance of the 4-neighbour Laplacian of an L image (Pech-Pacheco et al., 2000); 0 below 3 pixels a side."""
    values = np.asarray(grey, dtype=np.float32)
    if min(values.shape) < _LAPLACIAN_SIDE:
        return 0.0
    centre = values[1:-1, 1:-1]
    return float((4 * centre - values[:-2, 1:-1] - values[2:, 1:-1] - values[1:-1, :-2] - values[1:-1, 2:]).var())


def edges_of(image: Image.Image) -> float:
    """Share of the pixels of an L or RGB image, without its margin, that differ clearly from the next one to the right or below, 0 to 1."""
    left, top = (max(2, side // _MARGIN) for side in image.size)
    width, height = image.width - 2 * left - 1, image.height - 2 * top - 1
    if min(width, height) < 1:
        return 0.0
    here, right, below = (image.crop((left + x, top + y, left + x + width, top + y + height)) for x, y in ((0, 0), (1, 0), (0, 1)))
    steps = ImageChops.lighter(ImageChops.difference(here, right), ImageChops.difference(here, below))
    greatest = functools.reduce(ImageChops.lighter, steps.split())
    return sum(greatest.histogram()[_EDGE_STEP:]) / (width * height)


def colour_grid(image: Image.Image) -> str:
    """Mean colours of an L or RGB image over 4 x 4 cells, row by row: Y, Cb and Cr (ITU-R BT.601) of each as a byte, 96 hex digits in all.

    The perceptual hash sees brightness only, and that only relative to the rest of the picture; this tells a red shirt from a blue one.
    """
    sampled = image.resize((_SAMPLED_SIDE, _SAMPLED_SIDE), Image.Resampling.NEAREST)
    return sampled.convert("RGB").resize((COLOUR_GRID_SIDE, COLOUR_GRID_SIDE), Image.Resampling.BOX).convert("YCbCr").tobytes().hex()


def perceptual_hash(grey: Image.Image) -> str:
    """Hash an L image to 64 bits that survive scaling, re-encoding and small edits: 16 hex digits.

    Each bit says whether one of the 64 lowest DCT frequencies, row by row, is above their median. This is the pHash of Zauner,
    "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), 3.2, after its mean filter, in the variant that includes
    the constant term. Coefficients are rounded, so that a flat image hashes to the same bits on every machine.
    """
    small = grey.resize((_HASHED_SIDE, _HASHED_SIDE), Image.Resampling.BOX).tobytes()
    pixels = np.frombuffer(small, dtype=np.uint8).reshape(_HASHED_SIDE, _HASHED_SIDE).astype(np.float64)
    low = np.rint((_DCT @ pixels @ _DCT.T) * _DECIMALS).ravel()
    ranked = np.sort(low)
    return np.packbits(low > (ranked[_MIDDLE - 1] + ranked[_MIDDLE]) / 2).tobytes().hex()
