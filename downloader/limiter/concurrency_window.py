"""How many requests a host gets at once, and how workers share that number. Pure: time is an argument."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["ROTATION_S", "ConcurrencyWindow", "WorkerShare", "divide"]

ROTATION_S: Final = 4.0
"""Seconds after which slots that do not divide evenly move on to the next workers."""


@dataclass(slots=True)
class ConcurrencyWindow:
    """Requests at once to one host, all workers together: halved on overload, one more after each full window of answers.

    Attributes:
        size: 0 means the maximum that the settings allow.
        answers: answers since the last change of size.
        cut_at: Unix time of the last cut; requests sent before it do not cause another one.
    """

    size: float = 0.0
    answers: int = 0
    cut_at: float = 0.0

    def limit(self, maximum: int) -> int:
        """Return the requests allowed at once, from 1 to ``maximum``."""
        return max(1, min(int(self.size), maximum)) if self.size else maximum

    def on_success(self, maximum: int) -> None:
        """Grow by one once as many requests were answered as fit into the window."""
        if not self.size:
            return
        self.answers += 1
        if self.answers >= int(self.size):
            self.answers = 0
            self.size = self.size + 1 if self.size + 1 < maximum else 0.0

    def on_overload(self, now: float, *, started_at: float, maximum: int) -> None:
        """Halve, once for all requests that were in flight together."""
        if started_at < self.cut_at:
            return
        self.size = max(1.0, self.limit(maximum) / 2)
        self.answers, self.cut_at = 0, now


@dataclass(slots=True)
class WorkerShare:
    """The slots of a host that one worker holds, and how many it could use. Expires at ``until`` (Unix time) unless renewed."""

    slots: int
    wanted: int
    until: float


def divide(wanted: Mapping[str, int], slots: int, now: float) -> dict[str, int]:
    """Divide ``slots`` among workers: evenly, none more than it wants, the remainder in rotation every `ROTATION_S`."""
    shares = dict.fromkeys(wanted, 0)
    while slots > 0 and (unsatisfied := sorted(worker for worker in wanted if shares[worker] < wanted[worker])):
        each = min(slots // len(unsatisfied), min(wanted[worker] - shares[worker] for worker in unsatisfied))
        if each:
            for worker in unsatisfied:
                shares[worker] += each
            slots -= each * len(unsatisfied)
            continue
        first = int(now / ROTATION_S) * slots % len(unsatisfied)
        for worker in (unsatisfied[first:] + unsatisfied[:first])[:slots]:
            shares[worker] += 1
        slots = 0
    return shares
