"""Cutting searches."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.discovery.sources.slicing import Scale, groups, slices_for

SCALE = Scale((0, 10, 20, 40, 80, 1_000))


@pytest.mark.parametrize(("total", "expected"), [(1, 2), (241, 2), (1_000, 7), (10**15, 20)])
def test_slices_for_when_total_is_deep(total: int, expected: int) -> None:
    """Slices leave room, since shares are estimates, and are never more than 20 at once."""
    assert slices_for(total, 240) == expected


def test_groups_when_shares_differ() -> None:
    """Sums are nearly equal, every value is in one group, and a group keeps the order given."""
    assert groups({"a": 6, "b": 1, "c": 3, "d": 2}, 2) == [("a",), ("b", "c", "d")]
    assert groups({"a": 6, "b": 1}, 9) == [("a",), ("b",)]


@given(low=st.none() | st.integers(0, 5_000), width=st.none() | st.integers(1, 5_000), number=st.integers(2, 40))
def test_cut_when_any_range(low: int | None, width: int | None, number: int) -> None:
    """The ranges follow each other without a gap, from the range's beginning to its end, none empty."""
    high = None if width is None else (low or 0) + width
    ranges = SCALE.cut(low, high, number)
    if not ranges:
        assert width == 1
        return
    assert ranges[0][0] == low
    assert ranges[-1][1] == high
    assert all(one[1] == other[0] for one, other in itertools.pairwise(ranges))
    assert all((start or 0) < end for start, end in ranges if end is not None)
    assert 2 <= len(ranges) <= number


def test_cut_when_images_are_spread_as_the_scale_says() -> None:
    """Each range has the same share; after the last point the scale goes on."""
    assert SCALE.cut(None, None, 5) == [(None, 10), (10, 20), (20, 40), (40, 80), (80, None)]
    assert SCALE.cut(5_000, None, 2) == [(5_000, 5_460), (5_460, None)]
    assert SCALE.cut(7, 8, 2) == []
