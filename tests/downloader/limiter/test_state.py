"""The state of a host: what it grants to whom, and how it travels."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downloader.limiter.concurrency_window import ROTATION_S
from downloader.limiter.state import GrantRequest, HostLimits, HostState
from errors import Reason

T = 1_700_000_000.0
TWO = HostLimits(2)


def test_alone_a_worker_gets_all_places():
    """And keeps them until another one comes."""
    state = HostState()
    assert state.grant(GrantRequest("a", 0, 1), TWO, T).slots == 2
    assert not state.grant(GrantRequest("a", 0, 1), TWO, T).is_shared


def test_what_one_holds_the_other_waits_for():
    """The newcomer gets nothing until the first has given up a place, then its fair share."""
    state = HostState()
    state.grant(GrantRequest("a", 2, 5), TWO, T)
    assert state.grant(GrantRequest("b", 0, 5), TWO, T).slots == 0
    assert state.grant(GrantRequest("a", 2, 5), TWO, T).slots == 2, "both requests are under way"
    assert state.grant(GrantRequest("a", 1, 5), TWO, T).slots == 1
    assert state.grant(GrantRequest("b", 0, 5), TWO, T).slots == 1


def test_a_worker_that_falls_silent_is_forgotten():
    """After five seconds its places are others'."""
    state = HostState()
    state.grant(GrantRequest("a", 2, 5), TWO, T)
    assert state.grant(GrantRequest("b", 0, 5), TWO, T + 4.9).slots == 0
    assert state.grant(GrantRequest("b", 0, 5), TWO, T + 5.1).slots == 2


def test_a_worker_without_work_gives_its_places_back():
    """Nothing in flight, nothing waiting: nothing held."""
    state = HostState()
    state.grant(GrantRequest("a", 0, 2), TWO, T)
    assert state.grant(GrantRequest("a", 0, 0), TWO, T).slots == 0
    assert state.grant(GrantRequest("b", 0, 1), TWO, T).slots == 2


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_never_more_in_flight_than_places(workers, places, seed):
    """Whoever asks when, sends what it is granted and finishes when it likes: the host never has more than its places."""
    dice, state, limits, now = random.Random(seed), HostState(), HostLimits(places), T
    in_flight, granted, served = dict.fromkeys(range(workers), 0), dict.fromkeys(range(workers), 0), dict.fromkeys(range(workers), 0)
    for step in range(600):
        now += dice.random() / 5
        worker = step % workers if dice.random() < 0.7 else dice.randrange(workers)
        if in_flight[worker] and dice.random() < 0.5:
            in_flight[worker] -= 1
        granted[worker] = state.grant(GrantRequest(f"w{worker}", in_flight[worker], 3), limits, now).slots
        while in_flight[worker] < granted[worker]:
            in_flight[worker] += 1
            served[worker] += 1
        assert sum(in_flight.values()) <= places
        if dice.random() < 0.1:
            state.on_timeout(limits, now, started_at=now)
            limit_now = state.window.limit(limits.max_in_flight)
            assert 1 <= limit_now <= places
    assert all(served.values()), "everybody had a turn"


def test_places_that_do_not_divide_go_round():
    """One place, two workers: each has it for a turn, then lets the other."""
    state, holders = HostState(), []
    now = T
    for _ in range(40):
        for worker in "ab":
            if state.grant(GrantRequest(worker, 0, 1), HostLimits(1), now).slots:
                holders.append((now, worker))
        now += ROTATION_S / 4
    assert {worker for _, worker in holders} == {"a", "b"}


def test_starts_are_given_only_where_something_may_go():
    """Not to a closed host, not beyond the places, not to a host that is away."""
    state = HostState()
    assert len(state.grant(GrantRequest("", 0, 5, 5), TWO, T).starts) == 2
    assert state.grant(GrantRequest("", 2, 5, 5), TWO, T).starts == ()
    state.block_until(T + 5, Reason.SERVICE_UNAVAILABLE)
    state.block_until(T + 1, Reason.RATE_LIMITED)
    grant = state.grant(GrantRequest("", 0, 5, 5), TWO, T)
    assert (grant.starts, grant.not_before, grant.reason) == ((), T + 5, Reason.SERVICE_UNAVAILABLE)
    for _ in range(5):
        state.breaker.on_connect_error(T)
    grant = state.grant(GrantRequest("", 0, 5, 5), TWO, T)
    assert (grant.starts, grant.breaker_open_until, grant.reason) == ((), T + 30, Reason.HOST_UNAVAILABLE)
    probe = state.grant(GrantRequest("", 0, 5, 5), TWO, T + 30)
    assert (probe.is_probe, len(probe.starts)) == (True, 1)


def test_a_start_too_far_off_counts_as_closed():
    """One request a minute: nobody waits for that in place, and nothing is reserved in vain."""
    state, slow = HostState(), HostLimits(2, rate_per_s=1 / 60)
    assert state.grant(GrantRequest("", 0, 1, 1), slow, T).starts == (T,)
    for _ in range(3):
        grant = state.grant(GrantRequest("", 0, 1, 1), slow, T + 1)
        assert (grant.starts, grant.not_before, grant.reason) == ((), T + 60, Reason.RATE_LIMITED)
    assert state.grant(GrantRequest("", 0, 1, 1), slow, T + 60).starts == (T + 60,)


def lived_in():
    state = HostState()
    for number in range(20):
        state.on_success(TWO, T + number / 20)
    state.on_refusal(Reason.RATE_LIMITED, TWO, T + 1, started_at=T + 1, retry_after_s=None)
    state.breaker.on_connect_error(T)
    state.block_until(T + 9, Reason.SERVICE_UNAVAILABLE)
    state.grant(GrantRequest("a", 1, 2), TWO, T + 1)
    return state


def test_state_travels_as_json():
    """All of it comes back."""
    state = lived_in()
    assert HostState.load(state.dump()) == state


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"7", b'{"shares": {}, "window": 1}', b'{"colour": "red"}', b"\xff"])
def test_what_cannot_be_read_is_a_fresh_state(data):
    """Another version's value, or anybody's: no worker stumbles over it."""
    assert HostState.load(data) == HostState()


def test_times_move_from_clock_to_clock():
    """Two workers whose clocks differ by an hour see the same closure, pace and shares, each in its own time."""
    here, there = lived_in(), lived_in().shifted(3600)
    for state, now in ((here, T + 2), (there, T + 3602)):
        assert state._blocked(TWO, now) == (now + 7, Reason.SERVICE_UNAVAILABLE)
    assert there.rate.cut_at - here.rate.cut_at == 3600
    assert there.shares["a"].until - here.shares["a"].until == 3600
    assert there.shifted(-3600) == here
    assert HostState().shifted(3600) == HostState(), "never stays never"


def test_a_host_that_teaches_nothing_may_be_forgotten():
    """Closed, away, paced or in use it is remembered."""
    assert HostState().is_idle(T)
    assert not lived_in().is_idle(T + 2)
    closed = HostState()
    closed.block_until(T + 9, Reason.RATE_LIMITED)
    assert not closed.is_idle(T)
    assert closed.is_idle(T + 9)
