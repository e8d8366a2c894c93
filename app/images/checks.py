"""The checks on an image: what is measured, the limit, the level that applies it, and the order. Pure; imports no image library.

The first failing check names the reason, so the order of the table is contract.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self

from app.domain import Reason
from app.rules import Level, ValidationRules

__all__ = [
    "AFTER_DECODING",
    "BEFORE_DECODING",
    "CANNOT_COMPRESS",
    "SHARPNESS_SIDE",
    "THUMBNAIL_SIDE",
    "Check",
    "CheckResult",
    "Facts",
    "Outcome",
    "Violation",
    "checks_of",
    "evaluate",
    "find_violation",
    "measures_sharpness",
    "side_needed",
]

THUMBNAIL_SIDE: Final = 256
"""Pixels: the largest longer side of a thumbnail."""

SHARPNESS_SIDE: Final = 256
"""Pixels: longer side of the grey image on which sharpness is measured."""

_MIN_THUMBNAIL_SIDE: Final = 160
"""Pixels: the smallest longer side of a thumbnail of a larger image. A JPEG decoder scales by 1/2, 1/4 and 1/8 at no cost, so most photos
are decoded between 160 and 256 pixels and need no resize; that halves the cost of a verdict (4.3 to 2.2 ms for 640x480)."""

CANNOT_COMPRESS: Final = "cannot be compressed"
"""Prefix of the detail of an image that passes all checks and cannot be re-encoded by the rules."""


_DAMAGED: Final = "data is lost"


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured of one image. Before decoding only the first three are known.

    Attributes:
        width, height: pixels; 0 where the header could not be read.
        damage: how the decoder knows that pixels are wrong; None where it reports nothing. Of what was measured only whether is kept.
        bits: of one channel, as the file stores it.
        entropy: bits of the grey histogram of the 1/8-scale image, 0 to 8; None where it was not measured.
        edges: share of pixels at an edge, 0 to 1; None where it was not measured: it counts only for an image of little entropy.
        brightness: mean grey, 0 to 255; None where it was not measured.
        sharpness: variance of the Laplacian of the grey image, at most 256 pixels on its longer side; None where the level does not
            check it.
    """

    format: str
    width: int
    height: int
    frames: int = 1
    is_complete: bool = True
    damage: str | None = None
    bits: int = 8
    entropy: float | None = None
    edges: float | None = None
    brightness: float | None = None
    sharpness: float | None = None

    @classmethod
    def from_measures(cls, image_format: str, width: int, height: int, measures: Mapping[str, float]) -> Self:
        """The inverse of `measures`. ``width`` and ``height`` count where the measures have none."""
        return cls(
            format=image_format,
            width=int(measures.get("width", width)),
            height=int(measures.get("height", height)),
            frames=int(measures.get("frames", 1)),
            is_complete=not measures.get("truncated", 0),
            damage=_DAMAGED if measures.get("damaged", 0) else None,
            bits=int(measures.get("bits", 8)),
            entropy=measures.get("entropy"),
            edges=measures.get("edges"),
            brightness=measures.get("brightness"),
            sharpness=measures.get("sharpness"),
        )

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
            "damaged": self.damage is not None,
            "frames": self.frames,
            "bits": self.bits if self.bits > 8 else None,
            "entropy": self.entropy,
            "edges": self.edges,
            "brightness": self.brightness,
            "sharpness": self.sharpness,
        }
        return {name: _rounded(value) for name, value in values.items() if value is not None}


def _rounded(value: float) -> float:
    return round(float(value), 4)


@dataclass(frozen=True, slots=True)
class Violation:
    """A failed check: its reason, and the value and its limit as text."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Check:
    """A limit on one measured value.

    Attributes:
        name: of the value, mostly as in `Facts.measures`.
        level: the laxest level that applies the check; the stricter ones apply it too.
        value: reads it from the facts; a value that was not measured (None) passes.
        limit: the limit as text.
        passes: whether a measured value keeps the limit.
        detail: value and limit as text, for an image that fails.
    """

    name: str
    level: Level
    reason: Reason
    value: Callable[[Facts], float | str | None]
    limit: Callable[[ValidationRules], str]
    passes: Callable[[Facts, ValidationRules], bool]
    detail: Callable[[Facts, ValidationRules], str]

    def violation(self, facts: Facts, rules: ValidationRules) -> Violation | None:
        """What is wrong; None where the image passes."""
        if self.value(facts) is None or self.passes(facts, rules):
            return None
        return Violation(self.reason, self.detail(facts, rules))


BEFORE_DECODING: Final = (
    Check(
        "format",
        "basic",
        Reason.FORMAT,
        value=lambda facts: facts.format or None,
        limit=lambda rules: f"one of {len(rules.formats)}",
        passes=lambda facts, rules: facts.format in rules.formats,
        detail=lambda facts, rules: f"format {facts.format}, allowed {', '.join(rules.formats)}",
    ),
    Check(
        "pixels",
        "basic",
        Reason.TOO_MANY_PIXELS,
        value=lambda facts: facts.pixels or None,
        limit=lambda rules: f"at most {rules.max_pixels}",
        passes=lambda facts, rules: facts.pixels <= rules.max_pixels,
        detail=lambda facts, rules: f"{facts.width}x{facts.height} is {facts.pixels} pixels, limit {rules.max_pixels}",
    ),
)
"""Applied to the header; an image that fails one of these is never decoded."""


def _size_detail(facts: Facts, rules: ValidationRules) -> str:
    return f"{facts.width}x{facts.height} pixels, limit {rules.min_width}x{rules.min_height}"


AFTER_DECODING: Final = (
    Check(
        "width",
        "basic",
        Reason.TOO_SMALL,
        value=lambda facts: facts.width or None,
        limit=lambda rules: f"at least {rules.min_width}",
        passes=lambda facts, rules: facts.width >= rules.min_width,
        detail=_size_detail,
    ),
    Check(
        "height",
        "basic",
        Reason.TOO_SMALL,
        value=lambda facts: facts.height or None,
        limit=lambda rules: f"at least {rules.min_height}",
        passes=lambda facts, rules: facts.height >= rules.min_height,
        detail=_size_detail,
    ),
    Check(
        "truncated",
        "standard",
        Reason.CORRUPT,
        value=lambda facts: not facts.is_complete,
        limit=lambda _: "0",
        passes=lambda facts, _: facts.is_complete,
        detail=lambda facts, _: f"truncated: the {facts.format} end marker is missing",
    ),
    Check(
        "damaged",
        "standard",
        Reason.CORRUPT,
        value=lambda facts: facts.damage is not None,
        limit=lambda _: "0",
        passes=lambda facts, _: facts.damage is None,
        detail=lambda facts, _: f"damaged {facts.format} data: {facts.damage}",
    ),
    Check(
        "aspect",
        "standard",
        Reason.ASPECT,
        value=lambda facts: facts.aspect,
        limit=lambda rules: f"at most {rules.max_aspect:g}",
        passes=lambda facts, rules: facts.aspect <= rules.max_aspect,
        detail=lambda facts, rules: f"aspect {facts.aspect:.2f}, limit {rules.max_aspect:.2f}",
    ),
    Check(
        "frames",
        "standard",
        Reason.ANIMATED,
        value=lambda facts: facts.frames,
        limit=lambda _: "1",
        passes=lambda facts, _: facts.frames <= 1,
        detail=lambda facts, _: f"{facts.frames} frames, limit 1",
    ),
    Check(
        "all frames",  # what a later reader of the file has to decode
        "basic",
        Reason.TOO_MANY_PIXELS,
        value=lambda facts: facts.pixels * facts.frames,
        limit=lambda rules: f"at most {rules.max_pixels} pixels",
        passes=lambda facts, rules: facts.pixels * facts.frames <= rules.max_pixels,
        detail=lambda facts, rules: f"{facts.frames} frames are {facts.pixels * facts.frames} pixels, limit {rules.max_pixels}",
    ),
    Check(
        "entropy",
        "standard",
        Reason.LOW_INFORMATION,
        value=lambda facts: facts.entropy,
        limit=lambda rules: f"at least {rules.min_entropy:g} bits, or {rules.min_edges:.2%} edges",
        passes=lambda facts, rules: (facts.entropy or 0) >= rules.min_entropy or (facts.edges or 0) >= rules.min_edges,
        detail=lambda facts, rules: (
            f"entropy {facts.entropy:.2f} bits, limit {rules.min_entropy:.2f}; edges {facts.edges or 0:.2%}, limit {rules.min_edges:.2%}"
        ),
    ),
    Check(
        "brightness",
        "strict",
        Reason.EXPOSURE,
        value=lambda facts: facts.brightness,
        limit=lambda rules: f"{rules.min_brightness:g} to {rules.max_brightness:g}",
        passes=lambda facts, rules: rules.min_brightness <= (facts.brightness or 0) <= rules.max_brightness,
        detail=lambda facts, rules: f"brightness {facts.brightness:.1f}, limits {rules.min_brightness:.1f} to {rules.max_brightness:.1f}",
    ),
    Check(
        "sharpness",
        "strict",
        Reason.BLURRY,
        value=lambda facts: facts.sharpness,
        limit=lambda rules: f"at least {rules.min_sharpness:g}",
        passes=lambda facts, rules: (facts.sharpness or 0) >= rules.min_sharpness,
        detail=lambda facts, rules: f"sharpness {facts.sharpness:.1f}, limit {rules.min_sharpness:.1f}",
    ),
)
"""Applied to the decoded image, by level."""

_LEVELS: Final[tuple[Level, ...]] = ("basic", "standard", "strict")
"""From lax to strict."""

_BY_LEVEL: Final[Mapping[Level, tuple[Check, ...]]] = {
    level: tuple(check for check in AFTER_DECODING if check.level in _LEVELS[: place + 1]) for place, level in enumerate(_LEVELS)
}


def checks_of(level: Level) -> tuple[Check, ...]:
    """The checks of a level on a decoded image, in order. A level applies all checks of the laxer levels."""
    return _BY_LEVEL[level]


def find_violation(checks: Iterable[Check], facts: Facts, rules: ValidationRules) -> Violation | None:
    """Return the violation of the first check that fails, or None."""
    return next((violation for check in checks if (violation := check.violation(facts, rules)) is not None), None)


def measures_sharpness(level: Level) -> bool:
    """Whether a level checks sharpness, which needs a larger picture than all other checks."""
    return any(check.name == "sharpness" for check in checks_of(level))


def side_needed(level: Level) -> int:
    """Pixels that the longer side of the decoded picture must have for what the level measures."""
    return SHARPNESS_SIDE if measures_sharpness(level) else _MIN_THUMBNAIL_SIDE


Outcome = Literal["passed", "failed", "not_reached", "not_asked"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What became of one check of one image.

    Attributes:
        value: as it was measured, numbers rounded to four decimals; None where it was not measured.
        outcome: ``not_reached`` after another check has failed, ``not_asked`` where the level does not apply the check.
    """

    name: str
    value: float | str | None
    limit: str
    outcome: Outcome


def evaluate(facts: Facts, rules: ValidationRules, *, decodes: bool | None = True) -> Sequence[CheckResult]:
    """The result of every check on an image, in the order in which validation makes them.

    Args:
        facts: what is known of the image.
        rules: of the job that decided on it.
        decodes: False where decoding failed, None where it was not tried; both add the result ``decodes`` after the header's checks.
    """
    results: list[CheckResult] = []

    def add(name: str, value: float | str | None, limit: str, *, applies: bool, passes: bool) -> None:
        if not applies:
            outcome: Outcome = "not_asked"
        elif value is None or any(result.outcome == "failed" for result in results):
            outcome = "not_reached"
        else:
            outcome = "passed" if passes else "failed"
        results.append(CheckResult(name, _rounded(value) if isinstance(value, int | float) else value, limit, outcome))

    for check in (*BEFORE_DECODING, *AFTER_DECODING):
        if check is AFTER_DECODING[0] and not decodes:
            add("decodes", "no" if decodes is False else None, "yes", applies=True, passes=False)
        if check.name == "all frames" and facts.frames <= 1:
            continue  # the same as pixels
        value = check.value(facts) if decodes or check.name in _IN_HEADER else None
        applies = check in BEFORE_DECODING or check in checks_of(rules.level)
        add(check.name, value, check.limit(rules), applies=applies, passes=check.passes(facts, rules))
    return results


_IN_HEADER: Final = frozenset({"format", "pixels", "width", "height"})
"""Values that are known without decoding."""
