"""Tests of app.jobs.fairness: whose turn it is, and who gives way."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.db.outbox import JobDemand, QueueShare
from app.jobs.fairness import PATIENCE_S, TURN_S, Holding, allocate_turns, should_preempt


def counts(*claimants: JobDemand, busy: dict[str, int] | None = None, room: int, newcomers: int = 0) -> dict[str, int]:
    """How many turns each job gets."""
    return dict(Counter(turn.job_id for turn in allocate_turns(claimants, busy or {}, room, newcomers=newcomers)))


def test_users_get_the_same_however_many_jobs_they_have() -> None:
    """Three jobs of one user share what one job of another has alone."""
    jobs = [JobDemand(f"a{number}", "a", since=number) for number in range(3)]
    assert counts(*jobs, JobDemand("b", "b"), room=12) == {"a0": 2, "a1": 2, "a2": 2, "b": 6}


def test_what_is_under_way_counts() -> None:
    """A user who holds the whole window gets nothing before the other has as much; the same goes for the jobs of one user."""
    assert counts(JobDemand("a", "a", under_way=6), JobDemand("b", "b"), busy={"a": 6}, room=6) == {"b": 6}
    assert counts(JobDemand("a1", "a", under_way=6), JobDemand("a2", "a"), busy={"a": 6}, room=8) == {"a1": 1, "a2": 7}


def test_priority_orders_a_users_own_jobs_only() -> None:
    """Nobody gets more by calling everything urgent."""
    eager = [JobDemand("a1", "a", priority=100), JobDemand("a2", "a", priority=1)]
    assert counts(*eager, JobDemand("b", "b", priority=-100), room=10) == {"a1": 5, "b": 5}


def test_of_equals_the_older_goes_first() -> None:
    """The order is the one in which jobs were made, and ranks count each user's units."""
    taken = allocate_turns([JobDemand("young", "y", since=2.0), JobDemand("old", "o", since=1.0)], {}, 4)
    assert [(turn.job_id, turn.rank) for turn in taken] == [("old", 0), ("young", 0), ("old", 1), ("young", 1)]


def test_a_full_window_lets_newcomers_in() -> None:
    """One unit for each user with nothing under way, up to so many users; others wait for room."""
    waiting = [JobDemand(user, user) for user in "abc"]
    assert counts(*waiting, busy={"a": 1}, room=-3, newcomers=8) == {"b": 1, "c": 1}
    assert counts(*waiting, room=0, newcomers=2) == {"a": 1, "b": 1}
    assert counts(*waiting, room=0) == {}
    assert counts(room=5, newcomers=5) == {}


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-100, 100), st.integers(0, 20)), max_size=12),
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 20)),
    st.integers(-10, 60),
)
def test_no_user_gets_two_more_than_another_who_wants_more(jobs: list[tuple[str, int, int]], busy: dict[str, int], room: int) -> None:
    """Max-min fairness: whoever got a turn had no more under way before it than any other who waits has in the end."""
    claimants = [JobDemand(f"job{number}", user, priority, under_way) for number, (user, priority, under_way) in enumerate(jobs)]
    owner = {claimant.job_id: claimant.user_id for claimant in claimants}
    taken = allocate_turns(claimants, busy, room)
    assert len(taken) == (max(room, 0) if claimants else 0)
    total = Counter(busy) + Counter(owner[turn.job_id] for turn in taken)
    for turn in taken:
        assert turn.rank <= min(total[user] for user in set(owner.values()))


SHARES = [QueueShare("big", 3, 5.0), QueueShare("small", 1, 0.0), QueueShare("late", 0, PATIENCE_S)]


def test_of_the_user_with_most_the_longest_running_unit_gives_way() -> None:
    """One unit, for whoever waits and has none."""
    mine = [Holding("u1", "big", 3.0), Holding("u2", "big", 9.0), Holding("u3", "small", 20.0)]
    assert should_preempt(SHARES, mine) == "u2"


@pytest.mark.parametrize(
    ("shares", "holdings"),
    [
        pytest.param([QueueShare("big", 3, 5.0)], [Holding("u1", "big", 99.0)], id="nobody else waits"),
        pytest.param([QueueShare("big", 3, 0.0), QueueShare("late", 0, PATIENCE_S / 2)], [Holding("u1", "big", 9.0)], id="not for long"),
        pytest.param([QueueShare("big", 3, 0.0), QueueShare("late", 1, 60.0)], [Holding("u1", "big", 9.0)], id="who waits has one running"),
        pytest.param([QueueShare("small", 1, 0.0), QueueShare("late", 0, 60.0)], [Holding("u1", "small", TURN_S - 1)], id="only one each"),
        pytest.param(SHARES, [], id="this worker holds none that can"),
    ],
)
def test_nobody_gives_way_without_need(shares: list[QueueShare], holdings: list[Holding]) -> None:
    """A turn is not cut short for nothing."""
    assert should_preempt(shares, holdings) is None


def test_an_only_unit_gives_way_after_its_turn() -> None:
    """Where every user holds one slot, the newcomer gets the one that was held the longest, once that is long."""
    shares = [QueueShare("one", 1, 0.0), QueueShare("two", 1, 0.0), QueueShare("late", 0, 60.0)]
    assert should_preempt(shares, [Holding("u1", "one", TURN_S), Holding("u2", "two", TURN_S + 5)]) == "u2"
