"""The pace: nothing until a refusal, then just below the limit, and no crawling where the rate is not the reason."""

import random

import pytest

from downloader.limiter.rate_control import FLOOR_PER_S, AdaptiveRate

T = 1_700_000_000.0


def answered(pace, count, now, every_s=0.01):
    """Accept ``count`` requests in a row; return the time after the last."""
    for _ in range(count):
        now = max(now + every_s, pace.reserve_starts(1, now)[0])
        pace.on_success(now, started_at=now)
    return now


def refuse(pace, now, **more):
    return pace.on_refusal(now, started_at=now, **more)


def test_nothing_is_spaced_until_the_host_refuses():
    """No limit, no wait."""
    pace = AdaptiveRate()
    assert pace.reserve_starts(3, T) == [T, T, T]
    assert pace.current() == 0


def test_a_limit_of_the_settings_spaces_the_starts():
    """Four a second are a quarter of a second apart, in one call or in several."""
    pace = AdaptiveRate()
    assert pace.reserve_starts(2, T, 4.0) + pace.reserve_starts(1, T, 4.0) == [T, T + 0.25, T + 0.5]
    assert pace.current(4.0) == 4


def test_a_late_start_does_not_move_the_ones_after_it():
    """By up to one interval; after a longer pause the spacing begins anew, with nothing to catch up."""
    pace = AdaptiveRate()
    pace.reserve_starts(1, T, 4.0)
    assert pace.reserve_starts(2, T + 0.3, 4.0) == [T + 0.25, T + 0.5]
    assert pace.reserve_starts(2, T + 9, 4.0) == [T + 9, T + 9.25]


def test_first_refusal_after_many_answers_is_an_estimate():
    """Twenty in the first second mean about twenty a second, and a second of rest."""
    pace = AdaptiveRate()
    now = answered(pace, 20, T)
    assert refuse(pace, now)
    assert pace.current() == pytest.approx(0.93 * 20)
    assert pace.reserve_starts(1, now) == [now + 1]


def test_first_refusal_after_few_answers_begins_a_search():
    """From a low rate that doubles every second in which it is used; the refusal that ends it is cut deep."""
    pace = AdaptiveRate()
    now = answered(pace, 2, T)
    refuse(pace, now)
    assert pace.current() == 4
    now += 1
    while pace.current() < 16:
        now = pace.reserve_starts(1, now)[0]
    assert 1.7 < now - (T + 1) < 2.6
    found = pace.current()
    refuse(pace, now)
    assert (pace.ceiling, pace.rate) == (found, pytest.approx(0.7 * found))


def test_growth_waits_for_use():
    """An hour without a request proves nothing."""
    pace = AdaptiveRate()
    refuse(pace, answered(pace, 20, T))
    before = pace.current()
    pace.reserve_starts(1, T + 3600)
    assert pace.current() == pytest.approx(before, rel=0.01)


def test_a_late_refusal_is_cut_a_little_and_tried_again_after_a_minute():
    """93 % of the refused rate, back at it after a minute of use, steeply beyond it later; Retry-After makes that longer."""
    pace = AdaptiveRate(rate=20.0, ceiling=20.0, climb_s=25.0, busy_s=10.0, cut_at=T - 10, troubled_since=T - 10)
    refuse(pace, T)
    assert (pace.rate, pace.ceiling, pace.climb_s) == (pytest.approx(18.6), 20.0, 60.0)
    pace.busy_s = 60.0
    assert pace.current() == pytest.approx(20.0)
    pace.busy_s = 66.0
    assert pace.current() == pytest.approx(21.6)
    refuse(pace, T + 70, retry_after_s=2.0)
    assert pace.climb_s == 120


def test_requests_sent_before_a_cut_do_not_count_against_it():
    """What was on its way together is one refusal."""
    pace = AdaptiveRate()
    now = answered(pace, 20, T)
    assert refuse(pace, now + 1)
    assert not pace.on_refusal(now + 1.2, started_at=now + 0.9)
    assert pace.current() == pytest.approx(0.93 * 20 / 1.2, rel=0.2)


def test_retry_after_is_the_rest():
    """The next start is when the host said, no later."""
    pace = AdaptiveRate()
    refuse(pace, T, retry_after_s=3.0)
    assert pace.reserve_starts(1, T) == [T + 3]


def test_floor_of_new_trouble_is_high_and_sinks():
    """Refusals in a row do not mean one request in two seconds at once; after a minute of them they do. Calm makes trouble new."""
    pace, now = AdaptiveRate(), T
    rates = []
    for _ in range(200):
        now = pace.reserve_starts(1, now)[0]
        refuse(pace, now)
        rates.append((now - T, pace.current()))
    assert min(rate for at, rate in rates if at < 20) == 4
    assert rates[-1][0] > 60
    assert rates[-1][1] == FLOOR_PER_S
    refuse(pace, now + 61)
    assert pace._floor(now + 61) == 4


def simulate(pace, allows, seconds, *, after_s=0, latency_s=0.05):
    """GrantRequest one host, one request after the other; return accepted and refused, those of the beginning left out."""
    now, seen = T, []
    while now < T + after_s + seconds:
        started_at = max(now, pace.reserve_starts(1, now)[0])
        now = started_at + latency_s
        allowed = allows(started_at)
        seen += [allowed] if now > T + after_s else []
        if allowed:
            pace.on_success(now, started_at=started_at)
        else:
            pace.on_refusal(now, started_at=started_at)
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


@pytest.mark.parametrize("chance", [0.02, 0.1, 0.3])
def test_refusals_by_chance_do_not_slow_a_host_down_for_long(chance):
    """Half the rate, half accepted: it is not the rate. Of 20 a second, at least a third remain over five minutes."""
    dice = random.Random(7)
    pace = AdaptiveRate()
    accepted, _ = simulate(pace, lambda now: dice.random() > chance, 300)
    assert accepted > 300 * 20 / 3


def test_while_chance_is_the_reason_nothing_is_spaced():
    """And refusals change nothing until that time is over."""
    pace = AdaptiveRate(unspaced_until=T + 60, cut_at=T)
    assert pace.on_refusal(T + 5, started_at=T + 4)
    assert (pace.current(), pace.cut_at) == (0, T + 5)
    refuse(pace, T + 61)
    assert pace.current() > 0
