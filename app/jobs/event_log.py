"""The event log of jobs: log lines at INFO or above with a ``job_id`` are written to the table ``events``.

Workers and the API record events. In one process they share one recording, so that no event is written twice. Lines are written within half
a second. The buffer is bounded, for warnings and other lines separately, and the number of dropped lines is logged itself.
"""

import asyncio
import heapq
import math
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import errors
from app.db import Database, events
from logging_setup import get_logger
from logging_setup.config import add_sink, remove_sink

__all__ = ["recording"]

log = get_logger(__name__)

WRITE_S = 0.5
"""Seconds between two writes."""

KEPT = 20_000
"""Lines buffered while the database is unreachable, for each kind: in a long outage INFO lines are dropped before warnings."""

BATCH = 2_000
"""Lines in one transaction, so that a backlog after an outage does not hold the write lock for seconds."""

OWN_COLUMNS = frozenset({"ts", "level", "event", "job_id"})
UNIMPORTANT: Final = frozenset({"DEBUG", "INFO"})
Row = dict[str, Any]


class LineBuffer:
    """A bounded buffer of lines in the order in which they were logged; the oldest of a kind are dropped when it is full.

    Any thread adds lines, one task takes them.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._lock = threading.Lock()
        self._kept = kept
        self._lines: dict[bool, deque[tuple[int, Row]]] = {True: deque(), False: deque()}
        self._count = 0
        self._dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        return sum(len(lines) for lines in self._lines.values())

    def put(self, row: Row) -> None:
        """Add a line."""
        with self._lock:
            self._count += 1
            self._lines[_is_important(row)].append((self._count, row))
            self._keep_bounds()

    def take(self, most: int = BATCH) -> list[tuple[int, Row]]:
        """Remove and return the oldest lines, numbered."""
        with self._lock:
            merged = heapq.merge(*self._lines.values())
            taken = [line for line, _ in zip(merged, range(most), strict=False)]
            for _, row in taken:
                self._lines[_is_important(row)].popleft()
            return taken

    def put_back(self, taken: Sequence[tuple[int, Row]]) -> None:
        """Return lines that could not be written to the front of the buffer."""
        with self._lock:
            for number, row in reversed(taken):
                self._lines[_is_important(row)].appendleft((number, row))
            self._keep_bounds()

    def take_dropped(self) -> dict[str, int]:
        """Return and reset the number of dropped lines of each job."""
        with self._lock:
            dropped, self._dropped = dict(self._dropped), Counter()
            return dropped

    def _keep_bounds(self) -> None:
        for lines in self._lines.values():
            while len(lines) > self._kept:
                self._dropped[lines.popleft()[1]["job_id"]] += 1


def _is_important(row: Row) -> bool:
    return row["level"] not in UNIMPORTANT


class _Recording:
    """One sink and one writer task for a database, shared by all its holders."""

    def __init__(self, db: Database, kept: int = KEPT) -> None:
        self.db = db
        self.holders = 0
        self.waiting = LineBuffer(kept)
        self.sink = add_sink(lambda record: _take(self.waiting, record), level="INFO")
        self.closing = asyncio.Event()
        self.writer = asyncio.create_task(self._write_regularly())

    async def close(self) -> None:
        """Stop recording and write the buffer. The writer is stopped by an event, since a cancelled write would lose its rows."""
        self.closing.set()
        await asyncio.shield(self.writer)
        _log_dropped(self.waiting)
        remove_sink(self.sink)
        await asyncio.shield(_write(self.db, self.waiting))
        if self.waiting:
            log.error("event_log.not_written", lines=len(self.waiting))

    async def _write_regularly(self) -> None:
        while not self.closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), WRITE_S)
            if await _write(self.db, self.waiting):
                _log_dropped(self.waiting)


_open: dict[int, _Recording] = {}
"""Open recordings by the identity of their database; each is removed before its database is closed."""


@asynccontextmanager
async def recording(db: Database) -> AsyncIterator[None]:
    """Record the events of jobs while the body runs, and write the remaining lines at its end."""
    current = _open.get(id(db))
    if current is None:
        current = _open[id(db)] = _Recording(db)
    current.holders += 1
    try:
        yield
    finally:
        current.holders -= 1
        if not current.holders:
            del _open[id(db)]
            await current.close()


def _take(waiting: LineBuffer, record: Mapping[str, Any]) -> None:
    job_id = record.get("job_id")
    if not isinstance(job_id, str):
        return
    data = {name: _fit(value) for name, value in record.items() if name not in OWN_COLUMNS}
    waiting.put({"job_id": job_id, "at": time.time(), "level": record["level"], "event": str(record["event"])[:80], "data": data})


def _fit(value: Any) -> Any:
    """Replace NaN and infinity, which JSON lacks: PostgreSQL would refuse all lines of the statement."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _fit(item) for name, item in value.items()}
    return [_fit(item) for item in value] if isinstance(value, list | tuple) else value


def _log_dropped(waiting: LineBuffer) -> None:
    """Log the number of dropped lines of each job, into the event log of that job."""
    for job_id, lines in waiting.take_dropped().items():
        log.bind(job_id=job_id).warning("event_log.lines_dropped", lines=lines)


async def _write(db: Database, waiting: LineBuffer) -> bool:
    """Write the buffered lines; return whether all were written."""
    while taken := waiting.take():
        written = False
        try:
            await events.add(db, [row for _, row in taken])
            written = True
        except (errors.DatabaseConnectionError, errors.StorageError):
            return False
        finally:  # after any error the lines are kept
            if not written:
                waiting.put_back(taken)
    return True
