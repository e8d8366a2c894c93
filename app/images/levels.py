"""Which checks a level runs, and in which order. The first that fails names the reason, so the order is contract."""

from collections.abc import Iterable
from typing import Final

from app.images import checks
from app.images.checks import Check, Facts, Finding
from app.records import Level, ValidationRules

__all__ = ["BEFORE_DECODING", "checks_of", "first_finding"]

BEFORE_DECODING: Final[tuple[Check, ...]] = (checks.find_format, checks.find_too_many_pixels)
"""Every level runs these on the header; what fails here is never decoded."""

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
