"""A job's log from the events table, page by page, followed to the job's end where asked."""

import time
from collections.abc import AsyncIterator
from typing import Any

from app.cli.documents import event_document
from app.cli.failures import Refused
from app.cli.interrupts import Interrupts
from app.cli.session import reading
from app.cli.state import Cli
from app.cli.words import clipped
from app.db import Database, events, jobs
from app.db.rows import Event

__all__ = ["print_logs"]

PAGE = 500
LOOK_S = 0.5
LATE_S = 1.5
"""Seconds that the last lines of a job may take to reach the database."""


async def print_logs(cli: Cli, job_id: str, *, follow: bool, level: str | None, event: str | None) -> int:
    """Print what there is, or go on until the job has ended or somebody interrupts."""
    if level is not None and level.upper() not in events.LEVELS:
        raise Refused(f"--level {level!r} does not exist", f"there is {', '.join(events.LEVELS).lower()}")
    settings = cli.settings()
    async with reading(cli, settings) as db:
        await jobs.get(db, job_id)
        with Interrupts(lambda _: None) as interrupts:
            documents = []
            async for line in _lines(db, job_id, interrupts, follow=follow, level=level, event=event):
                if cli.as_json and not follow:
                    documents.append(event_document(line))
                elif cli.as_json:
                    cli.document(event_document(line))
                else:
                    cli.result(_words(line), None)
        if cli.as_json and not follow:
            cli.document({"items": documents, "next_cursor": None})
    return interrupts.code or 0


async def _lines(
    db: Database, job_id: str, interrupts: Interrupts, *, follow: bool, level: str | None, event: str | None
) -> AsyncIterator[Event]:
    last_id, over_at = 0, None
    while True:
        page = await events.after(db, job_id, last_id=last_id, level=level, event=event, limit=PAGE)
        for line in page:
            yield line
            last_id = line.id
        if len(page) == PAGE:
            continue
        if over_at is None and (not follow or (await jobs.get(db, job_id)).is_final):
            over_at = time.monotonic() + (LATE_S if follow else 0)
        if over_at is not None and time.monotonic() >= over_at:
            return
        if await interrupts.wait(LOOK_S):
            return


def _words(line: Event) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(line.at))
    pairs = " ".join(f"{name}={_value(value)}" for name, value in line.data.items() if name not in _KNOWN and value is not None)
    return f"{at} {line.level:<7} {line.event:<22} {pairs}".rstrip()


_KNOWN = frozenset({"logger", "job_id", "user_id", "request_id", "unit_id", "chunk_id", "job", "run", "worker", "traceback"})
"""Said elsewhere, or too long for a line; --json shows them."""


def _value(value: Any) -> str:
    text = clipped(str(value), 200)
    return f'"{text}"' if " " in text or not text else text
