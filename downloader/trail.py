"""The attempts of one URL as they happen: numbered, timed, reserved before and recorded after. Knows no HTTP."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import errors
from downloader import telling
from downloader.attempt import Errand
from downloader.budget import RetryBudget
from downloader.manners import Manners
from downloader.records import Attempt, AttemptLog, FetchRequest
from downloader.visits import Deferral

__all__ = ["Trail"]

_T = TypeVar("_T")


class Trail:
    """Follows one URL; it is the `downloader.policy.Watch` of its attempts.

    Args:
        request: the URL and what it has cost already.
        errand: its time budget.
        log: where attempts are made durable, if anywhere.
        clock: Unix time, for ``Attempt.started_at``.
        manners: what its sites are asked; nothing unless told otherwise.
        budget: what retries are taken from, if they are counted.
        dialled: called right before the first request.
    """

    def __init__(
        self,
        request: FetchRequest,
        errand: Errand,
        log: AttemptLog | None,
        clock: Callable[[], float],
        manners: Manners | None = None,
        *,
        budget: RetryBudget | None = None,
        dialled: Callable[[], None] | None = None,
    ) -> None:
        self.request = request
        self.errand = errand
        self.manners = manners or Manners(None, opt_out=False)
        self.over_budget = False
        self._log = log
        self._clock = clock
        self._budget = budget
        self._on_dial = dialled
        self._finished: list[Attempt] = []
        self._current: Attempt | None = None
        self._reserving = False
        self._dialled = False
        self._started_at = self._started = 0.0

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What has been recorded so far, oldest first."""
        return tuple(self._finished)

    @property
    def refused(self) -> bool:
        """True once the attempt log itself has raised: that error is nobody's but the caller's."""
        return self._reserving

    async def reserve(self, number: int) -> None:
        """Put the attempt on record; the request follows at once."""
        if self._log is not None:
            self._reserving = True
            await self._log.reserve(self.request, number)
            self._reserving = False
        self._dialled = True
        if number == self.request.attempts_made + 1:
            self._tell_of_first()
        self._start()

    async def follow(self, number: int, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Run one attempt and note how it went; what was neither success nor the URL's failure leaves no note."""
        self._dialled = False
        self._start()
        try:
            result = await attempt()
        except (errors.PermanentError, errors.TransientError) as exc:
            if self._dialled or isinstance(exc, errors.TransientError):  # what is refused unasked has cost nothing
                self._note(number, type(exc).__name__, exc.slug)
            raise
        except Deferral as exc:
            if self._dialled:  # a host that it was redirected to is closed
                self._note(number, errors.HostUnavailableError.__name__, exc.reason)
            raise
        self._note(number, None, None)
        return result

    def may_retry(self, error: BaseException) -> bool:
        return not self.refused

    def can_afford(self, wait_s: float) -> bool:
        if self.errand.active_left_s <= wait_s:
            return False
        self.over_budget = self._budget is not None and not self._budget.spend(self._clock())
        return not self.over_budget

    def waits(self, wait_s: float, cause: str) -> None:
        """Close the current attempt with the wait that follows it."""
        self.errand.active_left_s -= wait_s
        self.errand.waited_until = max(self.errand.waited_until, self._clock() + wait_s)
        telling.waits(wait_s, cause)
        if self._current is not None:
            self._current = replace(self._current, wait_s=wait_s, wait_cause=cause)
        self.close()

    def close(self) -> None:
        """Record the attempt that is over, if there is one."""
        if self._current is None:
            return
        attempt, self._current = self._current, None
        self._finished.append(attempt)
        if self._log is not None and self._dialled:
            self._log.record(self.request, attempt)

    def _tell_of_first(self) -> None:
        if self._budget is not None:
            self._budget.count_first(self._clock())
        if self._on_dial is not None:
            self._on_dial()

    def _start(self) -> None:
        self._started_at, self._started = self._clock(), time.perf_counter()

    def _note(self, number: int, error: str | None, reason: errors.Reason | None) -> None:
        elapsed_s = time.perf_counter() - self._started
        errand = self.errand
        self._current = Attempt(
            number, self._started_at, elapsed_s, status=errand.status, error=error, reason=reason, queued_s=errand.queued_s
        )
