"""Attempts in words: how long each stood in line, what it got, how long was waited after it and why. Pure."""

import itertools
import time
from collections.abc import Sequence

from app.formatting import clipped, duration
from downloader.models import Attempt

__all__ = ["attempt_lines", "attempt_words", "clock"]

CAUSES = {"retry_after": "as Retry-After asked", "backoff": "backoff"}

QUEUED_S = 0.1
"""Seconds in line below which nobody waited."""

GAP_S = 1.0
"""Seconds between two attempts that no wait explains, from which on the URL was set aside."""


def attempt_lines(attempts: Sequence[tuple[str, Attempt]], *, ended: str) -> list[str]:
    """One line for each attempt (state, attempt); ``ended`` says what the last one led to."""
    ends = [_gap_words(one[1], other[1]) for one, other in itertools.pairwise(attempts)] + [ended]
    return [
        f"{attempt.number}  {clock(attempt.started_at)}  {attempt_words(state, attempt, end)}"
        for (state, attempt), end in zip(attempts, ends, strict=False)
    ]


def attempt_words(state: str, attempt: Attempt, ended: str = "") -> str:
    """``queued 1.2s, 503 ServiceUnavailableError in 0.31s, then waited 2.0s (backoff)``."""
    if state == "lost":
        return "no outcome: the process died meanwhile"
    if state == "reserved":
        return "under way"
    got = " ".join(clipped(str(part), 60) for part in (attempt.status, attempt.error) if part is not None) or "no reply"
    queued = f"queued {_seconds(attempt.queued_s)}, " if attempt.queued_s >= QUEUED_S else ""
    words = f"{queued}{got} in {attempt.elapsed_s:.2f}s"
    if attempt.wait_s > 0:
        cause = CAUSES.get(attempt.wait_cause, clipped(attempt.wait_cause, 20))
        return f"{words}, then waited {_seconds(attempt.wait_s)}{f' ({cause})' if cause else ''}"
    return f"{words}, {ended}" if ended else words


def _gap_words(attempt: Attempt, following: Attempt) -> str:
    """A URL that was deferred lets its place go; its next attempt belongs to a later run."""
    gap_s = following.started_at - following.queued_s - attempt.started_at - attempt.elapsed_s
    return f"then set aside for {_seconds(gap_s)}" if attempt.started_at and gap_s >= GAP_S else ""


def _seconds(value: float) -> str:
    return f"{value:.1f}s" if value < 60 else duration(value)


def clock(at: float) -> str:
    """Local time of day to the millisecond."""
    return time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at % 1 * 1000):03d}" if at else "-"
