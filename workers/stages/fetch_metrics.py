"""What the metrics say of the requests for images and of their outcomes, counted once these are written."""

from dataclasses import dataclass

import errors
from app.observability import labels, metrics
from app.observability.registry import OTHER
from downloader import Attempt, Fetched, FetchFailed, NotModified, Outcome

__all__ = ["UrlResult", "count_attempt", "result_of"]

_TRANSIENT = frozenset(
    name for name in errors.__all__ if isinstance(kind := getattr(errors, name), type) and issubclass(kind, errors.TransientError)
)
"""Names of the errors that further attempts might have overcome."""


@dataclass(frozen=True, slots=True)
class UrlResult:
    """What the metrics need of an outcome once it is written; its body may be freed before.

    Attributes:
        retries: their result; None without retries, or where the URL is requested again later.
    """

    outcome: str
    reason: str = labels.NO_REASON
    size_bytes: int = 0
    retries: str | None = None

    def count(self) -> None:
        """Add it to the metrics."""
        metrics.downloads.labels(self.outcome, self.reason).inc()
        metrics.received_bytes.inc(self.size_bytes)
        if self.retries is not None:
            metrics.retried_urls.labels(self.retries).inc()


def result_of(outcome: Outcome, *, is_final: bool = True) -> UrlResult:
    """The result of a URL; ``is_final`` says whether a deferred one has failed."""
    was_retried = outcome.request.attempts_made + len(outcome.attempts) > 1
    if isinstance(outcome, Fetched):
        return UrlResult("ok", size_bytes=len(outcome.body), retries="recovered" if was_retried else None)
    if isinstance(outcome, NotModified):
        return UrlResult("not_modified", retries="recovered" if was_retried else None)
    if not is_final:
        return UrlResult("deferred", outcome.reason.value)
    is_exhausted = not isinstance(outcome, FetchFailed) or outcome.error in _TRANSIENT
    retries = ("exhausted" if is_exhausted else "refused") if was_retried else None
    return UrlResult("failed", outcome.reason.value, retries=retries)


def count_attempt(attempt: Attempt) -> None:
    """Count one request for an image, with the waits before and after it."""
    outcome = attempt.reason.value if attempt.reason else "ok" if attempt.error is None else OTHER
    metrics.attempts.labels(labels.number_of(attempt.number), outcome).inc()
    metrics.responses.labels(labels.status_class(attempt.status)).inc()
    metrics.attempt_seconds.labels("ok" if attempt.error is None else "failed").observe(attempt.elapsed_s)
    if attempt.wait_s > 0:
        _count_wait(metrics.wait_cause.known(attempt.wait_cause), attempt.wait_s)
    if attempt.queued_s > 0:
        _count_wait("host_gate", attempt.queued_s)


def _count_wait(cause: str, seconds: float) -> None:
    metrics.waits.labels(cause).inc()
    metrics.wait_seconds.labels(cause).inc(seconds)
