"""Splits are seeded, leak-free and as exact as groups allow."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.images.splits import assign, assign_all
from errors import ConfigurationError

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def test_assign_is_stable() -> None:
    """The same on every machine and in every version: a change here moves images between published splits."""
    assert "".join(assign(f"{i}", SHARES, 0)[1] for i in range(20)) == "rarrrrrrrrrrrrrerrrr"


def test_assign_follows_shares_of_any_scale() -> None:
    """8:1:1 is 80, 10 and 10 per cent; the order of the shares makes no difference."""
    counts = Counter(assign(str(i), {"test": 1, "val": 1, "train": 8}, 3) for i in range(20_000))
    assert counts["train"] == pytest.approx(16_000, abs=300)
    assert counts["val"] == pytest.approx(2_000, abs=200)
    assert assign("a", {"b": 1, "a": 1}, 0) == assign("a", {"a": 1, "b": 1}, 0)


def test_assign_changes_with_the_seed_only() -> None:
    """Another seed is another assignment."""
    assert [assign(str(i), SHARES, 1) for i in range(50)] != [assign(str(i), SHARES, 2) for i in range(50)]


def test_assign_has_an_answer_where_shares_round_below_one() -> None:
    """Ten shares of 0.1 sum to a little less than 1; the last split takes the rest."""
    names = [f"fold{i}" for i in range(10)]
    assert {assign(str(i), dict.fromkeys(names, 0.1), 0) for i in range(500)} == set(names)


def test_an_empty_split_stays_empty() -> None:
    """A share of 0 gets nothing, in either way of assigning."""
    shares = {"train": 1.0, "val": 0.0}
    assert {assign(str(i), shares, 0) for i in range(100)} == {"train"}
    assert set(assign_all([("cat", str(i)) for i in range(100)], shares, 0)) == {"train"}


@pytest.mark.parametrize("shares", [{}, {"train": 0.0}, {"train": 1.0, "val": -0.1}, {"train": float("nan")}, {"train": float("inf")}])
def test_senseless_shares_are_refused(shares: dict[str, float]) -> None:
    """At least one above 0, none below, all numbers."""
    with pytest.raises(ConfigurationError):
        assign("a", shares, 0)
    with pytest.raises(ConfigurationError):
        assign_all([], shares, 0)


def test_single_images_are_split_exactly() -> None:
    """Where each image is its own group and the shares come out even, every label gets them to the image."""
    items = [(label, f"{label}{i}") for label in ("cat", "dog", "owl") for i in range(100)]
    counts = Counter(zip((label for label, _ in items), assign_all(items, SHARES, 0), strict=True))
    assert all(counts[label, split] == 100 * share for label in ("cat", "dog", "owl") for split, share in SHARES.items())


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(0, 5))
def test_single_images_are_rounded_up_or_down(sizes: list[int], seed: int) -> None:
    """Shares that don't come out even are off by less than one image, in every label."""
    items = [(f"label{n}", f"{n}/{i}") for n, size in enumerate(sizes) for i in range(size)]
    counts = Counter(zip((label for label, _ in items), assign_all(items, SHARES, seed), strict=True))
    for n, size in enumerate(sizes):
        for split, share in SHARES.items():
            assert abs(counts[f"label{n}", split] - size * share) < 1


def test_roundings_even_out_over_labels() -> None:
    """300 labels of three images: no label alone can have 10 per cent, but all of them together have."""
    items = [(f"label{n}", f"{n}/{i}") for n in range(300) for i in range(3)]
    counts = Counter(assign_all(items, SHARES, 0))
    assert counts["val"] == pytest.approx(90, abs=5)
    assert counts["test"] == pytest.approx(90, abs=5)


_ITEMS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9).map(str)), max_size=60)


@given(_ITEMS, st.integers(0, 3), st.randoms(use_true_random=False))
def test_a_group_is_never_divided_and_order_makes_no_difference(items: list[tuple[str, str]], seed: int, rng: random.Random) -> None:
    """Groups may hold several labels, and still lie in one split."""
    chosen = dict(zip(items, assign_all(items, SHARES, seed), strict=True))
    assert len({(group, split) for (_, group), split in chosen.items()}) == len({group for _, group in items})
    shuffled = rng.sample(items, len(items))
    assert assign_all(shuffled, SHARES, seed) == [chosen[item] for item in shuffled]


def test_large_groups_go_where_they_fit() -> None:
    """An album of 60 of 100 goes to train, and the small groups fill the rest exactly."""
    items = [("cat", "album")] * 60 + [("cat", str(i)) for i in range(40)]
    splits = assign_all(items, SHARES, 0)
    assert splits[0] == "train"
    assert Counter(splits) == {"train": 80, "val": 10, "test": 10}


def test_a_group_larger_than_every_share_goes_where_most_is_lacking() -> None:
    """No split has room for it; train lacks most."""
    assert set(assign_all([("cat", "all")] * 10, SHARES, 0)) == {"train"}


def test_the_seed_changes_who_goes_where() -> None:
    """Not how many."""
    items = [("cat", str(i)) for i in range(100)]
    one, two = assign_all(items, SHARES, 1), assign_all(items, SHARES, 2)
    assert one != two
    assert Counter(one) == Counter(two)


def test_where_there_is_one_split_it_is_everyones() -> None:
    """Nothing is to decide, whatever shares of nothing stand beside it; a share that makes no sense is still refused."""
    items = [("", str(number)) for number in range(5)]
    assert assign_all(items, {"train": 1.0}, 0) == ["train"] * 5
    assert assign_all(items, {"test": 0.3, "train": 0}, 0) == ["test"] * 5
    assert sorted(assign_all(items, {"train": 0.6, "test": 0.4}, 0)) == ["test"] * 2 + ["train"] * 3
    with pytest.raises(ConfigurationError):
        assign_all(items, {"train": -1.0}, 0)
