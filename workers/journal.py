"""A job's log lines as event rows: what is logged at INFO or above in a job's context, whoever may see the job can read back."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import errors
from app.db import Database, events
from logging_setup import add_sink, get_logger, remove_sink

__all__ = ["recording"]

log = get_logger(__name__)

WRITE_S = 0.5
"""Seconds between two writes."""

KEPT = 20_000
"""Events that wait while the database is away; the oldest go first, and are counted."""

OWN_COLUMNS = frozenset({"ts", "level", "event", "job_id"})


@asynccontextmanager
async def recording(db: Database) -> AsyncIterator[None]:
    """Write the events of jobs to the database for the body's time, and the rest of them at its end."""
    waiting: deque[dict[str, Any]] = deque(maxlen=KEPT)
    sink = add_sink(lambda record: _take(waiting, record), level="INFO")
    writer = asyncio.create_task(_write_regularly(db, waiting))
    try:
        yield
    finally:
        remove_sink(sink)
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
        await asyncio.shield(_write(db, waiting))


def _take(waiting: deque[dict[str, Any]], record: Mapping[str, Any]) -> None:
    job_id = record.get("job_id")
    if not isinstance(job_id, str):
        return
    data = {name: value for name, value in record.items() if name not in OWN_COLUMNS}
    waiting.append({"job_id": job_id, "at": time.time(), "level": record["level"], "event": str(record["event"])[:80], "data": data})


async def _write_regularly(db: Database, waiting: deque[dict[str, Any]]) -> None:
    while True:
        await asyncio.sleep(WRITE_S)
        await _write(db, waiting)


async def _write(db: Database, waiting: deque[dict[str, Any]]) -> None:
    rows = [waiting.popleft() for _ in range(len(waiting))]
    try:
        await events.add(db, rows)
    except (errors.DatabaseConnectionError, errors.StorageError):
        waiting.extendleft(reversed(rows))
