"""Tests of app.report.sampling: a fair, bounded and repeatable choice of pictures."""

import random

import pytest

from app.report.sampling import LEAST_OF_LABEL, MOST_OF_LABEL, SHEET_PICTURES, Sample, divide, of_each_label


def test_a_sample_holds_the_smallest_keys_in_any_order_of_adding() -> None:
    """The same images give the same pictures, whatever the order of their rows."""
    keys = [f"{number:04}" for number in range(1_000)]
    for seed in (1, 2):
        sample: Sample[int] = Sample(7)
        for key in random.Random(seed).sample(keys, len(keys)):
            sample.add(key, int(key))
        assert sample.items() == [0, 1, 2, 3, 4, 5, 6]
        assert sample.items(2) == [0, 1]


def test_a_sample_of_few_items_holds_all() -> None:
    """And none is an empty list."""
    sample: Sample[str] = Sample(5)
    assert sample.items() == []
    sample.add("b", "two")
    sample.add("a", "one")
    assert sample.items() == ["one", "two"]


@pytest.mark.parametrize("labels", [0, 1, 2, 5, 10, 60, 150, 151, 1_000, 100_000])
def test_all_sheets_together_have_a_bounded_number_of_pictures(labels: int) -> None:
    """However many labels there are; each sheet has enough to see something."""
    shown, each = of_each_label(labels)
    assert shown * each <= SHEET_PICTURES
    assert LEAST_OF_LABEL <= each <= MOST_OF_LABEL
    assert shown == labels or shown * each > SHEET_PICTURES - each


def test_room_is_divided_by_size_and_everybody_gets_a_place() -> None:
    """A small split is seen as well; the rest is in proportion."""
    assert divide(60, {"train": 963, "val": 120, "test": 121}) == {"train": 48, "val": 6, "test": 6}
    assert divide(10, {"train": 10_000, "val": 1}) == {"train": 9, "val": 1}
    assert divide(2, {"a": 5, "b": 9, "c": 7}) == {"a": 0, "b": 1, "c": 1}


def test_room_for_all_shows_all() -> None:
    """Nothing is divided, and no group gets more places than it has images."""
    assert divide(100, {"a": 3, "b": 5}) == {"a": 3, "b": 5}
    assert divide(7, {"a": 3, "b": 5}) == {"a": 3, "b": 4}
