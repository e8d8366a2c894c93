"""What one call of the retry layer, the attempt record and the log costs, called alone as the pipeline calls it. Only CPU time counts."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from app.db import attempts, tables
from app.db.engine import Database
from downloader import Attempt, FetchRequest, RetryRules
from downloader.attempt import Errand
from downloader.policy import RetryPolicy
from downloader.trail import Trail
from logging_setup import configure, get_logger, redact

__all__ = ["GROUP", "LoggingCosts", "RetryCosts", "logging_costs", "retry_costs"]

GROUP: Final = 32
"""Rows that the pipeline reserves in one statement."""

BATCHES: Final = 7
DATABASE: Final = "pictrawl.db"
CONTEXT: Final = {"job_id": "job_1", "unit_id": "unit_1", "chunk_id": "chunk_1", "worker": "wrk_1", "run": 1}
URL: Final = "https://images.example.com/photos/2024/05/a-name-of-some-length-1234567.jpg"


@dataclass(frozen=True, slots=True)
class RetryCosts:
    """Microseconds a call: Tenacity, the record of an attempt in memory, its rows in a database."""

    retry_us: float
    record_us: float
    rows_us: float


@dataclass(frozen=True, slots=True)
class LoggingCosts:
    """Microseconds a call: a line that is written, one that is filtered out, a context, a URL made fit for a line."""

    line_us: float
    filtered_us: float
    context_us: float
    redact_us: float


async def retry_costs(workspace: Path, calls: int = 3000) -> RetryCosts:
    """Call the retry layer ``calls`` times and more; the rows go into the database of a run, which is changed by it."""
    policy = RetryPolicy(RetryRules(), sleep=asyncio.sleep)
    request, log, errand = FetchRequest(URL, key="1"), _Memory(), Errand(120.0)
    watch = Trail(request, errand, log, time.time)

    async def nothing(number: int = 1) -> int:
        return number

    async def recorded() -> None:
        trail = Trail(request, errand, log, time.time)
        await trail.follow(1, lambda: trail.reserve(1))
        trail.close()

    bare = await _coroutine_us(nothing, calls)
    return RetryCosts(
        await _coroutine_us(lambda: policy.run(nothing, host="images.example.com", watch=watch), calls) - bare,
        await _coroutine_us(recorded, calls) - bare,
        await _rows_us(workspace),
    )


def logging_costs(folder: Path, calls: int = 3000) -> LoggingCosts:
    """Log ``calls`` times and more, at INFO, into a stream and a file. Sets the log of this process up anew."""
    with Path(os.devnull).open("w") as stream:
        configure("INFO", "json", str(folder / "lines.jsonl"), stream)
        log = get_logger(__name__)

        def context() -> None:
            with log.contextualize(url=URL):
                pass

        with log.contextualize(**CONTEXT):
            costs = LoggingCosts(
                _call_us(lambda: log.info("chunk.fetched", ok=97, failed=3), calls),
                _call_us(lambda: log.debug("download.fetched", status=200, size_bytes=100_000), calls),
                _call_us(context, calls),
                _call_us(lambda: redact(URL), calls),
            )
        configure()
    return costs


class _Memory:
    """An attempt log that remembers one thing."""

    async def reserve(self, request: FetchRequest, number: int) -> None:
        self.last: object = number

    def record(self, request: FetchRequest, attempt: Attempt) -> None:
        self.last = attempt


async def _rows_us(workspace: Path) -> float:
    """Reserve and record a second attempt for every image of the run, in groups as the pipeline does."""
    db = Database(f"sqlite+aiosqlite:///{workspace / DATABASE}")
    try:
        async with db.write() as connection:
            rows = (await connection.execute(tables.attempts.select())).all()
        unit: Any = SimpleNamespace(job_id=rows[0].job_id, epoch=rows[0].epoch)
        started = time.process_time()
        for at in range(0, len(rows), GROUP):
            group = [row.image_id for row in rows[at : at + GROUP]]
            async with db.write() as connection:
                await attempts.reserve(connection, unit, [(image_id, 2) for image_id in group])
            async with db.write() as connection:
                await attempts.record(connection, unit, [(image_id, 2, Attempt(2, time.time(), 0.1, status=200)) for image_id in group])
        return (time.process_time() - started) / len(rows) * 1e6
    finally:
        await db.close()


def _call_us(call: Callable[[], object], calls: int) -> float:
    """The least CPU of several batches, in microseconds a call."""
    best = float("inf")
    for _ in range(BATCHES):
        started = time.process_time()
        for _ in range(calls):
            call()
        best = min(best, time.process_time() - started)
    return best / calls * 1e6


async def _coroutine_us(call: Callable[[], Awaitable[object]], calls: int) -> float:
    """As `_call_us`, for what is awaited."""
    best = float("inf")
    for _ in range(BATCHES):
        started = time.process_time()
        for _ in range(calls):
            await call()
        best = min(best, time.process_time() - started)
    return best / calls * 1e6
