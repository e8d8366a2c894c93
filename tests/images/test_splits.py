"""Splits are seeded, leak-free, and stay when a list grows."""

import random
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.images.splits import assign, assign_all, preferred
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


def keys(count: int, labels: int = 1, start: int = 0) -> list[tuple[str, str]]:
    """Single images, each its own group."""
    return [(f"label{i % labels}", f"{i:x}") for i in range(start, start + count)]


@pytest.mark.parametrize("seed", range(5))
def test_a_list_that_grows_moves_nothing(seed: int) -> None:
    """Wherever it is built: 40 images more, before and after the others, and the 200 stay where they are."""
    before, more = keys(200, 4), keys(40, 4, start=1000)
    first = assign_all(before, SHARES, seed)
    assert assign_all([*more, *before], SHARES, seed)[40:] == first
    assert assign_all([*before, *more], SHARES, seed)[:200] == first


def test_shares_are_met_on_average() -> None:
    """Within what a hash allows: twice the root of the images that a split should have, in nearly every build."""
    sizes = [Counter(assign_all(keys(200), SHARES, seed))["test"] for seed in range(100)]
    assert sum(sizes) / 100 == pytest.approx(20, abs=1.5)
    assert sum(abs(size - 20) <= 2 * 20**0.5 for size in sizes) >= 93
    large = Counter(assign_all(keys(20_000), SHARES, 0))
    assert large["train"] == pytest.approx(16_000, abs=300)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(0, 5))
@example([1, 2], 1)  # three images, and the label of two is to be in train: the other one goes
@example([1, 1, 1, 2], 0)
def test_no_split_and_no_label_in_a_split_is_empty(sizes: list[int], seed: int) -> None:
    """Where a label's share is an image or more, it is there, unless other labels took all that could move; no split is empty or half."""
    items = [(f"label{n}", f"{n}/{i}") for n, size in enumerate(sizes) for i in range(size)]
    chosen = assign_all(items, SHARES, seed)
    counts = Counter(zip((label for label, _ in items), chosen, strict=True))
    for n, size in enumerate(sizes):
        assert all(counts[f"label{n}", split] for split, share in SHARES.items() if size * share >= 1)
    if len(items) >= 3:
        totals = Counter(chosen)
        assert all(totals[split] >= max(1, int(share * len(items) / 2)) for split, share in SHARES.items())


def test_a_group_keeps_the_split_that_it_had() -> None:
    """Whatever its hash says, however large it is, and however empty the others are; a split without a share now is not kept."""
    items = [("cat", "album")] * 60 + keys(40)
    before = {group: "test" for _, group in items} | {"0": "gone"}
    chosen = dict(zip((group for _, group in items), assign_all(items, SHARES, 0, before), strict=True))
    assert {group for group, split in chosen.items() if split != "test"} <= {"0"}
    assert assign_all(items, SHARES, 0, {"of another list": "test"}) == assign_all(items, SHARES, 0)


def test_only_new_groups_fill_an_empty_split() -> None:
    """An image that was in train is not moved into test."""
    old, new = keys(95), keys(10, start=100)
    before = {group: "train" for _, group in old}
    chosen = assign_all([*old, *new], SHARES, 0, before)
    assert chosen[:95] == ["train"] * 95
    assert Counter(chosen[95:]) == {"val": 5, "test": 5}


@pytest.mark.parametrize(
    ("had", "kept"),
    [
        ({"train", "test"}, "train"),
        ({"val", "train"}, "train"),
        ({"val", "test"}, "val"),
        ({"test"}, "test"),
        ({"gone", "test"}, "test"),
        ({"gone"}, None),
        ({"zero"}, None),
        (set(), None),
    ],
)
def test_of_several_splits_train_comes_first_and_test_last(had: set[str], kept: str | None) -> None:
    """Clusters that merge: what was trained on is not tested on."""
    assert preferred(had, SHARES | {"zero": 0.0}) == kept


def test_between_other_splits_the_larger_share_comes_first() -> None:
    """Then the name."""
    assert preferred({"a", "b"}, {"a": 0.2, "b": 0.8}) == "b"
    assert preferred({"a", "b"}, {"a": 0.5, "b": 0.5}) == "a"


_ITEMS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9).map(str)), max_size=60)


@given(_ITEMS, st.integers(0, 3), st.randoms(use_true_random=False))
def test_a_group_is_never_divided_and_order_makes_no_difference(items: list[tuple[str, str]], seed: int, rng: random.Random) -> None:
    """Groups may hold several labels, and still lie in one split."""
    chosen = dict(zip(items, assign_all(items, SHARES, seed), strict=True))
    assert len({(group, split) for (_, group), split in chosen.items()}) == len({group for _, group in items})
    shuffled = rng.sample(items, len(items))
    assert assign_all(shuffled, SHARES, seed) == [chosen[item] for item in shuffled]


@pytest.mark.parametrize("seed", range(5))
def test_large_groups_go_where_they_fit(seed: int) -> None:
    """An album of 60 of 100 goes to train, whatever its hash says; as soon as it fits, the hash decides."""
    assert assign_all([("cat", "album")] * 60 + keys(40), SHARES, seed)[0] == "train"
    assert assign_all([("cat", "album")] * 60 + keys(600), SHARES, seed)[0] == assign("album", SHARES, seed)


def test_a_group_larger_than_every_share_goes_to_the_largest() -> None:
    """No split has room for it."""
    assert set(assign_all([("cat", "all")] * 10, SHARES, 0)) == {"train"}


def test_the_seed_changes_who_goes_where() -> None:
    """Another seed is another division."""
    assert assign_all(keys(100), SHARES, 1) != assign_all(keys(100), SHARES, 2)


def test_where_there_is_one_split_it_is_everyones() -> None:
    """Nothing is to decide, whatever shares of nothing stand beside it; a share that makes no sense is still refused."""
    items = [("", str(number)) for number in range(5)]
    assert assign_all(items, {"train": 1.0}, 0) == ["train"] * 5
    assert assign_all(items, {"test": 0.3, "train": 0}, 0) == ["test"] * 5
    assert set(assign_all(items, {"train": 0.6, "test": 0.4}, 0)) == {"test", "train"}
    with pytest.raises(ConfigurationError):
        assign_all(items, {"train": -1.0}, 0)
