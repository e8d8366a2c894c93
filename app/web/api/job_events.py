"""``/v1/jobs/{id}/events``: the lines of a job's log, as pages or as a stream (SSE) that ends with the job."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, format_sse_event
from pydantic import BaseModel, BeforeValidator, Field
from starlette.responses import JSONResponse

import errors
from app.db import Database, events, jobs, rows
from app.db.events import LAST_ID, EventFilter
from app.discovery import urls
from app.jobs.attendance import mark_unattended
from app.jobs.pace import PaceMeters
from app.resources import Resources
from app.web.api import job_views
from app.web.api.conventions import Here, JobId, NoQuery, Text, View, at
from logging_setup import get_logger, redact

__all__ = ["COST_FACTOR", "EventPage", "EventQuery", "read_page", "router", "wants_stream"]

log = get_logger(__name__)

router = APIRouter(tags=["jobs"])

POLL_S = 0.5
"""Seconds between two reads of the job log, which is written as often."""

PROGRESS_S = 1.0
COST_FACTOR = 20.0
"""Figures are sent at most every second, and no oftener than 20 times what it takes to count them."""

PING_S = 15.0
"""Seconds of silence after which a comment keeps proxies from closing the stream."""

SETTLE_S = 1.5
"""Seconds after a job's end within which its last lines reach the database."""

SERVER_ONLY = frozenset({"traceback", "logger"})
"""Fields of a log line that describe the server, not the job; they are not sent."""


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


class EventQuery(NoQuery):
    """Which lines."""

    after: int = Field(0, ge=0, le=LAST_ID, description="Only lines beyond this id.")
    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] | None, BeforeValidator(_upper)] = Field(
        None, description="Only lines at least this severe."
    )
    event: Text | None = Field(None, max_length=80, description="Only lines whose event begins like this.")
    url: Text | None = Field(
        None,
        max_length=8192,
        pattern=r"^https?://",
        description="Only lines about this URL. Lines hold no query strings: those of all queries.",
    )
    host: Text | None = Field(None, max_length=255, pattern=r"^[^\s/@?#]+$", description="Only lines about this host, as in `img.example`.")
    chunk_id: Text | None = Field(None, max_length=40, pattern=r"^chunk_", description="Only lines about this chunk of the job's images.")
    text: Text | None = Field(
        None, min_length=1, max_length=200, description="Of a page: only lines that contain this text, in any case, newest first."
    )
    before: int | None = Field(None, ge=1, le=LAST_ID, description="Of a page: the lines before this id, newest first.")
    newest: bool = Field(False, description="Of a page: newest first, from the last line on.")
    limit: int = Field(100, ge=1, le=200, description="Lines on one page; a stream sends all.")

    @property
    def is_newest_first(self) -> bool:
        """Whether a page begins with its newest line."""
        return self.newest or self.before is not None or self.text is not None

    def wanted(self) -> EventFilter:
        """The filter, with the URL as lines show it."""
        url = redact(urls.usable(self.url) or self.url) if self.url is not None else None
        return EventFilter(level=self.level, event=self.event, url=url, host=self.host, chunk_id=self.chunk_id)


class Event(View):
    """One line of a job's life."""

    id: int
    at: datetime
    level: str
    event: str
    data: dict[str, Any]


class EventPage(View):
    """Lines, oldest first; newest first with `text`, `before` or `newest`."""

    items: list[Event]
    next_after: int | None = Field(description="Send it as `after` for the next page; null on the last, and where the newest are first.")
    next_before: int | None = Field(
        None, description="Send it as `before` for older lines, if there are any. With `text` a page may have few lines or none."
    )


class Bye(View):
    """The end of a stream."""

    status: str = Field(description="The job's last state, or `deleted`.")


LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", pattern=r"^\d{1,18}$", description="Id of the last line received; overrides `after`."),
]

DOCUMENTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream, or with `Accept: application/json` one page.",
        "model": EventPage,
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "string",
                    "description": "`snapshot` (the job), `event` (a line; its id resumes), `progress` (figures), `bye` (the job ended).",
                }
            },
        },
    }
}


@router.get(
    "/v1/jobs/{job_id}/events",
    operation_id="jobs_events",
    summary="A job's life, as a stream or a page",
    response_class=Response,
    responses=DOCUMENTED,
)
async def job_events(
    call: Here,
    request: Request,
    job_id: JobId,
    query: Annotated[EventQuery, Query()],
    last_event_id: LastEventId = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "*/*",
) -> Response:
    """`Last-Event-ID` resumes a broken stream; browsers send it by themselves."""
    db = call.resources.db
    job = await jobs.get(db, job_id, user_id=call.user_id)
    if last_event_id is not None:
        query = query.model_copy(update={"after": int(last_event_id)})
    if not wants_stream(accept):
        return JSONResponse((await read_page(db, job_id, query)).model_dump(mode="json"))
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    if call.is_head:
        return EventSourceResponse(iter(()), headers=headers)
    return EventSourceResponse(EventStream(call.resources, job, query, request.app.state.stopping, call.meters).run(), headers=headers)


async def read_page(db: Database, job_id: str, query: EventQuery) -> EventPage:
    """A page of a job's log."""
    if query.is_newest_first:
        older = await events.search(db, job_id, query.wanted(), text=query.text or "", first_id=query.before or LAST_ID, limit=query.limit)
        return EventPage(items=[_view(event) for event in older.lines], next_after=None, next_before=older.goes_on_before)
    found = await events.after(db, job_id, query.wanted(), last_id=query.after, limit=query.limit)
    return EventPage(items=[_view(event) for event in found], next_after=found[-1].id if len(found) == query.limit else None)


def _view(event: rows.Event) -> Event:
    data = {name: value for name, value in event.data.items() if name not in SERVER_ONLY}
    return Event(id=event.id, at=at(event.at), level=event.level, event=event.event, data=data)


def wants_stream(accept: str) -> bool:
    """Return whether an Accept header prefers a stream (RFC 9110 12.5.1); without a preference it is a stream."""
    return _preference(accept, "text", "event-stream") >= _preference(accept, "application", "json")


def _preference(accept: str, kind: str, subtype: str) -> tuple[float, int]:
    """(quality, how exactly it was named) of a media type."""
    best = (0.0, 0)
    for item in accept.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        ranges = {f"{kind}/{subtype}": 3, f"{kind}/*": 2, "*/*": 1}
        if name in ranges:
            best = max(best, (_quality(parameters), ranges[name]), key=lambda found: (found[1], found[0]))
    return best if best[0] else (0.0, 0)


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return min(1.0, max(0.0, float(parameter[2:])))
            except ValueError:
                return 0.0
    return 1.0


class EventStream:
    """One client of the stream. It polls the database, so any process may work on the job."""

    def __init__(
        self, resources: Resources, job: rows.Job, query: EventQuery, stopping: asyncio.Event, meters: PaceMeters | None = None
    ) -> None:
        self.db = resources.db
        self.workspace = resources.workspace
        self.meters = meters or PaceMeters()
        self.job = job
        self.wanted = query.wanted()
        self.last_id = query.after
        self.stopping = stopping
        self.sent_at = 0.0
        self.count_at = 0.0
        self.figures: job_views.JobProgress | None = None

    async def run(self) -> AsyncIterator[bytes]:
        """Yield messages until the job has ended, the server stops or the database is unavailable."""
        try:
            yield self._message("snapshot", await job_views.load_job(self.db, await self._marked(), self.meters))
            async for message in self._follow():
                self.sent_at = time.monotonic()
                yield message
        except errors.NotFoundError:
            yield self._message("bye", Bye(status="deleted"))
        except errors.DatabaseConnectionError as error:  # the client comes back with its Last-Event-ID
            log.warning("sse.database_away", error=str(error))

    async def _follow(self) -> AsyncIterator[bytes]:
        while not self.stopping.is_set():
            was_settled = self._is_settled()  # read before the lines, so that no line of a running job is missed
            async for message in self._lines():
                yield message
            if (figures := await self._progress(at_once=was_settled)) is not None:
                yield figures
            if was_settled:
                yield self._message("bye", Bye(status=self.job.state.value))
                return
            if time.monotonic() - self.sent_at > PING_S:
                yield format_sse_event(comment="ping")
            await self._pause()
            self.job = await jobs.get(self.db, self.job.id)

    async def _lines(self) -> AsyncIterator[bytes]:
        while True:
            page = await events.after(self.db, self.job.id, self.wanted, last_id=self.last_id)
            for event in page:
                self.last_id = event.id
                yield self._message("event", _view(event), str(event.id))
            if not page:
                return

    async def _progress(self, *, at_once: bool) -> bytes | None:
        began = time.monotonic()
        if began < self.count_at and not at_once:
            return None
        figures = await job_views.load_figures(self.db, await self._marked(), self.meters)
        ended = time.monotonic()
        self.count_at = ended + max(PROGRESS_S, COST_FACTOR * (ended - began))
        if figures == self.figures:
            return None
        self.figures = figures
        return self._message("progress", figures)

    async def _marked(self) -> rows.Job:
        """The job, marked where no process works on it."""
        return (await mark_unattended(self.db, self.workspace, [self.job]))[0]

    def _is_settled(self) -> bool:
        return self.job.is_final and time.time() - (self.job.finished_at or 0.0) > SETTLE_S

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self.stopping.wait(), POLL_S)
        except TimeoutError:
            return

    @staticmethod
    def _message(event: str, body: BaseModel, event_id: str | None = None) -> bytes:
        return format_sse_event(event=event, data_str=body.model_dump_json(), id=event_id)
