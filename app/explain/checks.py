"""Each check of an image with its value and its limit, in the order in which validation makes them. Pure; the rules are the deciding job's.

The order and the levels are those of :mod:`app.images.levels`, which is not imported since its checks bring an array library along.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.domain import Level, Reason, StoredImage, ValidationRules

__all__ = ["CheckLine", "check_lines"]

Outcome = Literal["passed", "failed", "not_reached", "not_asked"]
_WORDS: Final[dict[Outcome, str]] = {"passed": "ok", "failed": "FAILED", "not_reached": "not reached", "not_asked": "not asked for"}


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One check.

    Attributes:
        value: as it was measured; ``None`` where it was not.
        outcome: ``not_reached`` once another has failed, ``not_asked`` where the job's level does not look at it.
    """

    name: str
    value: float | str | None
    limit: str
    outcome: Outcome

    @property
    def passed(self) -> bool | None:
        """``None`` where it did not count."""
        return {"passed": True, "failed": False}.get(self.outcome)

    def words(self) -> str:
        """``sharpness    12.4    at least 20    FAILED``."""
        value = "-" if self.value is None else self.value if isinstance(self.value, str) else f"{self.value:.10g}"
        return f"{self.name:<12} {value:<10} {self.limit:<34} {_WORDS[self.outcome]}".rstrip()


@dataclass(frozen=True, slots=True)
class _Judge:
    """How one check is made, and from which level on."""

    name: str
    level: Level
    limit: Callable[[ValidationRules], str]
    is_fine: Callable[[float, ValidationRules], bool]


_LEVELS: Final[tuple[Level, ...]] = ("basic", "standard", "strict")

_PIXELS: Final = _Judge("pixels", "basic", lambda r: f"at most {r.max_pixels}", lambda v, r: v <= r.max_pixels)

_DECODED: Final[tuple[_Judge, ...]] = (
    _Judge("width", "basic", lambda r: f"at least {r.min_width}", lambda v, r: v >= r.min_width),
    _Judge("height", "basic", lambda r: f"at least {r.min_height}", lambda v, r: v >= r.min_height),
    _Judge("truncated", "standard", lambda _: "0", lambda v, _: v == 0),
    _Judge("aspect", "standard", lambda r: f"at most {r.max_aspect:g}", lambda v, r: v <= r.max_aspect),
    _Judge("frames", "standard", lambda _: "1", lambda v, _: v <= 1),
    _Judge("all frames", "basic", lambda r: f"at most {r.max_pixels} pixels", lambda v, r: v <= r.max_pixels),
    _Judge("entropy", "standard", lambda r: f"at least {r.min_entropy:g} bits", lambda v, r: v >= r.min_entropy),
    _Judge(
        "brightness",
        "strict",
        lambda r: f"{r.min_brightness:g} to {r.max_brightness:g}",
        lambda v, r: r.min_brightness <= v <= r.max_brightness,
    ),
    _Judge("sharpness", "strict", lambda r: f"at least {r.min_sharpness:g}", lambda v, r: v >= r.min_sharpness),
)

_UNDECODED: Final = frozenset({Reason.CORRUPT, Reason.DECODER_CRASH, Reason.NOT_AN_IMAGE, Reason.POISON})


def check_lines(image: StoredImage, rules: ValidationRules) -> list[CheckLine]:
    """What was measured of an image against what the rules allow; nothing of one that was not judged."""
    if image.measures is None:
        return []
    lines: list[CheckLine] = []
    for name, value, limit, is_asked, is_fine in _looked_at(image, rules):
        lines.append(CheckLine(name, value, limit, _outcome(lines, value, is_asked=is_asked, is_fine=is_fine)))
    return lines


def _outcome(before: list[CheckLine], value: float | str | None, *, is_asked: bool, is_fine: bool) -> Outcome:
    if not is_asked:
        return "not_asked"
    if value is None or any(line.outcome == "failed" for line in before):
        return "not_reached"
    return "passed" if is_fine else "failed"


def _looked_at(image: StoredImage, rules: ValidationRules) -> Iterator[tuple[str, float | str | None, str, bool, bool]]:
    """(name, value, limit, whether the level asks for it, whether it is fine) of each check, in order."""
    measures = _measured(image)
    name = (image.media_type or "").removeprefix("image/") or None
    yield "format", name, f"one of {len(rules.formats)}", True, name in rules.formats
    yield _judged(_PIXELS, measures, rules)
    if not image.measures:  # it never got as far as being measured
        yield "decodes", "no" if image.reason in _UNDECODED else None, "yes", True, False
    for judge in _DECODED:
        if judge.name == "all frames" and measures.get("frames", 1) <= 1:
            continue  # the same as pixels
        yield _judged(judge, measures, rules)


def _judged(judge: _Judge, measures: Mapping[str, float], rules: ValidationRules) -> tuple[str, float | None, str, bool, bool]:
    value = measures.get(judge.name)
    is_asked = _LEVELS.index(rules.level) >= _LEVELS.index(judge.level)
    return judge.name, value, judge.limit(rules), is_asked, value is not None and judge.is_fine(value, rules)


def _measured(image: StoredImage) -> dict[str, float]:
    """Of an image that did not decode, what its header says."""
    known: dict[str, Any] = dict(image.measures or {})
    if image.width and image.height:
        known = {"width": image.width, "height": image.height, "pixels": image.width * image.height} | known
    measures = {name: float(value) for name, value in known.items()}
    if "frames" in measures and "pixels" in measures:
        measures["all frames"] = measures["frames"] * measures["pixels"]
    return measures
