"""The retry policy of every request, and the only use of Tenacity.

Retried are exactly `errors.TRANSIENT` (timeout, network, 429, 503 and 504), up to ``RetryRules.attempts`` requests for a URL, those of
earlier runs included. Between them lie 2 s and 4 s plus up to 25 % jitter, or in their stead what a valid Retry-After asks for, where it
is no longer than ``inline_wait_max_s``. Permanent errors, our own errors and cancellation pass at once; nothing else in the downloader
sleeps between attempts.
"""

import random as randomness
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import tenacity

import errors
from downloader.records import RetryRules
from logging_setup import get_logger

__all__ = ["BACKOFF", "RETRY_AFTER", "RetryPolicy", "Watch", "backoff_s"]

BACKOFF: Final = "backoff"
RETRY_AFTER: Final = "retry_after"

_log = get_logger(__name__)
_T = TypeVar("_T")


class Watch(Protocol):
    """Who follows one URL through its attempts."""

    def may_retry(self, error: BaseException) -> bool:
        """Say whether this error is the URL's at all."""
        ...

    def can_afford(self, wait_s: float) -> bool:
        """Say whether the URL's time and the worker's retry budget allow an attempt after a wait of that length; a yes is spent."""
        ...

    def waits(self, wait_s: float, cause: str) -> None:
        """Take note of the wait that begins now."""
        ...


def backoff_s(number: int, rules: RetryRules, chance: float) -> float:
    """Return the wait after attempt ``number`` (from 1): doubling from the base up to the cap, jitter on top of it.

    Args:
        chance: 0 to 1; how much of the jitter is added.
    """
    nominal: float = min(rules.backoff_base_s * 2.0 ** min(number - 1, 60), rules.backoff_max_s)
    return nominal * (1 + rules.jitter * chance)


@dataclass(slots=True)
class _Call:
    """One `RetryPolicy.run`: the argument by which Tenacity's hooks tell the URLs apart that share its one object."""

    number: int
    host: str
    watch: Watch


async def _once(call: _Call, attempt: Callable[[int], Awaitable[_T]]) -> _T:
    call.number += 1
    return await attempt(call.number)


class _Retrying(tenacity.AsyncRetrying):
    """Tenacity, asked only once a call has failed.

    Its own loop asks before the first attempt and after the last one too, and wraps every hook anew to do so: nearly all URLs need
    neither. What is retried, how long is waited and when it ends is Tenacity's to say, as it always is.
    """

    async def __call__(self, fn: Callable[..., Awaitable[_T]], *args: Any, **kwargs: Any) -> _T:  # type: ignore[override]
        self.begin()
        state: tenacity.RetryCallState | None = None
        while True:
            try:
                return await fn(*args, **kwargs)
            except errors.PictrawlError:  # of a stranger, or of being cancelled, Tenacity need not be asked
                state = state or tenacity.RetryCallState(self, fn, args, kwargs)
                state.set_exception(sys.exc_info())  # type: ignore[arg-type]
            wait_s: Any = await self.iter(state)  # raises the error where that is the end
            state.prepare_for_next_attempt()
            await self.sleep(wait_s)  # type: ignore[misc]


class RetryPolicy:
    """Tenacity, set up once for a downloader: none of its hooks suspends, so many calls may run through one object.

    Args:
        rules: how often, how long.
        sleep: the only thing that passes time between attempts.
        random: 0 to 1, for the jitter.
    """

    def __init__(
        self, rules: RetryRules, *, sleep: Callable[[float], Awaitable[None]], random: Callable[[], float] = randomness.random
    ) -> None:
        self._rules = rules
        self._random = random
        self._retrying = _Retrying(
            retry=self._may_retry, stop=self._is_over, wait=self._wait_s, before_sleep=_before_sleep, sleep=sleep, reraise=True
        )

    async def run(self, attempt: Callable[[int], Awaitable[_T]], *, host: str, watch: Watch, attempts_made: int = 0) -> _T:
        """Call ``attempt`` with its number until it returns, fails for good or the attempts are used up.

        Args:
            attempt: one request; gets the attempt's number in its job.
            host: for the log line of a retry.
            watch: told of every wait, asked before each.
            attempts_made: attempts of earlier runs, which count.

        Raises:
            Exception: what the last attempt raised, itself.
        """
        return await self._retrying(_once, _Call(attempts_made, host, watch), attempt)

    def _may_retry(self, state: tenacity.RetryCallState) -> bool:
        error = _error_of(state)
        return error is not None and self._is_retried(error) and _call_of(state).watch.may_retry(error)

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        asked = _asked_wait_s(_error_of(state))
        return backoff_s(_call_of(state).number, self._rules, self._random()) if asked is None else asked

    def _is_over(self, state: tenacity.RetryCallState) -> bool:
        call = _call_of(state)
        return call.number >= self._rules.attempts or not call.watch.can_afford(state.upcoming_sleep)

    def _is_retried(self, error: BaseException) -> bool:
        """A Retry-After too long to sit out ends the attempts of this run; the caller defers or fails the URL."""
        return isinstance(error, errors.TRANSIENT) and (error.retry_after_s or 0) <= self._rules.inline_wait_max_s


def _call_of(state: tenacity.RetryCallState) -> _Call:
    call: _Call = state.args[0]
    return call


def _before_sleep(state: tenacity.RetryCallState) -> None:
    call, error = _call_of(state), _error_of(state)
    cause = BACKOFF if _asked_wait_s(error) is None else RETRY_AFTER
    call.watch.waits(state.upcoming_sleep, cause)
    _log_retry(call.number, state.upcoming_sleep, cause, error, call.host)
    if error is not None:
        error.__traceback__ = None  # its frames hold what was read of the body, for as long as we wait


def _error_of(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _asked_wait_s(error: BaseException | None) -> float | None:
    return error.retry_after_s if isinstance(error, errors.TransientError) else None


def _log_retry(number: int, wait_s: float, cause: str, error: BaseException | None, host: str) -> None:
    _log.warning(
        "download.retry",
        attempt_number=number,
        wait_s=round(wait_s, 3),
        wait_cause=cause,
        error_type=type(error).__name__,
        status=getattr(error, "status", None),
        host=host,
    )
