"""The policy alone: who is retried, how long is waited, when it ends, what is logged."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

import errors
import logging_setup.config
from downloader.policy import RetryPolicy, backoff_s
from downloader.records import RetryRules
from tests.clocks import FakeTime

RULES = RetryRules(jitter=0)


class Watcher:
    """Lets everything pass and remembers the waits."""

    def __init__(self, time_left_s=1000.0, retry=True):
        self.time_left_s = time_left_s
        self.retry = retry
        self.seen = []

    def may_retry(self, error):
        return self.retry

    def can_afford(self, wait_s):
        return self.time_left_s > wait_s

    def waits(self, wait_s, cause):
        self.seen.append((wait_s, cause))


async def run(error, *, rules=RULES, watch=None, attempts_made=0, random=lambda: 0.0):
    """Fail every attempt with `error`; return the attempts' numbers, the waits and what came out."""
    time, numbers = FakeTime(), []

    async def attempt(number):
        numbers.append(number)
        raise error

    policy = RetryPolicy(rules, sleep=time.sleep, random=random)
    with pytest.raises(type(error)) as caught:
        await policy.run(attempt, host="h.test", watch=watch or Watcher(), attempts_made=attempts_made)
    assert caught.value is error
    return numbers, time.waits


@pytest.mark.parametrize("error_type", errors.TRANSIENT)
async def test_transient_gets_three_attempts(error_type):
    """1, 2, 3 with 2 s and 4 s between."""
    assert await run(error_type("x")) == ([1, 2, 3], [2.0, 4.0])


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


async def test_watch_may_end_it():
    """No time left, or an error that is not the URL's."""
    assert await run(errors.NetworkError(), watch=Watcher(time_left_s=2.0)) == ([1], [])
    assert await run(errors.NetworkError(), watch=Watcher(retry=False)) == ([1], [])


async def test_watch_is_told_of_each_wait_before_it():
    """Length and cause."""
    watch = Watcher()
    await run(errors.ServiceUnavailableError(retry_after_s=1), watch=watch)
    assert watch.seen == [(1, "retry_after"), (1, "retry_after")]


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

    async def attempt(number):
        return number

    assert await RetryPolicy(RULES, sleep=FakeTime().sleep).run(attempt, host="h", watch=Watcher()) == 1


async def test_urls_that_are_retried_at_the_same_time_keep_their_own_count():
    """One Tenacity object serves them all."""
    time, numbers = FakeTime(), {"a": [], "b": [], "c": []}
    policy = RetryPolicy(RULES, sleep=time.sleep)

    async def run_one(name, fails):
        async def attempt(number):
            numbers[name].append(number)
            await asyncio.sleep(0)
            if number <= fails:
                raise errors.TimeoutException(name)
            return name

        return await policy.run(attempt, host=name, watch=Watcher(), attempts_made=1 if name == "b" else 0)

    results = await asyncio.gather(run_one("a", 2), run_one("b", 2), run_one("c", 9), return_exceptions=True)
    assert numbers == {"a": [1, 2, 3], "b": [2, 3], "c": [1, 2, 3]}
    assert results[:2] == ["a", "b"]
    assert isinstance(results[2], errors.TimeoutException)
    assert results[2].message == "c"
