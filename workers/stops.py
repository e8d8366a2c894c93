"""Why a unit's run ends before its work does; what is raised for it."""

from enum import StrEnum

__all__ = ["Isolated", "StopReason", "Stopped", "Unclaimed"]


class StopReason(StrEnum):
    """Why a running unit is to stop. ``turn``: it is another user's turn."""

    DRAIN = "drain"
    TURN = "turn"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    LOST = "lost"


class Unclaimed(Exception):
    """Somebody else has the unit, or it is not to run now: the delivery is done with."""


class Isolated(Exception):
    """The unit is in quarantine: a process of its own has worked at it, and has settled it."""


class Stopped(Exception):
    """The unit was told to stop at once."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.value)
        self.reason = reason
