"""How many requests a host gets at once, and which of several workers may send them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["TURN_S", "Share", "Window", "divide"]

TURN_S: Final = 4.0
"""Seconds after which places that do not divide evenly go round."""


@dataclass(slots=True)
class Window:
    """Requests at once to one host, all workers together: halved where it suffers, grown by one for each window of answers.

    Attributes:
        size: 0 while there is nothing to spare it: all that the settings allow.
        answers: since the last change of size.
        cut_at: Unix time of the last cut; requests sent before do not count against it.
    """

    size: float = 0.0
    answers: int = 0
    cut_at: float = 0.0

    def places(self, most: int) -> int:
        """Requests at once, 1 to ``most``."""
        return max(1, min(int(self.size), most)) if self.size else most

    def answered(self, most: int) -> None:
        """Grow, where a whole window of requests was answered."""
        if not self.size:
            return
        self.answers += 1
        if self.answers >= int(self.size):
            self.answers = 0
            self.size = self.size + 1 if self.size + 1 < most else 0.0

    def suffered(self, now: float, *, started_at: float, most: int) -> None:
        """Halve, once for all the requests that were on their way together."""
        if started_at < self.cut_at:
            return
        self.size = max(1.0, self.places(most) / 2)
        self.answers, self.cut_at = 0, now


@dataclass(slots=True)
class Share:
    """What one worker has of a host's places, and would use; forgotten at ``until`` (Unix time) unless renewed."""

    places: int
    wants: int
    until: float


def divide(wants: Mapping[str, int], places: int, now: float) -> dict[str, int]:
    """Share out ``places`` among workers: evenly, none more than it wants, the remainder in turns of `TURN_S`."""
    shares = dict.fromkeys(wants, 0)
    while places > 0 and (open_wants := sorted(worker for worker in wants if shares[worker] < wants[worker])):
        each = min(places // len(open_wants), min(wants[worker] - shares[worker] for worker in open_wants))
        if each:
            for worker in open_wants:
                shares[worker] += each
            places -= each * len(open_wants)
            continue
        turn = int(now / TURN_S) * places % len(open_wants)
        for worker in (open_wants[turn:] + open_wants[:turn])[:places]:
            shares[worker] += 1
        places = 0
    return shares
