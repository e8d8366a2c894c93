"""The state of one URL over its attempts: its number, its time, its waits, its attempts so far and the crawl policy's decisions.

Reserves each attempt before its request and records it afterwards. Knows no HTTP and makes no retry decision.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import errors
from downloader import tracing
from downloader.models import Attempt, AttemptLog, Decisions, FetchRequest, HostClosedError, OptOutVerdict, RobotsDecision, RobotsVerdict

__all__ = ["FetchState"]

_T = TypeVar("_T")


class FetchState:
    """One URL on its way.

    Args:
        request: the URL, and the attempts it had before.
        time_left_s: active seconds for all its attempts; waiting for a slot does not count.
        log: where attempts are made durable, if anywhere.
        clock: Unix time, seconds.
        uses_budget: whether its retries are taken from the retry budget.
        on_first_dial: called right before the first request of this run.

    Attributes:
        number: of the current attempt in the URL's job; 0 before the first.
        waited_until: Unix time up to which this URL has waited, for Retry-After or its own backoff.
        queued_s: seconds the current attempt has waited for its hosts.
        status: status of the last reply of the current attempt.
        url: URL of the current hop, and its ``origin``; that is empty before the first.
        sent: requests sent for it, redirects and earlier runs included.
        is_idle_break: the current attempt failed because a kept-alive connection broke before a reply came.
        is_over_budget: the last retry was refused by the retry budget.
    """

    __slots__ = (
        "_clock",
        "_current",
        "_finished",
        "_is_dialled",
        "_is_reserving",
        "_log",
        "_on_first_dial",
        "_opt_out",
        "_opt_out_evidence",
        "_robots",
        "_robots_decisions",
        "_started",
        "_started_at",
        "is_idle_break",
        "is_over_budget",
        "number",
        "origin",
        "queued_s",
        "request",
        "sent",
        "status",
        "time_left_s",
        "url",
        "uses_budget",
        "waited_until",
    )

    def __init__(
        self,
        request: FetchRequest,
        time_left_s: float,
        *,
        clock: Callable[[], float],
        log: AttemptLog | None = None,
        uses_budget: bool = False,
        on_first_dial: Callable[[], None] | None = None,
    ) -> None:
        self.request = request
        self.time_left_s = time_left_s
        self.uses_budget = uses_budget
        self.number = self.sent = request.attempts_made
        self.waited_until = self.queued_s = 0.0
        self.status: int | None = None
        self.url: str | None = None
        self.origin = ""
        self.is_idle_break = self.is_over_budget = False
        self._log = log
        self._clock = clock
        self._on_first_dial = on_first_dial
        self._finished: list[Attempt] = []
        self._current: Attempt | None = None
        self._is_reserving = self._is_dialled = False
        self._started_at = self._started = 0.0
        self.reset_decisions(robots=RobotsVerdict.NOT_ASKED, opt_out=OptOutVerdict.NOT_READ)

    @property
    def host(self) -> str:
        """The host of the URL for a log line; the URL may be invalid."""
        return errors.without_secrets(self.request.url).partition("://")[2].partition("/")[0]

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The finished attempts of this run, oldest first."""
        return tuple(self._finished)

    @property
    def attempts_made(self) -> int:
        """Finished attempts, earlier runs included."""
        return self.request.attempts_made + len(self._finished)

    @property
    def is_log_error(self) -> bool:
        """True once the attempt log itself has raised; such an error belongs to the caller and is never retried."""
        return self._is_reserving

    async def run_attempt(self, attempt: Callable[["FetchState"], Awaitable[_T]]) -> _T:
        """Run the next attempt and note its result. An error that is not the URL's own, and a refusal before the request, leave no note."""
        self.number += 1
        self._is_dialled = False
        self._start_timer()
        try:
            result = await attempt(self)
        except (errors.PermanentError, errors.TransientError) as exc:
            if self._is_dialled or isinstance(exc, errors.TransientError):
                self._note(type(exc).__name__, exc.slug)
            raise
        except HostClosedError as exc:
            if self._is_dialled:  # the host of a redirect is closed
                self._note(errors.HostUnavailableError.__name__, exc.reason)
            raise
        self._note(None, None)
        return result

    async def reserve(self) -> None:
        """Put the attempt on record; the request follows at once."""
        if self._log is not None:
            self._is_reserving = True
            await self._log.reserve(self.request, self.number)
            self._is_reserving = False
        self._is_dialled = True
        if self.number == self.request.attempts_made + 1 and self._on_first_dial is not None:
            self._on_first_dial()
        self._start_timer()

    def spend_time(self, seconds: float) -> None:
        """Take active seconds off what is left."""
        self.time_left_s -= seconds

    def note_wait(self, wait_s: float, cause: str) -> None:
        """Record the current attempt with the wait that begins now."""
        self.time_left_s -= wait_s
        self.waited_until = max(self.waited_until, self._clock() + wait_s)
        tracing.add_wait(wait_s, cause)
        if self._current is not None:
            self._current = replace(self._current, wait_s=wait_s, wait_cause=cause)
        self.record_attempt()

    def record_attempt(self) -> None:
        """Record the attempt that has ended, if there is one."""
        if self._current is None:
            return
        attempt, self._current = self._current, None
        self._finished.append(attempt)
        if self._log is not None:
            self._log.record(self.request, attempt)

    def reset_decisions(self, *, robots: RobotsVerdict, opt_out: OptOutVerdict) -> None:
        """Forget the decisions about the previous attempt."""
        self._robots = robots
        self._robots_decisions: tuple[RobotsDecision, ...] = ()
        self._opt_out = opt_out
        self._opt_out_evidence: str | None = None

    @property
    def robots_txt(self) -> str:
        """URL of the robots.txt that was read last."""
        return self._robots_decisions[-1].robots_txt if self._robots_decisions else ""

    def add_robots_decision(self, decision: RobotsDecision) -> None:
        """Note what the robots.txt of the next hop says."""
        self._robots = decision.verdict
        self._robots_decisions = (*self._robots_decisions, decision)

    def set_opt_out(self, verdict: OptOutVerdict, evidence: str | None = None) -> None:
        """Note what the reply's headers say."""
        self._opt_out, self._opt_out_evidence = verdict, evidence

    def decisions(self) -> Decisions:
        """Return what the crawl policy decided about the last attempt."""
        return Decisions(self._robots, self._robots_decisions, self._opt_out, self._opt_out_evidence)

    def _start_timer(self) -> None:
        self._started_at, self._started = self._clock(), time.perf_counter()

    def _note(self, error: str | None, reason: errors.Reason | None) -> None:
        elapsed_s = time.perf_counter() - self._started
        self._current = Attempt(
            self.number, self._started_at, elapsed_s, status=self.status, error=error, reason=reason, queued_s=self.queued_s
        )
