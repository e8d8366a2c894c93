"""Which checks a level runs, and in which order. The first that fails names the reason, so the order is contract."""

from collections.abc import Iterable
from typing import Final

from app.domain import Level, ValidationRules
from app.images import checks
from app.images.checks import Check, Facts, Finding

__all__ = ["BEFORE_DECODING", "SHARPNESS_SIDE", "THUMBNAIL_SIDE", "checks_of", "first_finding", "measures_sharpness", "side_needed"]

BEFORE_DECODING: Final[tuple[Check, ...]] = (checks.find_format, checks.find_too_many_pixels)
"""Every level runs these on the header; what fails here is never decoded."""

THUMBNAIL_SIDE: Final = 256
"""Pixels: longer side of a thumbnail at most."""

SHARPNESS_SIDE: Final = 256
"""Pixels: longer side of the grey image in which sharpness is measured."""

_ENOUGH_TO_SEE: Final = 160
"""Pixels: longer side of a thumbnail at least, where the image has them. A JPEG decoder scales by 1/2, 1/4 and 1/8 for nothing, so
most photos come between 160 and 256 pixels and need no resize; that halves the cost of a verdict (4.3 to 2.2 ms for 640x480)."""

_BASIC: Final[frozenset[Check]] = frozenset({checks.find_too_small, checks.find_too_many_frames})
_STANDARD: Final[frozenset[Check]] = _BASIC | {
    checks.find_truncated,
    checks.find_aspect,
    checks.find_animated,
    checks.find_low_information,
}
_STRICT: Final[frozenset[Check]] = _STANDARD | {checks.find_exposure, checks.find_blur}
_BY_LEVEL: Final[dict[Level, frozenset[Check]]] = {"basic": _BASIC, "standard": _STANDARD, "strict": _STRICT}

_ORDER: Final[tuple[Check, ...]] = (
    checks.find_too_small,
    checks.find_truncated,
    checks.find_aspect,
    checks.find_animated,
    checks.find_too_many_frames,
    checks.find_low_information,
    checks.find_exposure,
    checks.find_blur,
)
"""The checks of the laxer levels come first, so that a stricter level adds rejections and leaves the reason of the others alone."""


def checks_of(level: Level) -> tuple[Check, ...]:
    """The checks of a level on a decoded image, in order. A level runs all checks of the levels below it."""
    return tuple(check for check in _ORDER if check in _BY_LEVEL[level])


def first_finding(run: Iterable[Check], facts: Facts, rules: ValidationRules) -> Finding | None:
    """Return what the first failing check found, or None."""
    return next((finding for check in run if (finding := check(facts, rules)) is not None), None)


def measures_sharpness(level: Level) -> bool:
    """Whether a check of this level looks at sharpness, which takes a larger picture than all the others."""
    return checks.find_blur in _BY_LEVEL[level]


def side_needed(level: Level) -> int:
    """Pixels that the longer side of the decoded picture must have for what the level measures."""
    return SHARPNESS_SIDE if measures_sharpness(level) else _ENOUGH_TO_SEE
