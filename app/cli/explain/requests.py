"""Attempts in words: what each asked, got, and how long was waited after it and why. Pure."""

import time
from collections.abc import Sequence

from app.cli.words import duration
from downloader import Attempt

__all__ = ["attempt_lines", "attempt_words"]

CAUSES = {"retry_after": "as Retry-After asked", "backoff": "backoff"}


def attempt_lines(attempts: Sequence[tuple[str, Attempt]], *, ended: str) -> list[str]:
    """One line for each attempt (state, attempt); ``ended`` says what the last one led to."""
    lines = []
    for at, (state, attempt) in enumerate(attempts):
        is_last = at == len(attempts) - 1
        lines.append(f"{attempt.number}  {_clock(attempt.started_at)}  {attempt_words(state, attempt, ended if is_last else '')}")
    return lines


def attempt_words(state: str, attempt: Attempt, ended: str = "") -> str:
    """``503 ServiceUnavailableError in 0.31s, then waited 2.0s (backoff)``."""
    if state == "lost":
        return "no outcome: the process died meanwhile"
    if state == "reserved":
        return "under way"
    got = " ".join(str(part) for part in (attempt.status, attempt.error) if part is not None) or "no reply"
    words = f"{got} in {attempt.elapsed_s:.2f}s"
    if attempt.wait_s > 0:
        cause = CAUSES.get(attempt.wait_cause, attempt.wait_cause)
        wait = f"{attempt.wait_s:.1f}s" if attempt.wait_s < 60 else duration(attempt.wait_s)
        return f"{words}, then waited {wait}{f' ({cause})' if cause else ''}"
    return f"{words}, {ended}" if ended else words


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at % 1 * 1000):03d}" if at else "-"
