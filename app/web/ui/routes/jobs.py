"""``/jobs`` and ``/jobs/{id}``: what jobs do, live, and how they are paused, resumed, cancelled and retried; and the log of one."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Query, Request
from pydantic import BeforeValidator, ValidationError
from starlette.responses import RedirectResponse, Response

from app.db import datasets as dataset_rows
from app.domain import Reason
from app.explain.hosts import merge
from app.explain.hosts_at_work import hosts_at_work
from app.job_states import ACTIVE_JOB_STATES, FINAL_JOB_STATES, DesiredState, JobKind, JobState
from app.jobs import submit
from app.web.api import explain, job_events, jobs, problems
from app.web.api.conventions import Call, JobId, JobQuery, NoQuery, PageQuery, call_of
from app.web.api.explain import Stage
from app.web.api.job_events import COST_FACTOR, EventQuery
from app.web.api.job_views import Job
from app.web.ui.forms import read_form
from app.web.ui.templating import is_fragment, link, render

__all__ = ["Bar", "router", "timeline"]

router = APIRouter()

NEWEST = 24
"""Pictures on the page of a job: one or two rows of a contact sheet."""

LINES = 100
LINES_BESIDE = 40
"""Lines of a log at once: on its own page, and on that of its job."""

TIMES_EVERY_S = 5
"""Seconds between two readings of the times, which count all requests of the job: at most a twentieth of the time is spent on it."""

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
SVG_WIDTH = 1_000
"""Units of the width of the timeline, which is drawn at any size."""

MIN_BAR = 3
"""Width of the shortest bar that can be seen."""


class Bar(NamedTuple):
    """A stage on the timeline: where its bar begins and how long it is, of `SVG_WIDTH`, and how long the stage took."""

    stage: Stage
    x: int
    width: int
    took_s: float


class JobsQuery(JobQuery):
    """Which jobs; a choice of all is an empty value in a form."""

    state: Annotated[JobState | None, BeforeValidator(lambda value: value or None)] = None
    kind: Annotated[JobKind | None, BeforeValidator(lambda value: value or None)] = None


class PartQuery(NoQuery):
    """Which part of the page a script asks for."""

    part: Literal["live", "time"] = "live"


@router.get("/jobs")
async def list_jobs(request: Request, query: Annotated[JobsQuery, Query()]) -> Response:
    """All jobs, newest first."""
    call = call_of(request)
    found = await jobs.list_jobs(call, query)
    active = [await jobs.get_job(call, job.id, NoQuery()) for job in found.items if job.status in ACTIVE_JOB_STATES][:NEWEST]
    return render(
        request,
        "jobs_list.html" if is_fragment(request) else "jobs.html",
        jobs=found.items,
        figures={job.id: job for job in active},
        names=await dataset_rows.names_of(call.resources.db, {job.dataset_id for job in found.items}),
        query=query,
        more=link("/jobs", state=query.state, kind=query.kind, cursor=found.next_cursor) if found.next_cursor else None,
        states=list(JobState),
        kinds=list(JobKind),
    )


@router.get("/jobs/{job_id}")
async def show_job(request: Request, job_id: JobId, query: Annotated[PartQuery, Query()]) -> Response:
    """One job, or the parts of its page that change."""
    call = call_of(request)
    if is_fragment(request) and query.part == "time":
        return render(request, "job_time.html", **await _time_of(call, job_id))
    job = await jobs.get_job(call, job_id, NoQuery())
    values = {"job": job, **await _live(call, job)}
    if is_fragment(request):
        return render(request, "job_parts.html", **values)
    log = await _log(call, job_id, {"limit": LINES_BESIDE})
    return render(request, "job.html", **values, **await _time_of(call, job_id), **log, stream=_stream(job, log["lines"]))


async def _live(call: Call, job: Job) -> dict[str, Any]:
    """What changes while a job runs, besides its figures."""
    names = await dataset_rows.names_of(call.resources.db, {job.dataset_id})
    newest = await jobs.list_job_images(call, job.id, PageQuery(limit=NEWEST))
    ended_at = job.finished_at.timestamp() if job.finished_at else time.time()
    is_final = job.status in FINAL_JOB_STATES
    return {
        "name": names.get(job.dataset_id, job.dataset_id),
        "newest": newest.items,
        "elapsed_s": ended_at - job.created_at.timestamp(),
        "is_final": is_final,
        "retryable": submit.RETRYABLE.intersection(map(Reason, job.reasons)) if is_final and job.kind is JobKind.BUILD else frozenset(),
    }


async def _time_of(call: Call, job_id: str) -> dict[str, Any]:
    """Where the time of a job goes."""
    began = time.monotonic()
    read = await explain.read_history(call, job_id)
    history = await explain.job_explanation(call, read)
    hosts = jobs.hosts_view(merge(read.hosts, await hosts_at_work(call.resources.db, job_id=job_id)))
    every_s = max(TIMES_EVERY_S, round(COST_FACTOR * (time.monotonic() - began)))
    bars = timeline(history.stages, datetime.now().astimezone())
    return {"history": history, "hosts": hosts, "bars": bars, "svg_width": SVG_WIDTH, "every_s": every_s}


def timeline(stages: Sequence[Stage], now: datetime) -> list[Bar]:
    """Draw stages as bars from the first one's beginning to the last one's end, or now."""
    if not stages:
        return []
    began = min(stage.began_at for stage in stages).timestamp()
    ends = [(stage.ended_at or now).timestamp() for stage in stages]
    scale = SVG_WIDTH / max(max(ends) - began, 0.001)
    bars = []
    for stage, ended in zip(stages, ends, strict=True):
        x = min(round((stage.began_at.timestamp() - began) * scale), SVG_WIDTH - MIN_BAR)
        took_s = max(0.0, ended - stage.began_at.timestamp())
        bars.append(Bar(stage, x, min(max(MIN_BAR, round(took_s * scale)), SVG_WIDTH - x), took_s))
    return bars


def _stream(job: Job, lines: Sequence[job_events.Event]) -> str | None:
    """The stream that the page follows, from its newest line on; none of a job that has ended."""
    if job.status in FINAL_JOB_STATES:
        return None
    return link(f"/v1/jobs/{job.id}/events", after=lines[0].id if lines else None)


@router.get("/jobs/{job_id}/log")
async def show_log(request: Request, job_id: JobId) -> Response:
    """The log of a job, newest line first, filtered; older lines by key."""
    call = call_of(request)
    job = await jobs.get_job(call, job_id, NoQuery())
    log = await _log(call, job_id, dict(request.query_params))
    if is_fragment(request):
        return render(request, "job_lines.html", job=job, **log)
    stream = None if log["filters"].get("before") else _stream(job, log["lines"])
    names = await dataset_rows.names_of(call.resources.db, {job.dataset_id})
    return render(request, "job_log.html", job=job, name=names.get(job.dataset_id, job.dataset_id), stream=stream, **log)


async def _log(call: Call, job_id: str, given: dict[str, Any]) -> dict[str, Any]:
    """A page of the log. What a filter cannot be is said beside the form, with the lines that it would not have narrowed."""
    filters = {name: str(value).strip() for name, value in given.items() if str(value).strip() and name in EventQuery.model_fields}
    try:
        query, problem = EventQuery.model_validate({"limit": LINES, **filters, "newest": True}), None
    except ValidationError as error:
        first = error.errors()[0]
        query, problem = EventQuery(newest=True, limit=LINES), f"{first['loc'][0]}: {first['msg']}"
    page = await job_events.read_page(call.resources.db, job_id, query)
    shown = {name: value for name, value in filters.items() if name not in ("before", "newest", "limit")}
    older = link(f"/jobs/{job_id}/log", **shown, before=page.next_before) if page.next_before else None
    return {
        "lines": page.items,
        "older": older,
        "filters": filters,
        "shown": shown,
        "filter_problem": problem,
        "levels": LEVELS,
        "limit": filters.get("limit"),
    }


@router.post("/jobs/{job_id}")
async def change_job(request: Request, job_id: JobId) -> Response:
    """Pause, resume, cancel or finish a job, and show it again."""
    wanted = str((await read_form(request)).get("desired_state", ""))
    if wanted not in list(DesiredState):
        raise problems.Refusal("validation-failed", f"A job cannot be {wanted[:40]!r}; it can be {', '.join(DesiredState)}.")
    await jobs.change_job(call_of(request), job_id, jobs.JobChange(desired_state=DesiredState(wanted)), NoQuery())
    return RedirectResponse(f"/jobs/{job_id}", 303)


@router.post("/jobs/{job_id}/retries")
async def retry_job(request: Request, job_id: JobId) -> Response:
    """Fetch again what failed, for one reason or all that may have passed, and show the new job."""
    reason = str((await read_form(request)).get("reason", ""))
    if reason and reason not in list(Reason):
        raise problems.Refusal("validation-failed", f"{reason[:40]!r} is no reason.")
    call, answer = call_of(request), Response()
    retry = jobs.NewRetry(reasons=[Reason(reason)] if reason else None)
    made = await jobs.retry_job(call, job_id, answer, NoQuery(), retry)
    return RedirectResponse(f"/jobs/{made.id}", 303)
