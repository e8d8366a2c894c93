"""The vocabulary: frozen, compact, and without bodies in its repr."""

import dataclasses

import pytest

from downloader import Fetched, FetchLimits, FetchRequest, RetryRules


def test_defaults_are_the_documented_settings():
    """The numbers that the settings reference names."""
    limits, rules = FetchLimits(), RetryRules()
    assert (limits.concurrency, limits.per_host, limits.attempt_timeout_s, limits.max_bytes, limits.max_redirects) == (
        64,
        2,
        35.0,
        30_000_000,
        5,
    )
    assert (rules.attempts, rules.backoff_base_s, rules.inline_wait_max_s, rules.retry_after_max_s) == (3, 2.0, 10.0, 3600.0)


def test_records_are_frozen_and_hide_the_body():
    """An outcome can be logged and cannot be changed."""
    outcome = Fetched(FetchRequest("http://h.test/"), b"secret-bytes", "0" * 64, "image/png", 200, "http://h.test/", ())
    assert "secret-bytes" not in repr(outcome)
    with pytest.raises(dataclasses.FrozenInstanceError):
        outcome.status = 500
