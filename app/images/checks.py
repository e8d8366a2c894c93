"""Each check on its own: what was measured against what the rules allow. Pure; must not know which level runs which check."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from app.domain import Reason, ValidationRules

__all__ = [
    "Check",
    "Facts",
    "Finding",
    "brightness_of",
    "entropy_of",
    "find_animated",
    "find_aspect",
    "find_blur",
    "find_exposure",
    "find_format",
    "find_low_information",
    "find_too_many_frames",
    "find_too_many_pixels",
    "find_too_small",
    "find_truncated",
    "sharpness_of",
]


_LAPLACIAN_SIDE: Final = 3
"""Pixels a side of the kernel."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured of one image. Before decoding only the first three are known.

    Attributes:
        entropy: bits of the grey histogram of the 1/8-scale image, 0 to 8.
        brightness: mean grey, 0 to 255.
        sharpness: variance of the Laplacian of the grey image, at most 256 pixels on its longer side; None
            where the level doesn't look at it.
    """

    format: str
    width: int
    height: int
    frames: int = 1
    is_complete: bool = True
    entropy: float = 0.0
    brightness: float = 0.0
    sharpness: float | None = None

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height

    @property
    def aspect(self) -> float:
        """Longer side over shorter side."""
        return max(self.width, self.height) / max(1, min(self.width, self.height))

    def measures(self) -> dict[str, float]:
        """Every measured value by its name, rounded to four decimals."""
        values = {
            "width": self.width,
            "height": self.height,
            "pixels": self.pixels,
            "aspect": self.aspect,
            "truncated": not self.is_complete,
            "frames": self.frames,
            "entropy": self.entropy,
            "brightness": self.brightness,
            "sharpness": self.sharpness,
        }
        return {name: round(float(value), 4) for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Finding:
    """A check that failed: the reason, and in words the value and its limit."""

    reason: Reason
    detail: str


Check = Callable[[Facts, ValidationRules], Finding | None]
"""Returns None where the image passes."""


def find_format(facts: Facts, rules: ValidationRules) -> Finding | None:
    """Whether the real format, whatever the name or header said, is one that the rules take."""
    if facts.format in rules.formats:
        return None
    return Finding(Reason.FORMAT, f"format {facts.format}, allowed {', '.join(rules.formats)}")


def find_too_many_pixels(facts: Facts, rules: ValidationRules) -> Finding | None:
    """Whether decoding would cost more than the rules grant."""
    if facts.pixels <= rules.max_pixels:
        return None
    return Finding(Reason.TOO_MANY_PIXELS, f"{facts.width}x{facts.height} is {facts.pixels} pixels, limit {rules.max_pixels}")


def find_too_small(facts: Facts, rules: ValidationRules) -> Finding | None:
    """Whether a side is shorter than asked for."""
    if facts.width >= rules.min_width and facts.height >= rules.min_height:
        return None
    return Finding(Reason.TOO_SMALL, f"{facts.width}x{facts.height} pixels, limit {rules.min_width}x{rules.min_height}")


def find_truncated(facts: Facts, _: ValidationRules) -> Finding | None:
    """Whether the file lacks its end although it decodes."""
    return None if facts.is_complete else Finding(Reason.CORRUPT, f"truncated: the {facts.format} end marker is missing")


def find_aspect(facts: Facts, rules: ValidationRules) -> Finding | None:
    """Whether the image is a banner or a strip."""
    if facts.aspect <= rules.max_aspect:
        return None
    return Finding(Reason.ASPECT, f"aspect {facts.aspect:.2f}, limit {rules.max_aspect:.2f}")


def find_animated(facts: Facts, _: ValidationRules) -> Finding | None:
    """Whether the file holds more than one picture."""
    return None if facts.frames <= 1 else Finding(Reason.ANIMATED, f"{facts.frames} frames, limit 1")


def find_too_many_frames(facts: Facts, rules: ValidationRules) -> Finding | None:
    """Whether all frames together are more pixels than the rules grant to whoever decodes them later."""
    total = facts.pixels * facts.frames
    if total <= rules.max_pixels:
        return None
    return Finding(Reason.TOO_MANY_PIXELS, f"{facts.frames} frames are {total} pixels, limit {rules.max_pixels}")


def find_low_information(facts: Facts, rules: ValidationRules) -> Finding | None:
    """Whether there is next to nothing to see: a blank, a placeholder."""
    if facts.entropy >= rules.min_entropy:
        return None
    return Finding(Reason.LOW_INFORMATION, f"entropy {facts.entropy:.2f} bits, limit {rules.min_entropy:.2f}")


def find_blur(facts: Facts, rules: ValidationRules) -> Finding | None:
    """Whether edges are missing."""
    if facts.sharpness is None or facts.sharpness >= rules.min_sharpness:
        return None
    return Finding(Reason.BLURRY, f"sharpness {facts.sharpness:.1f}, limit {rules.min_sharpness:.1f}")


def find_exposure(facts: Facts, rules: ValidationRules) -> Finding | None:
    """Whether nearly all is black or white."""
    if rules.min_brightness <= facts.brightness <= rules.max_brightness:
        return None
    limits = f"{rules.min_brightness:.1f} to {rules.max_brightness:.1f}"
    return Finding(Reason.EXPOSURE, f"brightness {facts.brightness:.1f}, limits {limits}")


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
