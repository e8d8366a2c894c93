"""What is measured on the grey pixels of an image: entropy, brightness, sharpness, perceptual hash. Knows no limits and no files."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image

__all__ = ["brightness_of", "entropy_of", "perceptual_hash", "sharpness_of"]

_LAPLACIAN_SIDE: Final = 3
"""Pixels a side of the kernel."""

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
