"""The policy alone: who is retried, how long is waited, when it ends, what is logged."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

import errors
import logging_setup.config
from downloader.fetch_state import FetchState
from downloader.models import FetchRequest, RetryRules
from downloader.retry import RetryBudget, RetryPolicy, backoff_s
from tests.clocks import FakeTime

RULES = RetryRules(jitter=0)


def state_of(time, host="h.test", *, attempts_made=0, time_left_s=1000.0, log=None):
    return FetchState(FetchRequest(f"http://{host}/", attempts_made=attempts_made), time_left_s, clock=time.clock, log=log)


async def run(error, *, rules=RULES, attempts_made=0, time_left_s=1000.0, random=lambda: 0.0):
    """Fail every attempt with `error`; return the attempts' numbers, the waits and what came out."""
    time, numbers = FakeTime(), []

    async def attempt(state):
        numbers.append(state.number)
        raise error

    policy = RetryPolicy(rules, clock=time.clock, sleep=time.sleep, random=random)
    with pytest.raises(type(error)) as caught:
        await policy.run(attempt, state_of(time, attempts_made=attempts_made, time_left_s=time_left_s))
    assert caught.value is error
    return numbers, time.waits


@pytest.mark.parametrize("error_type", errors.TRANSIENT)
async def test_transient_gets_three_attempts(error_type):
    """1, 2, 3 with 2 s and 4 s between."""
    assert await run(error_type("x")) == ([1, 2, 3], [2.0, 4.0])


@pytest.mark.parametrize(
    ("broken", "made", "numbers", "waits"), [((1, 2, 3), 0, [1, 2, 3], [4.0]), ((2,), 0, [1, 2, 3], [2.0, 4.0]), ((2, 3), 1, [2, 3], [4.0])]
)
async def test_first_attempt_on_a_broken_idle_connection_is_repeated_at_once(broken, made, numbers, waits):
    """Once for a URL, without a wait, and as an attempt like any other; a later one waits."""
    time, seen = FakeTime(), []

    async def attempt(state):
        seen.append(state.number)
        state.is_idle_break = state.number in broken
        raise errors.NetworkError("x")

    state = state_of(time, attempts_made=made)
    with pytest.raises(errors.NetworkError):
        await RetryPolicy(RULES, clock=time.clock, sleep=time.sleep).run(attempt, state)
    state.record_attempt()
    assert (seen, time.waits, len(state.attempts)) == (numbers, waits, len(numbers))


@pytest.mark.parametrize(
    "error",
    [
        errors.NotFoundError(),
        errors.PermanentError(),
        errors.StorageError(),
        errors.DatabaseConnectionError(),
        MemoryError(),
        KeyError("x"),
        asyncio.CancelledError(),
    ],
    ids=repr,
)
async def test_anything_else_passes_at_once(error):
    """Permanent errors, ours, strangers and cancellation."""
    assert await run(error) == ([1], [])


async def test_attempts_made_count():
    """Attempts of earlier runs shorten this one, and the backoff goes on where it was."""
    assert await run(errors.NetworkError(), attempts_made=1) == ([2, 3], [4.0])


async def test_retry_after_up_to_the_inline_bound():
    """10 s are waited in place, 10.5 s end the run."""
    assert await run(errors.RateLimitError(retry_after_s=10)) == ([1, 2, 3], [10, 10])
    assert await run(errors.RateLimitError(retry_after_s=10.5)) == ([1], [])


async def test_no_time_left_ends_it():
    """A wait that would use up the rest of the URL's time is not begun."""
    assert await run(errors.NetworkError(), time_left_s=2.0) == ([1], [])


async def test_error_of_the_attempt_log_is_not_retried():
    """It is not the URL's, whatever its class."""
    time = FakeTime()

    class Refusing:
        async def reserve(self, request, number):
            raise errors.NetworkError("lease lost")

    policy = RetryPolicy(RULES, clock=time.clock, sleep=time.sleep)
    with pytest.raises(errors.NetworkError, match="lease lost"):
        await policy.run(lambda state: state.reserve(), state_of(time, log=Refusing()))
    assert time.waits == []


async def test_each_wait_is_noted_with_its_cause():
    """On the attempt before it."""
    time = FakeTime()

    async def attempt(state):
        raise errors.ServiceUnavailableError(retry_after_s=1)

    state = state_of(time)
    with pytest.raises(errors.ServiceUnavailableError):
        await RetryPolicy(RULES, clock=time.clock, sleep=time.sleep).run(attempt, state)
    assert [(attempt.wait_s, attempt.wait_cause) for attempt in state.attempts] == [(1, "retry_after"), (1, "retry_after")]


async def test_retry_over_the_budget_is_not_made():
    """The state says why it ended; a URL that does not use the budget is retried all the same."""
    time, numbers = FakeTime(), []

    async def attempt(state):
        numbers.append(state.number)
        raise errors.NetworkError

    for uses_budget in (True, False):
        numbers.clear()
        state = FetchState(FetchRequest("http://h.test/"), 100.0, clock=time.clock, uses_budget=uses_budget)
        policy = RetryPolicy(RULES, budget=RetryBudget(0.0, 0), clock=time.clock, sleep=time.sleep)
        with pytest.raises(errors.NetworkError):
            await policy.run(attempt, state)
        assert (numbers, state.is_over_budget) == (([1], True) if uses_budget else ([1, 2, 3], False))


async def test_jitter_comes_on_top_of_the_backoff_only():
    """Up to a quarter more; a Retry-After is kept to the second."""
    rules = RetryRules(jitter=0.25)
    assert (await run(errors.NetworkError(), rules=rules, random=lambda: 1.0))[1] == [2.5, 5.0]
    assert (await run(errors.RateLimitError(retry_after_s=3), rules=rules, random=lambda: 1.0))[1] == [3, 3]


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_backoff_stays_between_nominal_and_cap(number, chance):
    """Doubling from the base to the cap, jitter on top, never overflowing."""
    rules = RetryRules()
    nominal = min(2.0 * 2 ** min(number - 1, 20), 10.0)
    assert nominal <= backoff_s(number, rules, chance) <= nominal * 1.25


async def test_each_wait_is_one_warning():
    """download.retry with its fields, and no line for the last failure."""
    seen = []
    sink = logging_setup.config.add_sink(seen.append, "WARNING")
    await run(errors.RateLimitError(status=429))
    logging_setup.config.remove_sink(sink)
    assert [line["event"] for line in seen] == ["download.retry"] * 2
    fields = {name: seen[1][name] for name in ("level", "attempt_number", "wait_s", "wait_cause", "error_type", "status", "host")}
    assert fields == {
        "level": "WARNING",
        "attempt_number": 2,
        "wait_s": 4.0,
        "wait_cause": "backoff",
        "error_type": "RateLimitError",
        "status": 429,
        "host": "h.test",
    }


async def test_success_is_returned():
    """The result of the attempt, no more."""
    time = FakeTime()

    async def attempt(state):
        return state.number

    assert await RetryPolicy(RULES, clock=time.clock, sleep=time.sleep).run(attempt, state_of(time)) == 1


async def test_urls_that_are_retried_at_the_same_time_keep_their_own_count():
    """One policy serves them all."""
    time, numbers = FakeTime(), {"a": [], "b": [], "c": []}
    policy = RetryPolicy(RULES, clock=time.clock, sleep=time.sleep)

    async def run_one(name, fails):
        async def attempt(state):
            numbers[name].append(state.number)
            await asyncio.sleep(0)
            if state.number <= fails:
                raise errors.TimeoutException(name)
            return name

        return await policy.run(attempt, state_of(time, name, attempts_made=1 if name == "b" else 0))

    results = await asyncio.gather(run_one("a", 2), run_one("b", 2), run_one("c", 9), return_exceptions=True)
    assert numbers == {"a": [1, 2, 3], "b": [2, 3], "c": [1, 2, 3]}
    assert results[:2] == ["a", "b"]
    assert isinstance(results[2], errors.TimeoutException)
    assert results[2].message == "c"


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
