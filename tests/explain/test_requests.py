"""Attempts in words."""

from app.explain.requests import attempt_lines, attempt_words, clock
from downloader.models import Attempt

FAILED = Attempt(1, 1000.0, 0.31, 503, "ServiceUnavailableError", wait_s=2.0, wait_cause="backoff")


def test_an_attempt_tells_status_time_wait_and_cause() -> None:
    """And how long it stood in line, where that was long enough to matter."""
    assert attempt_words("done", FAILED) == "503 ServiceUnavailableError in 0.31s, then waited 2.0s (backoff)"
    queued = Attempt(1, 0.0, 0.5, 429, "RateLimitError", wait_s=90.0, wait_cause="retry_after", queued_s=1.24)
    assert attempt_words("done", queued) == "queued 1.2s, 429 RateLimitError in 0.50s, then waited 1m30s (as Retry-After asked)"
    assert attempt_words("done", Attempt(1, 0.0, 0.5, 200, queued_s=0.09)) == "200 in 0.50s"
    assert attempt_words("done", Attempt(1, 0.0, 0.5, wait_s=1.0, wait_cause="")) == "no reply in 0.50s, then waited 1.0s"


def test_lost_and_open_attempts_have_no_outcome() -> None:
    """Said as what they are."""
    assert attempt_words("lost", FAILED) == "no outcome: the process died meanwhile"
    assert attempt_words("reserved", FAILED) == "under way"


def test_a_gap_that_no_wait_explains_is_a_url_set_aside() -> None:
    """A deferred URL comes back in a later run, maybe much later."""
    first = Attempt(1, 1000.0, 0.5, 429, "RateLimitError")
    lines = attempt_lines([("done", first), ("done", Attempt(2, 1601.0, 0.2, 200, queued_s=0.5))], ended="")
    assert lines[0].endswith("429 RateLimitError in 0.50s, then set aside for 10m00s")
    soon = attempt_lines([("done", first), ("done", Attempt(2, 1001.0, 0.2, 200))], ended="gave up")
    assert soon[0].endswith("in 0.50s")
    assert soon[1].endswith(", gave up")
    assert attempt_lines([], ended="gave up") == []


def test_clock_has_milliseconds() -> None:
    """A time that is not known is a dash."""
    assert clock(0.0) == "-"
    assert clock(1000.25).endswith(":40.250")
