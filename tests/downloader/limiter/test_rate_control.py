"""The rate: no limit until a refusal, then AIMD just below the host's limit."""

import pytest

from downloader.limiter.rate_control import MIN_RATE_PER_S, AdaptiveRate

T = 1_700_000_000.0


def answered(rate, count, now, every_s=0.01):
    """Accept ``count`` requests in a row; return the time after the last."""
    for _ in range(count):
        now = max(now + every_s, rate.reserve_starts(1, now)[0])
        rate.on_success(now)
    return now


def refuse(rate, now, **more):
    return rate.on_refusal(now, started_at=now, **more)


def test_nothing_is_spaced_until_the_host_refuses():
    """No limit, no wait."""
    rate = AdaptiveRate()
    assert rate.reserve_starts(3, T) == [T, T, T]
    assert rate.current() == 0


def test_a_limit_of_the_settings_spaces_the_starts():
    """Four a second are a quarter of a second apart, in one call or in several."""
    rate = AdaptiveRate()
    assert rate.reserve_starts(2, T, 4.0) + rate.reserve_starts(1, T, 4.0) == [T, T + 0.25, T + 0.5]
    assert rate.current(4.0) == 4


def test_a_late_start_does_not_move_the_ones_after_it():
    """By up to one interval; after a longer pause the spacing begins anew, with nothing to catch up."""
    rate = AdaptiveRate()
    rate.reserve_starts(1, T, 4.0)
    assert rate.reserve_starts(2, T + 0.3, 4.0) == [T + 0.25, T + 0.5]
    assert rate.reserve_starts(2, T + 9, 4.0) == [T + 9, T + 9.25]


def test_first_refusal_after_many_answers_is_an_estimate():
    """Twenty in the first second mean about twenty a second, and a second of pause."""
    rate = AdaptiveRate()
    now = answered(rate, 20, T)
    assert refuse(rate, now)
    assert rate.current() == pytest.approx(0.93 * 20)
    assert rate.reserve_starts(1, now) == [now + 1]


def test_first_refusal_after_few_answers_begins_a_search():
    """From a low rate that doubles every second in which it is used; the refusal that ends it is cut deep."""
    rate = AdaptiveRate()
    now = answered(rate, 2, T)
    refuse(rate, now)
    assert rate.current() == 1
    now += 1
    while rate.current() < 16:
        now = rate.reserve_starts(1, now)[0]
    assert 3 < now - (T + 1) < 5
    found = rate.current()
    refuse(rate, now)
    assert rate.rate == pytest.approx(0.7 * found)


def test_growth_is_linear_and_waits_for_use():
    """Back at the refused rate after 30 busy seconds; an hour without a request proves nothing."""
    rate = AdaptiveRate(rate=20.0, increase=0.04, cut_at=T - 60)
    refuse(rate, T)
    assert rate.rate == pytest.approx(18.6)
    now = T
    while now < T + 30:
        now = rate.reserve_starts(1, now)[0]
    assert rate.current() == pytest.approx(20, rel=0.01)
    before = rate.current()
    rate.reserve_starts(1, now + 3600)
    assert rate.current() == pytest.approx(before, rel=0.01)


def test_requests_sent_before_a_cut_do_not_count_against_it():
    """Refusals of requests that were in flight together are one refusal."""
    rate = AdaptiveRate()
    now = answered(rate, 20, T)
    assert refuse(rate, now + 1)
    before = rate.current()
    assert not rate.on_refusal(now + 1.2, started_at=now + 0.9)
    assert rate.current() == before


def test_retry_after_is_the_pause():
    """The next start is when the host said, no later."""
    rate = AdaptiveRate()
    refuse(rate, T, retry_after_s=3.0)
    assert rate.reserve_starts(1, T) == [T + 3]


def test_no_refusal_pushes_the_rate_below_its_minimum():
    """One request in two seconds; the rest is up to the circuit breaker."""
    rate, now = AdaptiveRate(), T
    for _ in range(100):
        now = rate.reserve_starts(1, now)[0]
        refuse(rate, now)
    assert rate.rate == MIN_RATE_PER_S


def simulate(rate, allows, seconds, *, after_s=0, latency_s=0.05):
    """Request one host, one request after the other; return accepted and refused, those of the beginning left out."""
    now, seen = T, []
    while now < T + after_s + seconds:
        started_at = max(now, rate.reserve_starts(1, now)[0])
        now = started_at + latency_s
        allowed = allows(started_at)
        seen += [allowed] if now > T + after_s else []
        if allowed:
            rate.on_success(now)
        else:
            rate.on_refusal(now, started_at=started_at)
    return sum(seen), len(seen) - sum(seen)


class Bucket:
    """A token bucket."""

    def __init__(self, per_s, burst):
        self.per_s, self.burst, self.tokens, self.at = per_s, burst, burst, T

    def __call__(self, now):
        self.tokens, self.at = min(self.burst, self.tokens + (now - self.at) * self.per_s), now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@pytest.mark.parametrize("burst", [1, 5, 15, 60])
@pytest.mark.parametrize("per_s", [3, 8, 15])
def test_a_limit_is_found_and_kept(per_s, burst):
    """After half a minute of learning: nearly all that is allowed, few refusals."""
    accepted, refused = simulate(AdaptiveRate(), Bucket(per_s, burst), 120, after_s=30)
    assert accepted > 0.85 * per_s * 120
    assert refused < 0.05 * accepted
