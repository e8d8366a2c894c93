"""Limits repeated warnings: the first few per minute are written, the others are counted, and their count is written.

Applies to lines only; sinks added with `add_sink` receive every record.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["BURST", "KEPT", "WINDOW_S", "Repeats"]

BURST: Final = 5
"""Equal lines written per window."""

WINDOW_S: Final = 60.0
"""Length of a window, seconds."""

KEPT: Final = 512
"""Identities kept. Beyond that the oldest window is closed and its count written."""

_LIMITED: Final = frozenset({"WARNING", "ERROR", "CRITICAL"})
_SAME: Final = (
    *("logger", "job_id", "host", "source", "keyword", "kind", "loop", "part", "stage", "status", "code", "problem", "line"),
    *("reason", "how", "library", "error_type", "error"),
)
"""Fields that distinguish warnings. Attempt numbers, waits, times, URLs, units and chunks do not."""

_LOST: Final = ("unit_id", "chunk_id", "image_id", "export_id", "url", "route")
"""Further fields that distinguish errors: each lost piece of work is logged."""

Fields = Mapping[str, Any]


@dataclass(slots=True)
class _Window:
    ends: float
    seen: int = 1
    held: int = 0
    last: Fields | None = None


class Repeats:
    """Decides which lines are written. Suppressed lines are counted in the field ``repeated`` of a later one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[int, _Window] = {}
        self._due = float("inf")

    def admit(self, fields: Fields) -> list[Fields]:
        """Return the lines to write now: due counts, then the line itself unless it is suppressed."""
        now = self._clock()
        due = self._take_due(now) if now >= self._due else []
        if fields["level"] not in _LIMITED or self._is_new(fields, now, due):
            due.append(fields)
        return due

    def flush(self) -> list[Fields]:
        """Return all pending counts, at the end of the process."""
        return self._take_due(float("inf"))

    def _is_new(self, fields: Fields, now: float, due: list[Fields]) -> bool:
        key = _identity(fields)
        window = self._windows.get(key)
        if window is None or now >= window.ends:
            self._windows.pop(key, None)
            self._make_room(due)
            self._windows[key] = _Window(now + WINDOW_S)
            return True
        window.seen += 1
        if window.seen <= BURST:
            return True
        window.held += 1
        window.last = fields
        self._due = min(self._due, window.ends)
        return False

    def _make_room(self, due: list[Fields]) -> None:
        if len(self._windows) >= KEPT:
            due.extend(_count(self._windows.pop(next(iter(self._windows)))))

    def _take_due(self, now: float) -> list[Fields]:
        over = [key for key, window in self._windows.items() if now >= window.ends]
        counts = [line for key in over for line in _count(self._windows.pop(key))]
        self._due = min((window.ends for window in self._windows.values() if window.held), default=float("inf"))
        return counts


def _identity(fields: Fields) -> int:
    """Hash of the event and the distinguishing fields: an error's text may be long."""
    level, event = fields["level"], fields["event"]
    names = _SAME if level == "WARNING" else (*_SAME, *_LOST)
    own = fields.get(f"{event.partition('.')[0]}_id")
    return hash((level, event, own if isinstance(own, str) else None, *(_word(fields.get(name)) for name in names)))


def _word(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _count(window: _Window) -> list[Fields]:
    """The last suppressed line, with the number of suppressed lines including itself."""
    return [] if window.last is None else [{**window.last, "repeated": window.held}]
