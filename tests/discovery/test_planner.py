"""Tests of app.discovery.planner: calls, time and bytes, and the whole plan."""

from dataclasses import replace

import pytest

from app.discovery import planner
from app.discovery.planner import Step, Survey, make_plan
from app.discovery.sources.rate_limits import RateLimit
from app.quotas import Quota
from tests.discovery.dated_source import DatedSource

INFO = DatedSource.info
OTHER = replace(INFO, name="other", depth=None, filters=(), limits=())


@pytest.mark.parametrize(
    ("steps", "candidates", "calls"),
    [
        ([Step(250)], 250, 3),
        ([Step(250)], 201, 3),
        ([Step(250)], 1, 1),
        ([Step(250)], 0, 0),
        ([Step(0)], 5, 1),
        ([Step(5_000)], 5_000, 10),  # its depth is 1,000
        ([Step(2_000, is_divided=True), Step(900), Step(0), Step(300)], 1_200, 1 + 9 + 1 + 3),
        ([Step(2_000, is_divided=True), Step(900), Step(300)], 50, 1 + 1),
        ([Step(9_000, is_divided=True), Step(900), Step(8_100, is_counted=False)], 9_000, 1 + 9 + 81),
    ],
)
def test_calls_are_pages_and_divisions(steps: list[Step], candidates: int, calls: int) -> None:
    """As far as is read; an empty part takes a call as well."""
    assert planner.calls_for(Survey(1, None, steps), candidates, INFO) == calls


def test_details_are_calls_too() -> None:
    """A page of 100 whose results take a request each: whole pages are read."""
    info = replace(INFO, calls_per_result=1)
    assert planner.calls_for(Survey(250, None, [Step(250)]), 120, info) == 2 + 200
    assert planner.calls_for(Survey(), 120, info) == 2 + 120


@pytest.mark.parametrize(
    ("calls", "limits", "seconds"),
    [
        (0, [RateLimit(1, 1)], 0),
        (1, [RateLimit(1, 1)], 0),
        (61, [RateLimit(1, 1)], 60),
        (20, [RateLimit(20, 60), RateLimit(200, 86_400)], 0),
        (41, [RateLimit(20, 60), RateLimit(200, 86_400)], 120),
        (201, [RateLimit(20, 60), RateLimit(200, 86_400)], 86_400),
        (30, [], 30),
    ],
)
def test_the_strictest_limit_says_how_long_it_takes(calls: int, limits: list[RateLimit], seconds: float) -> None:
    """The first calls of a span are sent at once."""
    assert planner.seconds_for(calls, limits) == seconds


def test_bytes_follow_the_side() -> None:
    """By pixels, and never more than an original."""
    assert planner.expected_bytes(10, None) == 30_000_000
    assert planner.expected_bytes(10, 256) == 245_760
    assert planner.expected_bytes(1, 50_000) == 3_000_000


def test_a_plan_shares_the_target_as_a_build_does() -> None:
    """What one source cannot give another one does; a keyword that stays short is named."""
    surveys = {
        ("cat", "dated"): Survey(5_000, 9_000, [Step(5_000, is_divided=True), Step(900), Step(4_100, is_counted=False)]),
        ("cat", "other"): Survey(10, None, [Step(10)]),
        ("owl", "dated"): Survey(4, 7, [Step(4)]),
        ("owl", "other"): Survey(problem="it gave none"),
    }
    limits = {"dated": INFO.limits, "other": ()}
    plan = make_plan(Quota(200, ["pet", "bird"]), ["cat", "owl"], surveys, {"dated": INFO, "other": OTHER}, limits, side_px=256)
    cat, cat_other, owl, owl_other = plan.searches
    assert (cat.label, cat.results, cat.allowed, cat.reachable, cat.calls) == ("pet", 9_000, 5_000, 5_000, 3)
    assert (cat_other.results, cat_other.allowed, cat_other.candidates, cat_other.calls) == (10, None, 10, 1)
    assert (owl.candidates, owl_other.candidates, owl_other.reachable) == (4, 113, None)
    assert cat.candidates + cat_other.candidates == 117
    assert (plan.target, plan.candidates, plan.reachable) == (200, 234, 5_014)
    assert plan.calls == sum(item.calls for item in plan.searches) == sum(item.calls for item in plan.sources)
    assert plan.size_bytes == planner.expected_bytes(234, 256)
    assert plan.in_the_way == ["other: it gave none"]
    assert plan.sources[0].limits == ("60/min",)
    assert plan.sources[1].notes == (
        "it cannot be asked by licence; what the licence gate leaves is known only when results come",
        "it declares no limit; reckoned with 1 s a call",
    )


def test_what_is_short_or_capped_is_in_the_way() -> None:
    """By keyword and by source."""
    flat = replace(INFO, is_divisible=False)
    surveys = {("cat", "dated"): Survey(5_000, None, [Step(5_000)]), ("owl", "dated"): Survey(3, None, [Step(3)])}
    plan = make_plan(Quota(50, ["cat", "owl"], per_label=25), ["cat", "owl"], surveys, {"dated": flat}, {"dated": ()})
    assert plan.in_the_way == ["owl: 25 wanted, 3 reachable"]
    assert "1 of 2 searches end before their last result, at 1000 each" in plan.sources[0].notes


def test_a_plan_without_a_source_is_empty() -> None:
    """Nothing can be asked, nothing is found."""
    plan = make_plan(Quota(5, ["cat"]), ["cat"], {}, {}, {})
    assert (plan.candidates, plan.calls, plan.seconds, plan.searches) == (0, 0, 0.0, [])
