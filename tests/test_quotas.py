"""Tests of app.quotas: fair shares of a target, and how many candidates are fetched for them."""

import random

import pytest

from app.quotas import Quota, Supply, candidates_to_fetch, default_total, fair_shares, is_met, plan_searches


@pytest.mark.parametrize(
    ("total", "limits", "expected"),
    [
        (10, [None] * 4, [3, 3, 2, 2]),
        (10, [None, 0, None, None], [4, 0, 3, 3]),
        (10, [1, None, 2, None], [1, 4, 2, 3]),
        (10, [1, 2, 3], [1, 2, 3]),
        (2, [None] * 4, [1, 1, 0, 0]),
        (10, [None], [10]),
        (10, [], []),
        (0, [None, 3], [0, 0]),
        (10_000_000, [None, 9_999_999], [5_000_000, 5_000_000]),
    ],
)
def test_what_one_cannot_take_the_others_fill(total: int, limits: list[int | None], expected: list[int]) -> None:
    """10 over four are 3, 3, 2, 2; the total is divided as far as the limits allow."""
    assert fair_shares(total, limits) == expected


@pytest.mark.parametrize(
    ("wanted", "valid", "tried", "in_flight", "expected"),
    [
        (1, 0, 0, 0, 2), (2, 0, 0, 0, 3), (3, 0, 0, 0, 5), (20, 0, 0, 0, 25), (100, 0, 0, 0, 117), (10_000, 0, 0, 0, 11_164),
        (20, 12, 25, 0, 21),  # about half came
        (20, 24, 25, 0, 0), (20, 20, 25, 0, 0),
        (1_000, 990, 1_000, 0, 11),  # nearly all came
        (3, 0, 1_000, 0, 55),  # none came: more than ten times the missing ones, but not without bound
        (20, 0, 0, 25, 0), (20, 5, 5, 16, 0),  # what is in flight is expected to do
        (20, 5, 10, 15, 4), (20, 10, 20, 10, 10),  # it cannot reach the target any more
        (20, 19, 40, 9, 0),
        (20, 0, 25, 0, 25), (20, 0, 50, 0, 50), (20, 0, 10, 15, 10),  # a run of failures is met by doubling
    ],
)  # fmt: skip
def test_the_margin_follows_the_yield(wanted: int, valid: int, tried: int, in_flight: int, expected: int) -> None:
    """A small margin at first; afterwards what the yield so far asks for."""
    assert candidates_to_fetch(wanted=wanted, valid=valid, tried=tried, in_flight=in_flight) == expected


@pytest.mark.parametrize(("tried", "fetched", "expected"), [(50, 0, 60), (50, 50, 16), (50, 60, 0)])
def test_fetched_images_are_no_failures(tried: int, fetched: int, expected: int) -> None:
    """Failures are known first: of 100 candidates 50 are gone and 50 not validated yet, and the yield is about a half, not none."""
    assert candidates_to_fetch(wanted=50, valid=0, tried=tried, fetched=fetched) == expected


@pytest.mark.parametrize(
    ("valid", "tried", "deferred", "expected"),
    [(0, 0, 25, 25), (0, 0, 50, 0), (0, 0, 35, 15), (15, 15, 5, 6), (13, 13, 25, 8), (0, 100, 100, 100), (20, 20, 5, 0)],
)
def test_others_are_fetched_in_place_of_deferred_ones(valid: int, tried: int, deferred: int, expected: int) -> None:
    """A closed host is not waited for; but as many as a round fetches, and no more, stand in for its images."""
    assert candidates_to_fetch(wanted=20, valid=valid, tried=tried, deferred=deferred) == expected


@pytest.mark.parametrize(
    ("supplies", "expected"),
    [
        ([Supply(valid=10, tried=10, in_flight=9, deferred=9)], True),
        ([Supply(valid=9, tried=9, fetched=9)], False),
        ([Supply(valid=9), Supply(valid=1)], False),
        ([Supply(valid=7, searches={"a": None}), Supply(valid=3, searches={"b": 0})], True),
        ([Supply(valid=7, searches={"a": None}), Supply(valid=3, deferred=1, searches={"b": 0})], False),
    ],
)
def test_a_target_is_met_when_each_keyword_has_its_share(supplies: list[Supply], expected: bool) -> None:
    """What a keyword may still give is its share; what it cannot give is a share of the others."""
    assert is_met(Quota(10), supplies) is expected


@pytest.mark.parametrize("share", [1.0, 0.9, 0.5, 0.2])
@pytest.mark.parametrize("wanted", [3, 20, 500])
def test_few_rounds_are_needed(wanted: int, share: float) -> None:
    """Whatever the yield, a few rounds reach the target, and together they fetch little more than it takes."""
    chance = random.Random(7)
    rounds, fetched = [], []
    for _ in range(50):
        valid = tried = made = 0
        while valid < wanted:
            more = candidates_to_fetch(wanted=wanted, valid=valid, tried=tried)
            valid, tried, made = valid + sum(chance.random() < share for _ in range(more)), tried + more, made + 1
        rounds.append(made)
        fetched.append(tried)
    assert sum(rounds) / 50 <= 5
    assert sum(fetched) / 50 <= 1.5 * wanted / share + 3


def test_keywords_share_the_target_and_searches_their_keyword() -> None:
    """Sources of one keyword share its candidates; a keyword without more gives what it has."""
    first = [Supply(searches={"cat": None}), Supply(searches={"dog a": None, "dog b": None})]
    assert plan_searches(Quota(10), first) == {"cat": 7, "dog a": 4, "dog b": 3}
    later = [Supply(valid=2, tried=7, searches={"cat": 1}), Supply(valid=6, tried=7, searches={"dog a": 0, "dog b": None})]
    assert plan_searches(Quota(10), later) == {"cat": 1, "dog b": 2}
    assert plan_searches(Quota(10), [Supply(valid=2, tried=9, searches={"cat": 0}), Supply(valid=8, tried=9, searches={"dog": None})]) == {}
    assert plan_searches(Quota(10), [Supply(valid=7, tried=7, searches={"cat": None}), Supply(valid=3, tried=7, searches={"dog": 0})]) == {}


def test_a_keyword_that_is_not_searched_yet_keeps_its_share() -> None:
    """Its synonyms are still being looked up, or its only search is open: the others do not take its place."""
    assert plan_searches(Quota(10), [Supply(searches={"cat": None}), Supply()]) == {"cat": 7}
    assert plan_searches(Quota(10), [Supply(valid=5, tried=5, searches={"cat": None}), Supply(in_flight=7)]) == {}


def test_a_keyword_that_lags_is_searched_although_another_has_more_than_its_share() -> None:
    """The surplus of one keyword replaces the other only where that has no more."""
    ahead = Supply(valid=7, tried=7, searches={"cat": None})
    assert plan_searches(Quota(10), [ahead, Supply(valid=3, tried=7, searches={"dog": None})]) == {"dog": 6}
    assert plan_searches(Quota(10), [ahead, Supply(valid=2, tried=7, searches={"dog": 0})]) == {"cat": 2}


DOGS = ("dog", "dog", "cat")


@pytest.mark.parametrize(
    ("quota", "limits", "expected"),
    [
        (Quota(90, DOGS), [None] * 3, [23, 22, 45]),  # labels are fair, and the keywords of a label
        (Quota(90, DOGS), [5, None, 10], [5, 75, 10]),
        (Quota(90, DOGS), [5, 4, None], [5, 4, 81]),
        (Quota(90, DOGS, [None, None, 10]), [None] * 3, [40, 40, 10]),  # a number of its own is a target of its own
        (Quota(90, DOGS, [60, None, None]), [None] * 3, [60, 15, 15]),
        (Quota(90, DOGS, [60, None, None]), [20, None, None], [20, 35, 35]),  # what it cannot give, those without a number may
        (Quota(90, DOGS, [60, 30, None]), [None] * 3, [60, 30, 0]),
        (Quota(90, DOGS, [10, 10, 10]), [None] * 3, [10, 10, 10]),
        (Quota(100, DOGS, per_label=50), [None] * 3, [25, 25, 50]),
        (Quota(100, DOGS, per_label=50), [5, None, 7], [5, 45, 7]),  # no label takes the place of another
        (Quota(60, DOGS, per_label=50), [None] * 3, [15, 15, 30]),  # the total is the total
        (Quota(100, DOGS, [30, None, None], 50), [None] * 3, [30, 20, 50]),
        (Quota(170, DOGS, [80, None, None], 50), [None] * 3, [80, 0, 50]),
        (Quota(5), [None], [5]),
        (Quota(5, [], [], 2), [None, None], [2, 2]),
    ],
)
def test_labels_share_a_quota_and_keywords_their_label(quota: Quota, limits: list[int | None], expected: list[int]) -> None:
    """Own numbers first, then labels evenly up to the number of each, then the keywords of a label."""
    assert quota.shares(limits) == expected


@pytest.mark.parametrize(
    ("numbers", "per_label", "total"),
    [
        ([None, None, None], None, 100),
        ([30, None, None], None, 130),
        ([30, 20, 10], None, 60),
        ([None, None, None], 50, 100),
        ([30, None, None], 50, 100),
        ([80, None, None], 50, 130),
        ([80, 20, None], 50, 150),
    ],
)
def test_a_total_that_nobody_names_follows_from_the_numbers(numbers: list[int | None], per_label: int | None, total: int) -> None:
    """Own numbers, so many of each label, or a hundred; of more than a hundred keywords one each."""
    assert default_total(DOGS, numbers, per_label) == total
    assert default_total(["x"] * 300, [None] * 300, None) == 300


@pytest.mark.parametrize("seed", range(30))
def test_shares_exceed_nothing(seed: int) -> None:
    """Neither the total, nor a limit, an own number, or the number of a label that its keywords' own do not exceed."""
    chance = random.Random(seed)
    size = chance.randint(1, 12)
    labels = [chance.choice("abcd") for _ in range(size)]
    numbers = [chance.choice([None, None, chance.randint(1, 40)]) for _ in range(size)]
    limits = [chance.choice([None, chance.randint(0, 60)]) for _ in range(size)]
    own = sum(number or 0 for number in numbers)
    quota = Quota(own + chance.randint(0, 200), labels, numbers, chance.choice([None, 30]))
    shares = quota.shares(limits)
    assert sum(shares) <= quota.total
    assert all(limit is None or share <= limit for share, limit in zip(shares, limits, strict=True))
    assert all(number is None or share <= number for share, number in zip(shares, numbers, strict=True))
    for label in set(labels):
        taken = sum(share for share, own_label in zip(shares, labels, strict=True) if own_label == label)
        fixed = sum(number or 0 for number, own_label in zip(numbers, labels, strict=True) if own_label == label)
        assert quota.per_label is None or taken <= max(quota.per_label, fixed)
