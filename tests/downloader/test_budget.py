"""The retry budget: a share of the first attempts, with a floor, over ten minutes."""

from downloader.budget import RetryBudget

T = 1_700_000_000.0


def spend_all(budget, now):
    spent = 0
    while budget.spend(now):
        spent += 1
    return spent


def test_retries_are_a_share_of_the_first_attempts():
    """1,000 first attempts allow 100, not a hundred more than the floor."""
    budget = RetryBudget(0.1, 50)
    for _ in range(1000):
        budget.count_first(T)
    assert spend_all(budget, T) == 100


def test_a_floor_holds_where_there_are_few():
    """A handful of URLs may all be retried."""
    budget = RetryBudget(0.1, 5)
    budget.count_first(T)
    assert spend_all(budget, T) == 5


def test_zero_allows_none():
    """Both may be set to zero."""
    assert not RetryBudget(0.0, 0).spend(T)


def test_what_is_old_does_not_count():
    """Ten minutes later the floor is free again, and first attempts of long ago give nothing."""
    budget = RetryBudget(0.1, 5)
    for minute in range(3):
        for _ in range(100):
            budget.count_first(T + 60 * minute)
    assert spend_all(budget, T + 180) == 30
    assert spend_all(budget, T + 900) == 5
