"""The retry policy of every request, and the only use of Tenacity.

Retried are exactly `errors.TRANSIENT` (timeout, network, 429, 503 and 504), up to ``RetryRules.attempts`` requests for a URL, earlier
runs included. The waits are 2 s and 4 s plus up to 25 % jitter, or what a valid Retry-After asks for, where that is at most
``inline_wait_max_s``. A first attempt whose kept-alive connection broke before a reply came is repeated at once, since the server may have
closed that connection while it was idle (RFC 9112 9.3.1); the repeat is the second attempt. Permanent errors, errors of this machine and
cancellation pass at once. Nothing else in the downloader sleeps between attempts.
"""

import random as random_numbers
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import tenacity

import errors
from downloader.fetch_state import FetchState
from downloader.models import RetryRules
from logging_setup import get_logger

__all__ = ["BACKOFF", "RETRY_AFTER", "RetryBudget", "RetryPolicy", "backoff_s", "drop_tracebacks"]

BACKOFF: Final = "backoff"
RETRY_AFTER: Final = "retry_after"

_BUDGET_SPAN_S: Final = 600.0
_BUDGET_BUCKET_S: Final = 60.0
"""Requests of the last ten minutes count, in buckets of a minute."""

_log = get_logger(__name__)
_T = TypeVar("_T")


class RetryBudget:
    """Retries are at most a share of the first attempts of the last ten minutes, with a floor.

    This is a client's retry budget (Beyer et al., Site Reliability Engineering, ch. 21): a retry helps where few requests fail, and adds
    to the load where most do.

    Args:
        share: retries for each first attempt, 0 to 1.
        floor: retries that are always allowed within ten minutes.
    """

    def __init__(self, share: float, floor: int) -> None:
        self._share = share
        self._floor = floor
        self._buckets: deque[list[float]] = deque()  # [began, first attempts, retries]

    def count_first(self, now: float) -> None:
        """Count a URL's first request of a run."""
        self._bucket(now)[1] += 1

    def spend(self, now: float) -> bool:
        """Take one retry; return False where none is left."""
        bucket = self._bucket(now)
        firsts = sum(firsts for _, firsts, _ in self._buckets)
        if sum(retries for _, _, retries in self._buckets) + 1 > max(self._floor, self._share * firsts):
            return False
        bucket[2] += 1
        return True

    def _bucket(self, now: float) -> list[float]:
        while self._buckets and now - self._buckets[0][0] > _BUDGET_SPAN_S:
            self._buckets.popleft()
        if not self._buckets or now - self._buckets[-1][0] > _BUDGET_BUCKET_S:
            self._buckets.append([now, 0, 0])
        return self._buckets[-1]


def backoff_s(number: int, rules: RetryRules, chance: float) -> float:
    """Return the wait after attempt ``number`` (from 1): doubling from the base up to the cap, jitter on top of it.

    Args:
        chance: 0 to 1; how much of the jitter is added.
    """
    nominal: float = min(rules.backoff_base_s * 2.0 ** min(number - 1, 60), rules.backoff_max_s)
    return nominal * (1 + rules.jitter * chance)


class RetryPolicy:
    """Tenacity's AsyncRetrying with the rules of the settings. The argument of each call is the URL's state, which the hooks read.

    All calls share one AsyncRetrying: its hooks are plain functions, so no call suspends while Tenacity decides.

    Args:
        rules: how often, how long.
        budget: what retries are taken from; without limit where there is none.
        clock: Unix time, seconds, for the budget.
        sleep: the only thing that passes time between attempts.
        random: 0 to 1, for the jitter.
    """

    def __init__(
        self,
        rules: RetryRules,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        budget: RetryBudget | None = None,
        random: Callable[[], float] = random_numbers.random,
    ) -> None:
        self._rules = rules
        self._budget = budget
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._retrying = tenacity.AsyncRetrying(
            retry=self._should_retry, stop=self._should_stop, wait=self._wait_s, before_sleep=_before_sleep, sleep=self._pass, reraise=True
        )

    async def run(self, attempt: Callable[[FetchState], Awaitable[_T]], state: FetchState) -> _T:
        """Call ``attempt`` until it returns, fails for good or the attempts are used up.

        Args:
            attempt: one request; ``state.number`` is its number in the URL's job.
            state: of the URL; each wait is noted there.

        Raises:
            Exception: what the last attempt raised, itself.
        """
        return await self._retrying(FetchState.run_attempt, state, attempt)

    def _should_retry(self, call: tenacity.RetryCallState) -> bool:
        """A Retry-After too long to wait for ends the attempts of this run; the caller defers or fails the URL."""
        error = _error_of(call)
        is_transient = isinstance(error, errors.TRANSIENT) and (error.retry_after_s or 0) <= self._rules.inline_wait_max_s
        return is_transient and not _state_of(call).is_log_error

    def _wait_s(self, call: tenacity.RetryCallState) -> float:
        state, asked_s = _state_of(call), _retry_after_s(_error_of(call))
        if state.is_idle_break and state.number == 1:
            return 0.0
        return backoff_s(state.number, self._rules, self._random()) if asked_s is None else asked_s

    async def _pass(self, seconds: float) -> None:
        if seconds:
            await self._sleep(seconds)

    def _should_stop(self, call: tenacity.RetryCallState) -> bool:
        state = _state_of(call)
        if state.number >= self._rules.attempts or state.time_left_s <= call.upcoming_sleep:
            return True
        state.is_over_budget = self._budget is not None and state.uses_budget and not self._budget.spend(self._clock())
        return state.is_over_budget


def drop_tracebacks(error: BaseException) -> None:
    """Drop the tracebacks of an error that was handled, and of its causes.

    Their frames hold the body that was read, and lead to Tenacity's frame, which holds the error: a cycle that only the collector ends.
    """
    chain: list[BaseException | None] = [error]
    seen: set[int] = set()
    while chain:
        link = chain.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            link.__traceback__ = None
            chain += [link.__cause__, link.__context__, *(link.exceptions if isinstance(link, BaseExceptionGroup) else ())]


def _state_of(call: tenacity.RetryCallState) -> FetchState:
    state: FetchState = call.args[0]
    return state


def _error_of(call: tenacity.RetryCallState) -> BaseException | None:
    return call.outcome.exception() if call.outcome else None


def _retry_after_s(error: BaseException | None) -> float | None:
    return error.retry_after_s if isinstance(error, errors.TransientError) else None


def _before_sleep(call: tenacity.RetryCallState) -> None:
    state, error = _state_of(call), _error_of(call)
    cause = "" if not call.upcoming_sleep else BACKOFF if _retry_after_s(error) is None else RETRY_AFTER
    state.note_wait(call.upcoming_sleep, cause)
    _log.warning(
        "download.retry",
        attempt_number=state.number,
        wait_s=round(call.upcoming_sleep, 3),
        wait_cause=cause,
        error_type=type(error).__name__,
        status=getattr(error, "status", None),
        host=state.host,
    )
    if error is not None:
        drop_tracebacks(error)
