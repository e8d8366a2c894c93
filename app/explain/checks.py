"""Why an image was kept or rejected: each check with its value and limit, and why a duplicate ranks lower than its original.

The rules themselves are in :mod:`app.images.checks` and :mod:`app.images.ranking`. Pure.
"""

from dataclasses import dataclass, replace
from typing import Final

from app.domain import Reason, StoredImage
from app.formatting import clipped, number, size
from app.images import checks
from app.images.checks import Facts, Outcome
from app.images.ranking import compare_rank
from app.review_actions import Reviewed
from app.rules import ValidationRules

__all__ = ["HASH_BITS", "CheckLine", "Duplicate", "check_lines", "why_kept"]

_WORDS: Final[dict[Outcome, str]] = {"passed": "ok", "failed": "FAILED", "not_reached": "not reached", "not_asked": "not applied"}

_UNDECODED: Final = frozenset({Reason.CORRUPT, Reason.DECODER_CRASH, Reason.NOT_AN_IMAGE, Reason.POISON})


_DIGEST_CHARS: Final = 10
"""Of a digest in a table, as wide as a value; the reason has it whole."""


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One check of an image.

    Attributes:
        value: the measured value; ``None`` if it was not measured.
        outcome: ``not_reached`` if an earlier check failed, ``not_asked`` if the job's level does not apply the check.
    """

    name: str
    value: float | str | None
    limit: str
    outcome: Outcome

    @property
    def passed(self) -> bool | None:
        """Whether the image passed; ``None`` if the check did not run."""
        return {"passed": True, "failed": False}.get(self.outcome)

    def words(self) -> str:
        """``sharpness    12.4    at least 20    FAILED``."""
        value = "-" if self.value is None else self.value if isinstance(self.value, str) else f"{self.value:.10g}"
        return f"{self.name:<12} {value:<10} {self.limit:<34} {_WORDS[self.outcome]}".rstrip()


def check_lines(image: StoredImage, rules: ValidationRules) -> list[CheckLine]:
    """Return one line per check, by the rules of the job that decided on the image; none if it was not validated."""
    if image.measures is None:
        return []
    image_format = (image.media_type or "").removeprefix("image/")
    facts = Facts.from_measures(image_format, image.width or 0, image.height or 0, image.measures)
    failed_to_decode = False if image.reason in _UNDECODED else None
    results = checks.evaluate(facts, rules, decodes=True if image.measures else failed_to_decode)
    lines = [CheckLine(result.name, result.value, result.limit, result.outcome) for result in results]
    return lines if image.expected_sha256 is None else _with_digest(image.sha256 or "", image.expected_sha256, lines)


def _with_digest(sha256: str, expected: str, lines: list[CheckLine]) -> list[CheckLine]:
    """The digest that a list expects is compared before all else: other bytes are not decoded."""
    differs = sha256 != expected
    if differs:
        lines = [line if line.outcome == "not_asked" else replace(line, value=None, outcome="not_reached") for line in lines]
    return [
        CheckLine("sha256", sha256[:_DIGEST_CHARS], f"{expected[:_DIGEST_CHARS]}, of the list", "failed" if differs else "passed"),
        *lines,
    ]


HASH_BITS: Final = 64
"""Length of a perceptual hash."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A duplicate and the image that was kept instead.

    Attributes:
        original: the image that is kept instead.
        limit: the largest distance of near duplicates, bits.
        is_labelled: whether the duplicate would have been kept with a label, its own or that of its job or search.
    """

    image: StoredImage
    original: StoredImage
    limit: int
    is_labelled: bool = True

    @property
    def is_exact(self) -> bool:
        """Whether its bytes equal those of the original, or of a near duplicate of the original."""
        return self.image.reason is Reason.DUPLICATE_EXACT

    @property
    def distance(self) -> int | None:
        """Bits in which the two hashes differ; ``None`` if either hash is missing."""
        if not self.image.phash or not self.original.phash:
            return None
        return (int(self.image.phash, 16) ^ int(self.original.phash, 16)).bit_count()

    def words(self) -> str:
        """``of image 3, https://…: differs in 4 of 64 bits, limit 6; the other has more pixels (800x600 against 640x480)``."""
        url = clipped(self.original.url, 200)
        state = "" if self.original.state.value == "kept" else f" (now {self.original.state.value})"
        return f"of image {self.original.id}{state}, {url}: {self.why}"

    @property
    def why(self) -> str:
        """How alike they are, and why the other one is kept."""
        return f"{self._similarity()}; {why_kept(self.image, self.original, is_labelled=self.is_labelled)}"

    def _similarity(self) -> str:
        if self.is_exact and self.image.sha256 == self.original.sha256:
            return "the same bytes"
        bits = "an unknown number of bits" if self.distance is None else f"{self.distance} of {HASH_BITS} bits"
        if self.is_exact:
            return f"the same bytes as a near duplicate of it, which differs in {bits}, limit {self.limit}"
        return f"differs in {bits}, limit {self.limit}"


@dataclass(frozen=True, slots=True)
class _Ranked:
    id: int
    decided: int
    was_kept: bool
    is_labelled: bool
    pixels: int
    size_bytes: int


def why_kept(image: StoredImage, original: StoredImage, *, is_labelled: bool = True) -> str:
    """Say why the original ranks higher. The rows may have changed since the decision."""
    mine, theirs = (
        _Ranked(
            item.id,
            item.reviewed == Reviewed.KEEP,
            was_kept,
            is_labelled or bool(item.label),
            (item.width or 0) * (item.height or 0),
            item.size_bytes or 0,
        )
        for item, was_kept in ((image, False), (original, original.copied_from is not None and image.copied_from is None))
    )
    decided_by, is_better = compare_rank(theirs, mine)
    if decided_by == "id":
        return "equal in pixels and bytes, the other was found first" if is_better else "the kept image has changed since"
    if decided_by == "decided":
        return "a person keeps the other" if is_better else "a person keeps this one since"
    if decided_by == "was_kept":
        return "the other was kept before"
    if decided_by == "is_labelled":
        return "the other has a label"
    if decided_by == "pixels":
        what = f"pixels ({original.width or 0}x{original.height or 0} against {image.width or 0}x{image.height or 0})"
    else:
        one, other = size(theirs.size_bytes), size(mine.size_bytes)
        one, other = (one, other) if one != other else (number(theirs.size_bytes), number(mine.size_bytes))
        what = f"bytes for the same number of pixels ({one} against {other})"
    return f"the other has more {what}" if is_better else f"the kept image has changed since: it has fewer {what}"
