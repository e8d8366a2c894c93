"""``pictrawl jobs watch|logs``: follow the progress of a job, or its log."""

import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

import typer

from app.cli.documents import event_document
from app.cli.failures import UsageError
from app.cli.follow import follow_job
from app.cli.options import Cli, Cursor, JobId
from app.cli.progress import open_display
from app.cli.report import load_report
from app.cli.session import Interrupts, open_database, run, workspace_of
from app.cli.settings import load_settings
from app.db import Database, events, jobs, lookup
from app.db.events import EventFilter
from app.db.rows import Event
from app.explain.log_line import line_words
from app.formatting import clipped
from logging_setup import redact

__all__ = ["logs", "watch"]

PAGE = 500

POLL_S = 0.5
"""Seconds between two looks for new lines."""

LATE_S = 1.5
"""Seconds that the last lines of a job may take to reach the database."""

LAST_ID: Final = 2**63 - 1


def watch(cli: Cli, job: JobId) -> int:
    """Follow a job that other processes work on.

    Ctrl-C ends the watching, not the job.
    """
    return run(_watch(cli, job))


async def _watch(cli: Cli, job_id: str) -> int:
    settings = load_settings(cli)
    async with open_database(cli, settings) as db:
        job_id = await lookup.job_id(db, job_id)
        job = await jobs.get(db, job_id)
        workspace = workspace_of(settings)
        url = workspace.find_url() if workspace is not None else None
        page = f"{url}/jobs/{job_id}" if url else None
        if page is not None:
            cli.note(f"  page       {page}")
        with Interrupts() as interrupts, open_display(cli, settings, f"{job.kind}  {job_id}") as display:
            await follow_job(db, job_id, display.update, interrupts, workspace=workspace)
        report = await load_report(db, job_id, interrupted=interrupts.code)
    if interrupts.code is not None and not report.job.is_final:
        cli.note(f"the job continues; pictrawl jobs watch {job_id}")
    text = report.summary(workspace_options=cli.workspace_options) if report.job.is_final else ""
    cli.result(text, report.document() | {"url": page}, brief=report.job.state.value)
    return report.code


def logs(
    cli: Cli,
    job: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for new lines until the job has ended.")] = False,
    level: Annotated[str | None, typer.Option("--level", metavar="LEVEL", help="Only lines of at least this level.")] = None,
    event: Annotated[str | None, typer.Option("--event", metavar="PREFIX", help="Only events with this prefix, as in chunk.")] = None,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="Only about this URL; its query is ignored.")] = None,
    host: Annotated[str | None, typer.Option("--host", metavar="HOST", help="Only about this host.")] = None,
    chunk: Annotated[
        str | None, typer.Option("--chunk", metavar="CHUNK", help="Only about this chunk: its id, or the beginning of it.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, metavar="N", help="At most N lines; default: all.")] = None,
    cursor: Cursor = None,
) -> int:
    """Print a job's log, from submission to export.

    Several filters must all match. With --json and --follow: one document a line.
    """
    wanted = _event_filter(level, event, url, host, chunk)
    return run(_print_logs(cli, job, wanted, Window(follow, limit, cursor)))


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a log to print: from behind a line, so many lines at most, on to the job's end."""

    follow: bool = False
    limit: int | None = None
    cursor: str | None = None

    @property
    def last_id(self) -> int:
        """The id of the line that was read last.

        Raises:
            UsageError: the cursor is not a line's id.
        """
        if self.cursor is None:
            return 0
        if not re.fullmatch(r"\d{1,19}", self.cursor, re.ASCII) or int(self.cursor) > LAST_ID:
            raise UsageError(f"--cursor {self.cursor[:80]!r} is no line of a log", "take next_cursor, or what `more: add --cursor` says")
        return int(self.cursor)


def _event_filter(level: str | None, event: str | None, url: str | None, host: str | None, chunk: str | None) -> EventFilter:
    """The filter of the options.

    Raises:
        UsageError: one of them can match no line.
    """
    if level is not None and level.upper() not in events.LEVELS:
        raise UsageError(f"--level {level!r} does not exist", f"there is {', '.join(events.LEVELS).lower()}")
    if event is not None and not re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z0-9_]*)?", event):
        raise UsageError(f"--event {event[:80]!r} is the prefix of no event", "events are words with a dot, as in download.retry or chunk.")
    requested = _requested(url) if url is not None else None
    if url is not None and requested is None:
        raise UsageError(f"--url {url[:200]!r} is no URL", "write it as in the list, with its scheme: --url https://img.example/a.jpg")
    if host is not None and not re.fullmatch(r"[^\s/@?#]{1,255}", host):
        raise UsageError(f"--host {host[:200]!r} is no host name", "write it without scheme and path: --host img.example")
    return EventFilter(level, event, redact(requested) if requested is not None else None, host, chunk)


def _requested(url: str) -> str | None:
    """Return the URL that is requested for one as the list has it; the URL parser takes 50 ms to import."""
    from app.discovery import urls

    return urls.usable(url)


async def _print_logs(cli: Cli, job_id: str, wanted: EventFilter, window: Window) -> int:
    last_id = window.last_id
    async with open_database(cli, load_settings(cli)) as db:
        job_id = await lookup.job_id(db, job_id)
        if wanted.chunk_id is not None:
            wanted = replace(wanted, chunk_id=await _chunk_id(db, job_id, wanted.chunk_id))
        with Interrupts() as interrupts:
            documents: list[dict[str, Any]] = []
            cursor = None
            async with aclosing(_lines(db, job_id, interrupts, wanted, window)) as lines:
                async for line in lines:
                    if window.limit is not None and len(documents) == window.limit:
                        cursor = str(last_id)
                        break
                    last_id = line.id
                    documents.append(_print_line(cli, line, window))
    if cli.as_json and not window.follow:
        cli.document({"items": documents, "next_cursor": cursor})
    elif not cli.as_json and cursor is not None:
        cli.note(f"more: add --cursor {cursor}")
    elif not cli.as_json and not documents:
        cli.note("no lines")
    return interrupts.code or 0


async def _chunk_id(db: Database, job_id: str, text: str) -> str:
    found = await lookup.chunk_id(db, job_id, text)
    if found is None:
        hint = "pictrawl explain of an image shows its chunk, with --json too"
        raise UsageError(f"--chunk {text[:80]!r} is no chunk of {job_id}", hint)
    return found


def _print_line(cli: Cli, line: Event, window: Window) -> dict[str, Any]:
    """Print a line, or return its part of the one document that is printed at the end."""
    if cli.as_json and not window.follow:
        return event_document(line)
    if cli.as_json:
        cli.document(event_document(line))
    else:
        cli.result(_line_text(line), None)
    return {}


async def _lines(db: Database, job_id: str, interrupts: Interrupts, wanted: EventFilter, window: Window) -> AsyncGenerator[Event, None]:
    last_id, over_at = window.last_id, None
    size = PAGE if window.limit is None else min(PAGE, window.limit + 1)
    while True:
        page = await events.after(db, job_id, wanted, last_id=last_id, limit=size)
        for line in page:
            yield line
            last_id = line.id
        if len(page) == size:
            continue
        if over_at is None and (not window.follow or (await jobs.get(db, job_id)).is_final):
            over_at = time.monotonic() + (LATE_S if window.follow else 0)
        if over_at is not None and time.monotonic() >= over_at:
            return
        if await interrupts.wait(POLL_S):
            return


def _line_text(line: Event) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(line.at))
    return f"{at} {line.level:<7} {clipped(line.event, 80):<22} {line_words(line.data)}".rstrip()
