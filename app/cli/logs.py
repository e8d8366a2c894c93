"""A job's log from the events table, page by page, followed to the job's end where asked."""

import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from app.cli.documents import event_document
from app.cli.failures import Refused
from app.cli.interrupts import Interrupts
from app.cli.session import reading
from app.cli.state import Cli
from app.cli.words import clipped
from app.db import Database, events, jobs
from app.db.events import EventFilter
from app.db.rows import Event
from logging_setup import redact

__all__ = ["Reading", "print_logs", "wanted_lines"]

PAGE = 500
LOOK_S = 0.5
LATE_S = 1.5
"""Seconds that the last lines of a job may take to reach the database."""

LAST_ID: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Reading:
    """How far to read: from behind a line, so many lines at most, on to the job's end."""

    follow: bool = False
    limit: int | None = None
    cursor: str | None = None

    @property
    def last_id(self) -> int:
        """The line that was read last.

        Raises:
            Refused: the cursor is none.
        """
        if self.cursor is None:
            return 0
        if not re.fullmatch(r"\d{1,19}", self.cursor, re.ASCII) or int(self.cursor) > LAST_ID:
            raise Refused(f"--cursor {self.cursor[:80]!r} is no line of a log", "take next_cursor, or what `more: add --cursor` says")
        return int(self.cursor)


def wanted_lines(level: str | None, event: str | None, url: str | None, host: str | None, chunk: str | None) -> EventFilter:
    """The filter that the options ask for.

    Raises:
        Refused: one of them can match no line; says which, and what it takes.
    """
    if level is not None and level.upper() not in events.LEVELS:
        raise Refused(f"--level {level!r} does not exist", f"there is {', '.join(events.LEVELS).lower()}")
    if event is not None and not re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z0-9_]*)?", event):
        raise Refused(f"--event {event[:80]!r} begins no event", "events are words with a dot, as in download.retry or chunk.")
    if url is not None and not re.match(r"https?://[^/?#]", url):
        raise Refused(f"--url {url[:200]!r} is no URL", "write it as in the list, with its scheme: --url https://img.example/a.jpg")
    if host is not None and not re.fullmatch(r"[^\s/@?#]{1,255}", host):
        raise Refused(f"--host {host[:200]!r} is no host name", "write it without scheme and path: --host img.example")
    return EventFilter(level, event, redact(url) if url is not None else None, host, chunk)


async def print_logs(cli: Cli, job_id: str, wanted: EventFilter, how: Reading) -> int:
    """Print what there is, or go on until the job has ended or somebody interrupts."""
    last_id, settings = how.last_id, cli.settings()
    async with reading(cli, settings) as db:
        await jobs.get(db, job_id)
        await _require_chunk(db, job_id, wanted.chunk_id)
        with Interrupts(lambda _: None) as interrupts:
            documents: list[dict[str, Any]] = []
            cursor = None
            async with aclosing(_lines(db, job_id, interrupts, wanted, how)) as lines:
                async for line in lines:
                    if how.limit is not None and len(documents) == how.limit:
                        cursor = str(last_id)
                        break
                    last_id = line.id
                    documents.append(_shown(cli, line, how))
        _end(cli, documents, cursor, how)
    return interrupts.code or 0


def _shown(cli: Cli, line: Event, how: Reading) -> dict[str, Any]:
    """Print a line, unless it is to be part of one document; what that document keeps of it."""
    if cli.as_json and not how.follow:
        return event_document(line)
    if cli.as_json:
        cli.document(event_document(line))
    else:
        cli.result(_words(line), None)
    return {}


def _end(cli: Cli, documents: list[dict[str, Any]], cursor: str | None, how: Reading) -> None:
    if cli.as_json and not how.follow:
        cli.document({"items": documents, "next_cursor": cursor})
    elif not cli.as_json and cursor is not None:
        cli.note(f"more: add --cursor {cursor}")
    elif not cli.as_json and not documents:
        cli.note("no lines")


async def _require_chunk(db: Database, job_id: str, chunk_id: str | None) -> None:
    if chunk_id is not None and not await jobs.has_chunk(db, job_id, chunk_id):
        raise Refused(
            f"--chunk {chunk_id[:80]!r} is no chunk of {job_id}",
            "pictrawl explain of an image says in which chunk it is; --json has it, too",
        )


async def _lines(db: Database, job_id: str, interrupts: Interrupts, wanted: EventFilter, how: Reading) -> AsyncGenerator[Event, None]:
    last_id, over_at = how.last_id, None
    size = PAGE if how.limit is None else min(PAGE, how.limit + 1)
    while True:
        page = await events.after(db, job_id, wanted, last_id=last_id, limit=size)
        for line in page:
            yield line
            last_id = line.id
        if len(page) == size:
            continue
        if over_at is None and (not how.follow or (await jobs.get(db, job_id)).is_final):
            over_at = time.monotonic() + (LATE_S if how.follow else 0)
        if over_at is not None and time.monotonic() >= over_at:
            return
        if await interrupts.wait(LOOK_S):
            return


def _words(line: Event) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(line.at))
    pairs = " ".join(
        f"{clipped(name, 40)}={_value(value)}" for name, value in line.data.items() if name not in _KNOWN and value is not None
    )
    return f"{at} {line.level:<7} {clipped(line.event, 80):<22} {pairs}".rstrip()


_KNOWN = frozenset({"logger", "job_id", "user_id", "request_id", "traceparent", "unit_id", "chunk_id", "job", "run", "worker", "traceback"})
"""Said elsewhere, or too long for a line; --json shows them."""


def _value(value: Any) -> str:
    text = clipped(str(value), 200)
    return f'"{text}"' if " " in text or not text else text
