"""A job's log lines as event rows: what is logged at INFO or above inside a job's context can be read back by anyone who may see the job.

Workers and the API record; where both live in one process they share one recording, or every event would be written twice.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import errors
from app.db import Database, events
from logging_setup import add_sink, get_logger, remove_sink

__all__ = ["recording"]

log = get_logger(__name__)

WRITE_S = 0.5
"""Seconds between two writes."""

KEPT = 20_000
"""Events that wait while the database is away; beyond that, lines are only in the log."""

OWN_COLUMNS = frozenset({"ts", "level", "event", "job_id"})


class _Recording:
    """One sink and one writer for a database, however many hold it open."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.holders = 0
        self.waiting: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.sink = add_sink(lambda record: _take(self.waiting, record), level="INFO")
        self.closing = asyncio.Event()
        self.writer = asyncio.create_task(self._write_regularly())

    async def close(self) -> None:
        """Take no more, and write what waits. The writer is asked, not cancelled: a write that is cut off loses its rows."""
        remove_sink(self.sink)
        self.closing.set()
        await asyncio.shield(self.writer)
        await asyncio.shield(_write(self.db, self.waiting))

    async def _write_regularly(self) -> None:
        while not self.closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), WRITE_S)
            await _write(self.db, self.waiting)


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


def _take(waiting: deque[dict[str, Any]], record: Mapping[str, Any]) -> None:
    job_id = record.get("job_id")
    if not isinstance(job_id, str):
        return
    data = {name: value for name, value in record.items() if name not in OWN_COLUMNS}
    waiting.append({"job_id": job_id, "at": time.time(), "level": record["level"], "event": str(record["event"])[:80], "data": data})


async def _write(db: Database, waiting: deque[dict[str, Any]]) -> None:
    rows = [waiting.popleft() for _ in range(len(waiting))]
    try:
        await events.add(db, rows)
    except (errors.DatabaseConnectionError, errors.StorageError):
        waiting.extendleft(reversed(rows))
