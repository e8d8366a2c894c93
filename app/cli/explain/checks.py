"""Each check of an image with its value and its limit. Pure; the rules are those of the job that decided."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.records import Level, ValidationRules

__all__ = ["CheckLine", "check_lines"]


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One check. ``passed`` is ``None`` where the job's level does not look at it."""

    name: str
    value: float | str
    limit: str
    passed: bool | None

    def words(self) -> str:
        """``sharpness    12.4    at least 20.0    failed``."""
        verdict = {True: "ok", False: "FAILED", None: "not asked for"}[self.passed]
        value = self.value if isinstance(self.value, str) else f"{self.value:g}"
        return f"{self.name:<11} {value:<10} {self.limit:<34} {verdict}".rstrip()


_LEVELS: Final[tuple[Level, ...]] = ("basic", "standard", "strict")
_Judge = tuple[str, Level, Callable[[ValidationRules], str], Callable[[float, ValidationRules], bool]]

_JUDGES: Final[tuple[_Judge, ...]] = (
    ("width", "basic", lambda r: f"at least {r.min_width}", lambda v, r: v >= r.min_width),
    ("height", "basic", lambda r: f"at least {r.min_height}", lambda v, r: v >= r.min_height),
    ("pixels", "basic", lambda r: f"at most {r.max_pixels}", lambda v, r: v <= r.max_pixels),
    ("aspect", "standard", lambda r: f"at most {r.max_aspect:g}", lambda v, r: v <= r.max_aspect),
    ("truncated", "standard", lambda _: "0", lambda v, _: v == 0),
    ("frames", "standard", lambda _: "1", lambda v, _: v <= 1),
    ("entropy", "standard", lambda r: f"at least {r.min_entropy:g} bits", lambda v, r: v >= r.min_entropy),
    (
        "brightness",
        "strict",
        lambda r: f"{r.min_brightness:g} to {r.max_brightness:g}",
        lambda v, r: r.min_brightness <= v <= r.max_brightness,
    ),
    ("sharpness", "strict", lambda r: f"at least {r.min_sharpness:g}", lambda v, r: v >= r.min_sharpness),
)


def check_lines(measures: Mapping[str, Any], rules: ValidationRules, *, media_type: str | None = None) -> list[CheckLine]:
    """What was measured against what the rules allow."""
    lines: list[CheckLine] = []
    if media_type:
        name = media_type.removeprefix("image/")
        lines.append(CheckLine("format", name, f"one of {len(rules.formats)}", name in rules.formats))
    for name, level, limit, is_fine in _JUDGES:
        if name in measures:
            value = float(measures[name])
            asked = _LEVELS.index(rules.level) >= _LEVELS.index(level)
            lines.append(CheckLine(name, value, limit(rules), is_fine(value, rules) if asked else None))
    return lines
