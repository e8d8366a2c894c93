"""What workers count: each way a run, a request and a URL can end."""

import pytest

import errors
from app.domain import Reason
from downloader import Attempt, Deferred, Fetched, FetchFailed, FetchRequest, Outcome
from logging_setup import spans
from tests.figures import Growth
from workers.counting import Run, count_attempt, ended

ONCE = (Attempt(1, 0.0, 0.1, status=200),)
TWICE = (
    Attempt(1, 0.0, 0.1, status=503, error="ServiceUnavailableError", reason=Reason.SERVICE_UNAVAILABLE),
    Attempt(2, 0.0, 0.1, status=200),
)


def fetched(attempts: tuple[Attempt, ...], *, made: int = 0) -> Fetched:
    """An image of four bytes."""
    return Fetched(FetchRequest("http://a/", attempts_made=made), b"1234", "00", "image/jpeg", 200, "http://a/", attempts)


def failed(attempts: tuple[Attempt, ...], error: str, reason: Reason) -> FetchFailed:
    """No image."""
    return FetchFailed(FetchRequest("http://a/"), reason, error, "words", attempts)


def test_a_run_is_counted_by_how_it_ended() -> None:
    """Once, with its time."""
    grown = Growth()
    with Run("process_chunk") as run:
        run.ends("stopped")
    with Run("process_chunk"):
        pass
    assert grown.of("pictrawl_job_runs_total") == {("process_chunk", "stopped"): 1, ("process_chunk", "done"): 1}
    assert grown.of("pictrawl_job_run_duration_seconds_count") == {("process_chunk",): 2}


def _end_by(error: Exception, outcome: str) -> None:
    with Run("sweep") as run:
        run.ends(outcome, error)
        raise error


def test_a_run_that_ends_by_an_error_is_counted_and_lets_it_pass() -> None:
    """What it raised goes on its way; the span around it has the outcome and the error."""
    grown, seen = Growth(), Noted()
    spans.install(seen)
    try:
        with pytest.raises(MemoryError):
            _end_by(MemoryError("no room"), "retried")
    finally:
        spans.install(None)
    assert grown.of("pictrawl_job_runs_total") == {("sweep", "retried"): 1}
    assert seen.told == {"outcome": "retried", "error": "no room"}


class Noted(spans.Span):
    """A tracer whose one span remembers what it was told."""

    def __init__(self) -> None:
        self.told: dict[str, object] = {}

    def span(self, *_: object) -> spans.Span:
        return self

    def current(self) -> spans.Span:
        return self

    def set(self, **attributes: object) -> None:
        self.told |= attributes

    def fail(self, error: BaseException) -> None:
        self.told["error"] = str(error)


def test_a_message_that_found_nothing_has_no_duration() -> None:
    """Thousands of quick nothings would hide how long work takes."""
    grown = Growth()
    with Run("verify_export") as run:
        run.ends("not_claimed")
    assert grown.of("pictrawl_job_runs_total") == {("verify_export", "not_claimed"): 1}
    assert grown.of("pictrawl_job_run_duration_seconds_count") == {}


def test_a_request_is_counted_with_its_waits() -> None:
    """By number and outcome, by status, and by what was waited for before and after."""
    grown = Growth()
    count_attempt(Attempt(2, 0.0, 0.3, 429, "RateLimitError", Reason.RATE_LIMITED, wait_s=7.0, wait_cause="retry_after", queued_s=1.5))
    count_attempt(Attempt(9, 0.0, 0.1, status=200))
    assert grown.of("pictrawl_download_attempts_total") == {("2", "rate_limited"): 1, ("4+", "ok"): 1}
    assert grown.of("pictrawl_download_responses_total") == {("4xx",): 1, ("2xx",): 1}
    assert grown.of("pictrawl_download_wait_seconds_total") == {("retry_after",): 7.0, ("host_gate",): 1.5}
    assert grown.of("pictrawl_download_waits_total") == {("retry_after",): 1, ("host_gate",): 1}
    assert grown.of("pictrawl_download_attempt_duration_seconds_count") == {("failed",): 1, ("ok",): 1}


def test_a_request_without_an_answer_is_counted() -> None:
    """It has no status; an error without a reason would be `other`."""
    grown = Growth()
    count_attempt(Attempt(1, 0.0, 0.3, error="NetworkError"))
    assert grown.of("pictrawl_download_attempts_total") == {("1", "other"): 1}
    assert grown.of("pictrawl_download_responses_total") == {("none",): 1}


EXHAUSTED = failed(TWICE, "ServiceUnavailableError", Reason.SERVICE_UNAVAILABLE)
REFUSED = failed(TWICE, "NotFoundError", Reason.HTTP_404)
DEFERRED = Deferred(FetchRequest("http://a/", attempts_made=1), 99.0, Reason.RATE_LIMITED, ONCE)


@pytest.mark.parametrize(
    ("outcome", "for_good", "download", "retries"),
    [
        (fetched(ONCE), True, ("ok", "none"), None),
        (fetched(TWICE), True, ("ok", "none"), "recovered"),
        (fetched(ONCE, made=1), True, ("ok", "none"), "recovered"),
        (failed(ONCE, "NotFoundError", Reason.HTTP_404), True, ("failed", "http_404"), None),
        (failed((), "InvalidURLError", Reason.INVALID_URL), True, ("failed", "invalid_url"), None),
        (EXHAUSTED, True, ("failed", "service_unavailable"), "exhausted"),
        (REFUSED, True, ("failed", "http_404"), "refused"),
        (DEFERRED, False, ("deferred", "rate_limited"), None),
        (DEFERRED, True, ("failed", "rate_limited"), "exhausted"),
    ],
)
def test_a_url_is_counted_by_how_it_ended(outcome: Outcome, for_good: bool, download: tuple[str, str], retries: str | None) -> None:
    """With its reason, its bytes, and what retries came to where there were any."""
    grown = Growth()
    end = ended(outcome, for_good=for_good)
    assert grown.of("pictrawl_downloads_total") == {}, "it is counted when it is on its row, and not before"
    end.count()
    assert grown.of("pictrawl_downloads_total") == {download: 1}
    assert grown.of("pictrawl_download_bytes_total") == ({(): 4} if isinstance(outcome, Fetched) else {})
    assert grown.of("pictrawl_download_retried_urls_total") == ({(retries,): 1} if retries else {})


def test_every_passing_error_is_known_by_name() -> None:
    """Those that the downloader retries."""
    for error in errors.TRANSIENT:
        end = ended(failed(TWICE, error.__name__, Reason.TIMEOUT))
        assert end.retries == "exhausted"
