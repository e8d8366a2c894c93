"""A job's log lines as event rows: what is logged at INFO or above inside a job's context can be read back by anyone who may see the job.

Workers and the API record; where both live in one process they share one recording, or every event would be written twice. Lines wait
half a second at most for their write. What waits is bounded, warnings apart from the rest, and what the bounds cost is itself a line.
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
"""Events that wait while the database is away, of each kind: an hour without a database costs INFO lines before it costs a warning."""

BATCH = 2_000
"""Events in one transaction: what gathered over an outage must not hold the database's one writer for seconds."""

OWN_COLUMNS = frozenset({"ts", "level", "event", "job_id"})
UNIMPORTANT: Final = frozenset({"DEBUG", "INFO"})
Row = dict[str, Any]


class Waiting:
    """Lines on their way to the database, in the order they were logged; the oldest of their kind give way where there are too many.

    Filled by whichever thread logs, emptied by one task.
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
        """Take a line in."""
        with self._lock:
            self._count += 1
            self._lines[_is_important(row)].append((self._count, row))
            self._keep_bounds()

    def take(self, most: int = BATCH) -> list[tuple[int, Row]]:
        """The oldest lines, numbered; they wait no more."""
        with self._lock:
            merged = heapq.merge(*self._lines.values())
            taken = [line for line, _ in zip(merged, range(most), strict=False)]
            for _, row in taken:
                self._lines[_is_important(row)].popleft()
            return taken

    def put_back(self, taken: Sequence[tuple[int, Row]]) -> None:
        """Lines that could not be written wait again, before all that came since."""
        with self._lock:
            for number, row in reversed(taken):
                self._lines[_is_important(row)].appendleft((number, row))
            self._keep_bounds()

    def take_dropped(self) -> dict[str, int]:
        """How many lines of each job gave way since this was last asked."""
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
    """One sink and one writer for a database, however many hold it open."""

    def __init__(self, db: Database, kept: int = KEPT) -> None:
        self.db = db
        self.holders = 0
        self.waiting = Waiting(kept)
        self.sink = add_sink(lambda record: _take(self.waiting, record), level="INFO")
        self.closing = asyncio.Event()
        self.writer = asyncio.create_task(self._write_regularly())

    async def close(self) -> None:
        """Take no more, and write what waits. The writer is asked, not cancelled: a write that is cut off loses its rows."""
        self.closing.set()
        await asyncio.shield(self.writer)
        _tell_dropped(self.waiting)
        remove_sink(self.sink)
        await asyncio.shield(_write(self.db, self.waiting))
        if self.waiting:
            log.error("journal.not_written", lines=len(self.waiting))

    async def _write_regularly(self) -> None:
        while not self.closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), WRITE_S)
            if await _write(self.db, self.waiting):
                _tell_dropped(self.waiting)


_open: dict[int, _Recording] = {}
"""Recordings of this process by their database's identity; each is removed before its database can go."""


@asynccontextmanager
async def recording(db: Database) -> AsyncIterator[None]:
    """Write the events of jobs to the database for the body's time, and the rest of them at its end."""
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


def _take(waiting: Waiting, record: Mapping[str, Any]) -> None:
    job_id = record.get("job_id")
    if not isinstance(job_id, str):
        return
    data = {name: _fit(value) for name, value in record.items() if name not in OWN_COLUMNS}
    waiting.put({"job_id": job_id, "at": time.time(), "level": record["level"], "event": str(record["event"])[:80], "data": data})


def _fit(value: Any) -> Any:
    """JSON has no NaN and no infinity: PostgreSQL would refuse the line, and every line written with it."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _fit(item) for name, item in value.items()}
    return [_fit(item) for item in value] if isinstance(value, list | tuple) else value


def _tell_dropped(waiting: Waiting) -> None:
    """A line like any other, which goes the same way: into the job's own log."""
    for job_id, lines in waiting.take_dropped().items():
        log.bind(job_id=job_id).warning("journal.lines_dropped", lines=lines)


async def _write(db: Database, waiting: Waiting) -> bool:
    """Write what waits, as far as the database takes it; whether it took all."""
    while taken := waiting.take():
        written = False
        try:
            await events.add(db, [row for _, row in taken])
            written = True
        except (errors.DatabaseConnectionError, errors.StorageError):
            return False
        finally:  # whatever it was that went wrong, the lines are still there
            if not written:
                waiting.put_back(taken)
    return True
