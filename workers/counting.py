"""What workers count: runs of job functions, and what the downloader says of each URL and each request."""

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import errors
from app.observability import families, labels
from downloader import Attempt, Fetched, FetchFailed, Outcome
from logging_setup import spans

__all__ = ["Ended", "Run", "count_attempt", "ended"]

_PASSING = frozenset(
    name for name in errors.__all__ if isinstance(kind := getattr(errors, name), type) and issubclass(kind, errors.TransientError)
)
"""Errors that more attempts might have got over, by name."""


class Run:
    """One run of a job function: at its end its span is told how it ended, and it is counted by that."""

    __slots__ = ("_began", "_error", "_function", "_outcome", "_span")

    def __init__(self, function: str) -> None:
        self._function = function
        self._span = spans.current()
        self._began = time.perf_counter()
        self._outcome = "done"
        self._error: BaseException | None = None

    def ends(self, outcome: str, error: BaseException | None = None) -> None:
        """Say how it ends, otherwise than done, and of what.

        Args:
            outcome: one of :data:`app.observability.labels.RUNS`.
        """
        self._outcome, self._error = outcome, error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._span.set(outcome=self._outcome)
        if self._error is not None:
            self._span.fail(self._error)
        families.runs.add(self._function, self._outcome)
        if self._outcome != "not_claimed":
            families.run_seconds.observe(time.perf_counter() - self._began, self._function)


def count_attempt(attempt: Attempt) -> None:
    """One request for an image, with the waits before and after it."""
    outcome = attempt.reason.value if attempt.reason else "ok" if attempt.error is None else labels.OTHER
    families.attempts.add(labels.number_of(attempt.number), outcome)
    families.responses.add(labels.status_class(attempt.status))
    families.latency.observe(attempt.elapsed_s, "ok" if attempt.error is None else "failed")
    if attempt.wait_s > 0:
        _count_wait(attempt.wait_cause, attempt.wait_s)
    if attempt.queued_s > 0:
        _count_wait("host_gate", attempt.queued_s)


def _count_wait(cause: str, seconds: float) -> None:
    families.waits.add(cause)
    families.wait_seconds.add(cause, by=seconds)


@dataclass(frozen=True, slots=True)
class Ended:
    """What is left of an outcome to be counted once it is on its row; its body may go meanwhile.

    Attributes:
        retries: what they came to; None where there was none, or where the URL comes back.
    """

    outcome: str
    reason: str = labels.NO_REASON
    size_bytes: int = 0
    retries: str | None = None

    def count(self) -> None:
        """Count it."""
        families.downloads.add(self.outcome, self.reason)
        families.received_bytes.add(by=self.size_bytes)
        if self.retries is not None:
            families.retried.add(self.retries)


def ended(outcome: Outcome, *, for_good: bool = True) -> Ended:
    """How a URL ended.

    Args:
        for_good: a deferred one does not come back.
    """
    was_retried = outcome.request.attempts_made + len(outcome.attempts) > 1
    if isinstance(outcome, Fetched):
        return Ended("ok", size_bytes=len(outcome.body), retries="recovered" if was_retried else None)
    if not for_good:
        return Ended("deferred", outcome.reason.value)
    is_spent = not isinstance(outcome, FetchFailed) or outcome.error in _PASSING
    retries = ("exhausted" if is_spent else "refused") if was_retried else None
    return Ended("failed", outcome.reason.value, retries=retries)
