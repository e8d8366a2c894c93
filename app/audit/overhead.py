"""The retry layer's and the log's part of an image's CPU: calls per image x cost per call over CPU per image. Pure.

A machine's speed drifts by more than what is looked for, so a run with and one without would tell nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.audit.costs import GROUP, LoggingCosts, RetryCosts
from app.audit.pipeline import Counts

__all__ = ["BOUNDS", "LOGGING", "RETRYING", "Part", "parts", "share_of"]

RETRYING: Final = "retrying and attempts"
LOGGING: Final = "logging"
BOUNDS: Final[Mapping[str, float]] = {RETRYING: 0.05, LOGGING: 0.01}
"""What each may take of the processing time of an image."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is done to an image: how often, at what cost."""

    of: str
    what: str
    calls: float
    cost_us: float

    @property
    def us_per_image(self) -> float:
        return self.calls * self.cost_us


def parts(often: Counts, lines_per_image: float, retrying: RetryCosts, logging: LoggingCosts) -> tuple[Part, ...]:
    """Put counts and costs together."""
    return (
        Part(RETRYING, "Tenacity call", often.retries, retrying.retry_us),
        Part(RETRYING, "attempt record, in memory", often.trails, retrying.record_us),
        Part(RETRYING, f"attempt record, its rows ({GROUP} a statement)", often.trails, retrying.rows_us),
        Part(LOGGING, "line to stream and file", lines_per_image, logging.line_us),
        Part(LOGGING, "line that is filtered out", max(0.0, often.lines - lines_per_image), logging.filtered_us),
        Part(LOGGING, "context entered and left", often.contexts, logging.context_us),
        Part(LOGGING, "text made fit for a line", often.redacted, logging.redact_us),
    )


def share_of(of: str, found: Sequence[Part], cpu_us_per_image: float) -> float:
    """The share of an image's CPU that one kind of parts takes."""
    return sum(part.us_per_image for part in found if part.of == of) / cpu_us_per_image
