"""A rate follows what happens, and a forecast is made only where it is none of luck."""

import pytest

from app.db.funnel import Funnel, SourceCount
from app.domain import ImageState
from app.jobs.pace import ETA_FROM, LONGEST_ETA_S, PaceMeter, PaceMeters, RateEstimate, eta_s


def test_pace_follows_a_steady_rate_and_forgets_a_burst() -> None:
    """Ten a second is ten a second; after a pause of one half-life half of it is left."""
    pace = RateEstimate()
    assert pace.update(0, 0) == 0
    assert pace.update(1, 10) == pytest.approx(10)
    assert pace.update(1, 10) == pytest.approx(10)
    assert pace.update(16, 10) == pytest.approx(5)


def test_eta_is_hidden_while_nobody_can_tell() -> None:
    """Before 20 images, without a goal, at no rate, beyond two days."""
    assert eta_s(good=100, goal=200, rate=10) == 10
    for good, goal, rate in ((ETA_FROM - 1, 200, 10), (100, None, 10), (100, 200, 0), (200, 200, 10), (100, 200, 1 / LONGEST_ETA_S)):
        assert eta_s(good=good, goal=goal, rate=rate) is None


def a_funnel(valid: int, pending: int) -> Funnel:
    return Funnel((SourceCount("list", ImageState.VALID, None, valid), SourceCount("list", ImageState.PENDING, None, pending)))


def test_time_is_left_until_the_target_or_the_last_candidate() -> None:
    """Ten valid images a second: 20 s to 300, and 30 s to the end of a list of 400."""
    for target, left_s in ((300, 20), (None, 30)):
        meter = PaceMeter()
        assert meter.update(0, a_funnel(0, 400), target).left_s is None
        pace = meter.update(10, a_funnel(100, 300), target)
        assert (pace.valid_per_s, pace.fetched_per_s, pace.left_s) == (10, 10, left_s)
    assert meter.update(14, a_funnel(100, 300), None).valid_per_s < 10
    assert meter.idle_s == 4


def test_lookers_share_a_meter() -> None:
    """Each job has its own."""
    meters = PaceMeters()
    assert meters.of("job_1") is meters.of("job_1")
    assert meters.of("job_1") is not meters.of("job_2")
