"""Notation of limits, headers that tell of them, and when a request may be sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.discovery.sources import rate_limits
from app.discovery.sources.rate_limits import RateLimit, Slot, Told

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("rate", "limit"),
    [
        ("20/min", RateLimit(20, 60)),
        ("200/day", RateLimit(200, 86_400)),
        ("5/hour", RateLimit(5, 3_600)),
        ("1/s", RateLimit(1, 1)),
        (" 100 / m ", RateLimit(100, 60)),
        ("0/min", None),
        ("20", None),
        ("20/week", None),
        ("x/min", None),
        ("20/min/1", None),
    ],
)
def test_parse(rate: str, limit: RateLimit | None) -> None:
    """A number and a span of time; nothing else."""
    assert rate_limits.parse(rate) == limit


def test_a_limit_in_short_and_in_words() -> None:
    """The short form is what `parse` reads."""
    limits = [RateLimit(20, 60), RateLimit(200, 86_400), RateLimit(1, 3_600), RateLimit(1, 1), RateLimit(3, 10)]
    assert [str(limit) for limit in limits] == ["20/min", "200/day", "1/hour", "1/s", "3/10 s"]
    words = ["20 requests a minute", "200 requests a day", "1 request an hour", "1 request a second", "3 requests in 10 s"]
    assert [rate_limits.in_words(limit) for limit in limits] == words
    assert [rate_limits.parse(str(limit)) for limit in limits[:4]] == limits[:4]


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, ()),
        ({"X-RateLimit-Remaining": "7"}, (Told(7),)),
        ({"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "12"}, (Told(12),)),
        ({"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}, (Told(0, None, 30.0),)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{NOW + 90:.0f}"}, (Told(0, None, 90.0),)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{(NOW + 90) * 1000:.0f}"}, (Told(0, None, 90.0),)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{NOW - 90:.0f}"}, (Told(0, None, 0.0),)),
        ({"X-Rate-Limit-Remaining": "3", "X-Rate-Limit-Limit": "20/min"}, (Told(3, RateLimit(20, 60)),)),
        (
            {"X-RateLimit-Limit": "1, 15000", "X-RateLimit-Remaining": "1, 1523", "X-RateLimit-Reset": "1, 1419704"},
            (Told(1, None, 1.0), Told(1523, None, 1_419_704.0)),
        ),
        (
            {
                "X-RateLimit-Limit-anon_burst": "20/min",
                "X-RateLimit-Available-anon_burst": "19",
                "X-RateLimit-Limit-anon_sustained": "200/day",
                "X-RateLimit-Available-anon_sustained": "0",
            },
            (Told(19, RateLimit(20, 60)), Told(0, RateLimit(200, 86_400))),
        ),
        ({"RateLimit-Limit": "100;w=60", "RateLimit-Remaining": "50", "RateLimit-Reset": "30"}, (Told(50, RateLimit(100, 60), 30.0),)),
        ({"RateLimit": '"default";r=50;t=30'}, (Told(50, None, 30.0),)),
        (
            {"RateLimit": '"burst";r=5, "daily";r=0;t=900', "RateLimit-Policy": '"burst";q=100;w=60,"daily";q=1000;w=86400'},
            (Told(5, RateLimit(100, 60)), Told(0, RateLimit(1000, 86_400), 900.0)),
        ),
        ({"X-RateLimit-Remaining": "many", "X-RateLimit-Available-x": "-1", "RateLimit": "nonsense;;;"}, ()),
        ({"X-RateLimit-Remaining": "9" * 40, "RateLimit-Remaining": "٣"}, ()),
        ({"X-RateLimit-Remaining": "1.5"}, (Told(1),)),
    ],
)
def test_read_headers(headers: dict[str, str], told: tuple[Told, ...]) -> None:
    """Each way to tell of limits; what is none of them tells nothing."""
    assert rate_limits.read_headers(headers, now=NOW) == told


@given(st.dictionaries(st.sampled_from(["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit"]), st.text()))
def test_read_headers_takes_anything(headers: dict[str, str]) -> None:
    """Headers are foreign text."""
    for told in rate_limits.read_headers(headers, now=NOW):
        assert told.remaining >= 0


def test_what_is_told_takes_the_place_of_what_is_declared() -> None:
    """For the same span of time; other limits stay."""
    declared, told = [RateLimit(20, 60), RateLimit(200, 86_400)], [RateLimit(100, 60), RateLimit(5, 3_600)]
    assert rate_limits.merge(declared, told) == (RateLimit(100, 60), RateLimit(200, 86_400), RateLimit(5, 3_600))


def test_next_slot_when_nothing_limits_it() -> None:
    """Now, but never before an earlier request, nor before the source is open again."""
    limits = [RateLimit(2, 60)]
    assert rate_limits.next_slot(NOW, 1, limits, {}) == Slot(NOW)
    assert rate_limits.next_slot(NOW, 2, limits, {1: NOW + 5}) == Slot(NOW + 5)
    assert rate_limits.next_slot(NOW, 3, limits, {2: NOW - 1, 1: NOW - 60}) == Slot(NOW)
    assert rate_limits.next_slot(NOW, 1, limits, {}, [Slot(0.0), Slot(NOW + 9)]) == Slot(NOW + 9)


def test_next_slot_when_a_limit_is_used_up() -> None:
    """The limit that takes longest decides."""
    limits = [RateLimit(2, 60), RateLimit(3, 3_600)]
    assert rate_limits.next_slot(NOW, 4, limits, {3: NOW - 1, 2: NOW - 10, 1: NOW - 20}) == Slot(NOW - 20 + 3_600, limits[1])
    assert rate_limits.next_slot(NOW, 3, limits, {2: NOW - 1, 1: NOW - 20}) == Slot(NOW + 40, limits[0])


@given(
    st.lists(st.floats(0, 30), max_size=60),
    st.lists(st.tuples(st.integers(1, 8), st.sampled_from([1, 10, 60])), min_size=1, max_size=3),
)
def test_no_span_of_time_has_more_requests_than_a_limit_allows(gaps: list[float], pairs: list[tuple[int, int]]) -> None:
    """However requests arrive, and wherever a span begins."""
    limits = [RateLimit(*pair) for pair in pairs]
    now, sent = NOW, {}
    for number, gap in enumerate(gaps, 1):
        now += gap
        sent[number] = rate_limits.next_slot(now, number, limits, sent).at
    times = list(sent.values())
    assert times == sorted(times)
    for limit in limits:
        for first, after in zip(times, times[limit.requests :], strict=False):
            assert after - first >= limit.seconds - 1e-6
