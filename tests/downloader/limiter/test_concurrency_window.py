"""The window of a host, and how workers share it."""

from hypothesis import given
from hypothesis import strategies as st

from downloader.limiter.concurrency_window import ROTATION_S, ConcurrencyWindow, divide

T = 1_700_000_000.0


def test_window_halves_once_for_what_was_under_way_together():
    """Eight, four, two, one, and no less; requests sent before the last cut do not count."""
    window, sizes = ConcurrencyWindow(), []
    for number in range(1, 6):
        window.on_overload(T + number, started_at=T + number - 0.5, maximum=8)
        window.on_overload(T + number + 0.1, started_at=T + number - 0.4, maximum=8)
        sizes.append(window.limit(8))
    assert sizes == [4, 2, 1, 1, 1]


def test_window_grows_by_one_for_each_window_of_answers():
    """1 + 2 + 3 answers make four places; then it is open again."""
    window = ConcurrencyWindow(size=1.0)
    places = []
    for _ in range(7):
        window.on_success(4)
        places.append(window.limit(4))
    assert places == [2, 2, 3, 3, 3, 4, 4]
    assert window.size == 0


def test_window_never_exceeds_the_settings():
    """A setting lowered since is obeyed."""
    assert ConcurrencyWindow(size=9.0).limit(2) == 2
    assert ConcurrencyWindow().limit(2) == 2


WANTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 20))


@given(WANTS, st.integers(1, 40), st.floats(0, 1e4))
def test_shares_are_all_there_is_and_none_more_than_wanted(wants, places, now):
    """Nothing idle while somebody wants it; who gets less than it wants gets no less than another, but for a remainder of one."""
    shares = divide(wants, places, now)
    assert sum(shares.values()) == min(places, sum(wants.values()))
    assert all(shares[worker] <= wants[worker] for worker in wants)
    unmet = [worker for worker in wants if shares[worker] < wants[worker]]
    assert all(shares[worker] >= share - 1 for worker in unmet for share in shares.values())


@given(st.integers(1, 6), st.integers(1, 6))
def test_everybody_has_a_turn(workers, places):
    """Two places and five workers: within five turns each has had one."""
    wants = {f"w{number}": 9 for number in range(workers)}
    had = dict.fromkeys(wants, 0)
    for turn in range(workers):
        for worker, share in divide(wants, places, T + turn * ROTATION_S).items():
            had[worker] += share
    assert min(had.values()) > 0
