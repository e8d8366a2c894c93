"""Each check of an image as a line of text. What is checked, against which limit, is `app.images.checks`' alone."""

from dataclasses import dataclass
from typing import Final

from app.domain import Reason, StoredImage, ValidationRules
from app.images import checks
from app.images.checks import Facts, Outcome

__all__ = ["CheckLine", "check_lines"]

_WORDS: Final[dict[Outcome, str]] = {"passed": "ok", "failed": "FAILED", "not_reached": "not reached", "not_asked": "not asked for"}

_UNDECODED: Final = frozenset({Reason.CORRUPT, Reason.DECODER_CRASH, Reason.NOT_AN_IMAGE, Reason.POISON})


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


def check_lines(image: StoredImage, rules: ValidationRules) -> list[CheckLine]:
    """A line for each check of an image by the rules of the job that decided on it; none for an image that was not validated."""
    if image.measures is None:
        return []
    image_format = (image.media_type or "").removeprefix("image/")
    facts = Facts.from_measures(image_format, image.width or 0, image.height or 0, image.measures)
    failed_to_decode = False if image.reason in _UNDECODED else None
    results = checks.evaluate(facts, rules, decodes=True if image.measures else failed_to_decode)
    return [CheckLine(result.name, result.value, result.limit, result.outcome) for result in results]
