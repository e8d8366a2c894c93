"""Each check passes at its limit, fails just beyond it, and says its value and its limit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.domain import Reason, ValidationRules
from app.images import checks
from app.images.checks import Facts
from tests.images import samples

RULES = ValidationRules(min_width=64, min_height=48, max_pixels=10_000, max_aspect=2.0)
FACTS = Facts("jpeg", 80, 60, entropy=5.0, brightness=100.0, sharpness=50.0)


@pytest.mark.parametrize(
    ("check", "passing", "failing", "reason", "words"),
    [
        (checks.find_format, {"format": "png"}, {"format": "eps"}, Reason.FORMAT, ("eps", "jpeg")),
        (
            checks.find_too_many_pixels,
            {"width": 100, "height": 100},
            {"width": 100, "height": 101},
            Reason.TOO_MANY_PIXELS,
            ("10100", "10000"),
        ),
        (checks.find_too_small, {"width": 64, "height": 48}, {"width": 63}, Reason.TOO_SMALL, ("63x60", "64x48")),
        (checks.find_too_small, {}, {"height": 47}, Reason.TOO_SMALL, ("80x47", "64x48")),
        (checks.find_truncated, {}, {"is_complete": False}, Reason.CORRUPT, ("truncated", "jpeg")),
        (checks.find_aspect, {"width": 60, "height": 120}, {"width": 60, "height": 121}, Reason.ASPECT, ("2.02", "2.00")),
        (checks.find_animated, {"frames": 1}, {"frames": 2}, Reason.ANIMATED, ("2 frames", "1")),
        (checks.find_too_many_frames, {"frames": 2}, {"frames": 3}, Reason.TOO_MANY_PIXELS, ("3 frames", "14400", "10000")),
        (checks.find_low_information, {"entropy": 1.0}, {"entropy": 0.99}, Reason.LOW_INFORMATION, ("0.99", "1.00")),
        (checks.find_exposure, {"brightness": 8.0}, {"brightness": 7.9}, Reason.EXPOSURE, ("7.9", "8.0")),
        (checks.find_exposure, {"brightness": 247.0}, {"brightness": 247.1}, Reason.EXPOSURE, ("247.1", "247.0")),
        (checks.find_blur, {"sharpness": 20.0}, {"sharpness": 19.9}, Reason.BLURRY, ("19.9", "20.0")),
        (checks.find_blur, {"sharpness": None}, {"sharpness": 0.0}, Reason.BLURRY, ("0.0",)),
    ],
)
def test_check_at_its_limit(
    check: checks.Check, passing: dict[str, Any], failing: dict[str, Any], reason: Reason, words: tuple[str, ...]
) -> None:
    """The limit itself passes; one step beyond has the reason, the value and the limit."""
    assert check(replace(FACTS, **passing), RULES) is None
    finding = check(replace(FACTS, **failing), RULES)
    assert finding is not None
    assert finding.reason is reason
    assert all(word in finding.detail for word in words)


def test_measures_name_every_value() -> None:
    """What no check looked at is left out; what was measured is there, rounded."""
    measures = replace(FACTS, entropy=1.23456, sharpness=None).measures()
    assert measures["entropy"] == 1.2346
    assert measures["aspect"] == 1.3333
    assert set(measures) == {"width", "height", "pixels", "aspect", "truncated", "frames", "entropy", "brightness"}
    assert FACTS.measures()["sharpness"] == 50.0


def test_entropy_is_that_of_the_histogram() -> None:
    """One value has 0 bits, two equally frequent ones have 1, all 256 have 8."""
    assert checks.entropy_of(Image.new("L", (16, 16), 9).histogram()) == 0.0
    assert checks.entropy_of(Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).histogram()) == 1.0
    assert checks.entropy_of(Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).histogram()) == 8.0


def test_brightness_is_the_mean() -> None:
    """To the last digit."""
    grey = samples.photo(123, 77).convert("L")
    assert checks.brightness_of(grey.histogram()) == float(np.asarray(grey).mean())
    assert checks.brightness_of(Image.new("L", (16, 16), 255).histogram()) == 255.0


def test_sharpness_falls_with_blur() -> None:
    """Scaling down and up again takes the edges away; without a neighbourhood there is no sharpness."""
    grey = samples.photo(256, 192).convert("L")
    blurred = grey.resize((16, 12)).resize((256, 192), Image.Resampling.BICUBIC)
    assert checks.sharpness_of(grey) > 20 > checks.sharpness_of(blurred)
    assert checks.sharpness_of(Image.new("L", (2, 50))) == 0.0


def test_sharpness_of_a_single_point() -> None:
    """The kernel is 4 in the middle and -1 beside it: variance of (4, -1, -1, -1, -1, 0, ...) over 9 places."""
    grey = Image.new("L", (5, 5))
    grey.putpixel((2, 2), 1)
    assert checks.sharpness_of(grey) == pytest.approx(20 / 9)
