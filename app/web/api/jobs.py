"""``/v1/jobs``: submit a build, list and read jobs, pause, resume, cancel, retry. Owns what a job looks like in JSON."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from app.db import Database, attempts, crawl_pages, datasets, earlier_fetches, images, jobs, rows
from app.db.rows import Funnel
from app.domain import Reason
from app.explain.keywords import KeywordFigures, load_keywords
from app.job_states import DesiredState, JobKind, JobState
from app.jobs import submit
from app.jobs.attendance import mark_unattended
from app.spec import JobRequest
from app.web.api.conventions import ACCEPTED, Call, Here, IdempotencyKey, JobId, JobQuery, NoQuery, Page, View, accepted, at, may_fail
from app.web.api.exports import ExportSummary, export_summary

__all__ = [
    "Job",
    "JobProgress",
    "JobSummary",
    "Keyword",
    "ShortClass",
    "figures_of",
    "job_summary",
    "keywords_of",
    "load_figures",
    "load_job",
    "progress_of",
    "router",
    "short_classes_of",
]

router = APIRouter(tags=["jobs"])

NAME_CHARS = 100


class Progress(View):
    """How far the candidates of the job's dataset came; each number counts all that reached it."""

    rows_read: int = Field(description="Rows of the list; 0 without one. They are distinct URLs, merged rows and lines without a URL.")
    distinct_urls: int = Field(description="Different URLs in the list.")
    merged_rows: int = Field(description="Rows that name the URL of an earlier row; their captions and labels are its image's as well.")
    label_conflicts: int = Field(description="Images with different labels, kept or not.")
    candidates: int
    fetched: int
    reused: int = Field(description="Of these, images whose bytes an earlier job of the user had fetched; no request was made.")
    not_modified: int = Field(description="Of these, images whose origin confirmed the stored bytes (304).")
    valid: int
    unique: int
    kept: int
    spare: int = Field(description="Candidates that are fetched only if the target needs them.")
    open: int = Field(description="On the way: pending, deferred or fetched.")


class Retries(View):
    """Requests to origins and retries of this job."""

    attempts: int = Field(description="Requests for images that have an outcome.")
    retried: int = Field(description="URLs that needed more than one.")
    recovered: int = Field(description="Retried URLs that came in the end.")
    success_rate: float | None = Field(description="recovered / retried; null where nothing was retried.")
    without_outcome: int = Field(description="Requests that may have been sent: their process died before an outcome.")
    search_requests: int = Field(description="Requests to sources.")
    search_retries: int = Field(description="Those of them that repeated one.")


class JobProgress(View):
    """The figures that change while a job runs."""

    status: JobState
    stage: str | None
    waiting_for: str | None = Field(description="What blocks the job, such as a full disk, or `a worker` where no process works on it.")
    progress: Progress
    reasons: dict[str, int] = Field(description="Images that are out, by reason, most frequent first.")
    sources: dict[str, dict[str, int]] = Field(description="Images by source and state.")
    retries: Retries


class KeywordSource(View):
    """What one source brought for a keyword."""

    source: str
    found: int = Field(description="Results that it named.")
    known: int = Field(description="Those that the dataset had before, by URL or as the same picture from another source.")
    kept: int
    reasons: dict[str, int] = Field(description="Why the others are not in the dataset, most frequent first.")
    ended: str | None = Field(description="Why it gives no more; null where it has more.")


class Keyword(View):
    """What one keyword brought, its synonyms included."""

    keyword: str
    label: str | None = Field(description="The class of its images; several keywords may share one.")
    wanted: int = Field(description="Its own number, or its fair share of the target; it may give more where another keyword is short.")
    found: int = Field(description="Candidates that its sources named.")
    fetched: int
    kept: int
    why_short: str | None = Field(description="Why fewer than wanted were kept; null if they were, or before the end.")
    sources: list[KeywordSource] = Field(description="What each source brought, and why it gives no more.")


class Pages(View):
    """What became of the pages of a crawl."""

    read: int
    waiting: int
    failed: dict[str, int] = Field(description="Pages that were not read, by reason; the job's events name each.")
    notes: dict[str, int] = Field(description="Remarks on pages that were read, such as that one needs JavaScript.")


class ShortClass(View):
    """A class of which less than half of the candidates were kept."""

    label: str
    candidates: int = Field(description="Without those over the target.")
    kept: int
    reasons: dict[str, int] = Field(description="Why the others were not kept, most frequent first.")


class JobSummary(View):
    """A job, without figures."""

    id: str
    kind: JobKind
    status: JobState
    desired_state: DesiredState
    stage: str | None
    dataset_id: str
    spec: dict[str, Any] = Field(description="The request with every default filled in.")
    target: int | None = Field(description="Images wanted; null for all.")
    min_images: int
    priority: int
    shortfall: dict[str, Any] | None = Field(
        description="Why there are fewer images than wanted: missing and causes; min_images and labels where a minimum is unmet."
    )
    short_classes: list[ShortClass] | None = Field(description="Classes with few images or none, empty ones first; null before the end.")
    error: str | None
    waiting_for: str | None
    request_id: str | None = Field(description="The request that made it.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: dict[str, str]


class Job(JobSummary):
    """A job with its figures and its exports."""

    progress: Progress
    reasons: dict[str, int] = Field(description="Images that are out, by reason, most frequent first.")
    sources: dict[str, dict[str, int]] = Field(description="Images by source and state.")
    retries: Retries
    keywords: list[Keyword] = Field(description="In the order of the request; empty for a list.")
    pages: Pages | None = Field(description="Null for a job without pages.")
    exports: list[ExportSummary] = Field(description="Newest first.")


def short_classes_of(job: rows.Job) -> list[ShortClass] | None:
    """The classes of which few images or none were kept."""
    return None if job.short_classes is None else [ShortClass(**item) for item in job.short_classes]


def keywords_of(figures: Sequence[KeywordFigures]) -> list[Keyword]:
    """What each keyword brought, as it is sent."""
    return [Keyword(**asdict(item)) for item in figures]


def job_summary(job: rows.Job) -> JobSummary:
    """A job's row as it is sent."""
    return JobSummary(**_row(job))


def _row(job: rows.Job) -> dict[str, Any]:
    names = ("id", "kind", "desired_state", "stage", "dataset_id", "target", "min_images", "priority", "shortfall", "error", "waiting_for")
    return {name: getattr(job, name) for name in names} | {
        "status": job.state,
        "short_classes": short_classes_of(job),
        "spec": _spec(job.spec),
        "request_id": job.request_id,
        "created_at": at(job.created_at),
        "started_at": at(job.started_at),
        "finished_at": at(job.finished_at),
        "links": _links(job),
    }


def _spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec without the list's key in the store and the output folder of the command line."""
    shown = {name: value for name, value in spec.items() if name not in ("output", "url_list", "folder")}
    if spec.get("url_list"):
        shown["url_list"] = spec["url_list"]["name"]
    if spec.get("folder"):
        shown["folder"] = spec["folder"]["name"]
    return shown


def _links(job: rows.Job) -> dict[str, str]:
    own = f"/v1/jobs/{job.id}"
    return {
        "self": own,
        "events": f"{own}/events",
        "retries": f"{own}/retries",
        "images": f"/v1/images?job_id={job.id}",
        "dataset": f"/v1/datasets/{job.dataset_id}",
    }


def progress_of(funnel: Funnel) -> Progress:
    """A funnel's numbers."""
    return Progress(**{name: getattr(funnel, name) for name in Progress.model_fields})


def figures_of(job: rows.Job, funnel: Funnel) -> JobProgress:
    """The figures that change while a job runs."""
    rate = round(funnel.recovered / funnel.retried, 4) if funnel.retried else None
    return JobProgress(
        status=job.state,
        stage=job.stage,
        waiting_for=job.waiting_for,
        progress=progress_of(funnel),
        reasons=funnel.reasons,
        sources=funnel.by_source(),
        retries=Retries(
            attempts=funnel.attempts,
            retried=funnel.retried,
            recovered=funnel.recovered,
            success_rate=rate,
            without_outcome=funnel.lost,
            search_requests=funnel.search_requests,
            search_retries=funnel.search_retries,
        ),
    )


async def load_figures(db: Database, job: rows.Job) -> JobProgress:
    """Count the images of the dataset by state and the attempts of the job."""
    counts = await images.counts(db, dataset_id=job.dataset_id)
    funnel = Funnel(
        counts,
        *await attempts.retry_figures(db, job.id),
        await jobs.list_figures(db, job.dataset_id),
        await attempts.count_lost(db, job.id),
        *await jobs.search_figures(db, job.id),
        *await earlier_fetches.reuse_figures(db, job.dataset_id),
    )
    return figures_of(job, funnel)


async def load_job(db: Database, job: rows.Job) -> Job:
    """Load a job with its figures and exports."""
    figures = await load_figures(db, job)
    made = await datasets.exports_of_job(db, job.id, with_report=False)
    return Job(
        **_row(job),
        progress=figures.progress,
        reasons=figures.reasons,
        sources=figures.sources,
        retries=figures.retries,
        keywords=keywords_of(await load_keywords(db, job)),
        pages=await _pages_of(db, job),
        exports=[export_summary(export) for export in made],
    )


async def _pages_of(db: Database, job: rows.Job) -> Pages | None:
    return Pages(**asdict(await crawl_pages.count_pages(db, job.dataset_id))) if job.spec.get("pages") else None


class NewJob(JobRequest):
    """A dataset to build: keywords or URLs, how many, how good, and in which form."""

    model_config = ConfigDict(
        title="NewJob",
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [
                {"keywords": ["red panda"], "max_images": 200, "export_format": "webdataset"},
                {"keywords": [{"keyword": "labrador", "label": "dog"}, {"keyword": "tabby", "label": "cat"}], "per_label": 100},
                {"urls": ["https://example.org/1.jpg", {"url": "https://example.org/2.jpg", "label": "lynx", "group_id": "trap 7"}]},
            ]
        },
    )

    @model_validator(mode="before")
    @classmethod
    def _without_unstorable_text(cls, value: Any) -> Any:
        if _holds_unstorable_text(value):
            raise ValueError("text must contain neither NUL nor half of a surrogate pair")
        return value


def _holds_unstorable_text(value: Any) -> bool:
    """PostgreSQL stores no NUL, and UTF-8 has no lone surrogates. A loop: JSON may be nested deeper than we may recurse."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, str) and _UNSTORABLE.search(current):
            return True
        if isinstance(current, dict):
            waiting += [*current.keys(), *current.values()]
        elif isinstance(current, list):
            waiting += current
    return False


_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class JobChange(BaseModel):
    """The wanted state of a job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    desired_state: DesiredState


class NewRetry(BaseModel):
    """Which failures to fetch again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reasons: list[Reason] | None = Field(None, min_length=1, description="Default: every reason that may have passed.")

    @field_validator("reasons")
    @classmethod
    def _each_once(cls, value: list[Reason] | None) -> list[Reason] | None:
        return value and sorted(set(value))


@router.post("/v1/jobs", operation_id="jobs_create", summary="Build a dataset", status_code=202, responses=ACCEPTED)
async def create_job(call: Here, body: NewJob, response: Response, _: Annotated[NoQuery, Query()], key: IdempotencyKey = None) -> Job:
    """The job is stored when this answers, whether or not a worker is alive."""
    caller = call.caller(key, body)
    made = await call.made_before(caller) or await _build(call, body, caller)
    return await _answer(call, response, made.job_id)


async def _build(call: Call, body: NewJob, caller: submit.Caller) -> submit.Submitted:
    submit.resolve_spec(call.resources, body)  # refuse before anything is stored
    listed = None if body.urls is None else await submit.store_urls(call.resources, body.urls)
    spec = submit.resolve_spec(call.resources, body, url_list=listed)
    name = body.name or ", ".join(item.keyword for item in body.asked)[:NAME_CHARS] or (body.pages.host if body.pages else "urls")
    return await submit.submit_build(call.resources, spec, name=name, priority=body.priority, caller=caller)


async def _answer(call: Call, response: Response, job_id: str) -> Job:
    accepted(response, f"/v1/jobs/{job_id}")
    return await _one(call, job_id)


async def _one(call: Call, job_id: str) -> Job:
    return await load_job(call.resources.db, (await _seen(call, [await jobs.get(call.resources.db, job_id, user_id=call.user_id)]))[0])


async def _seen(call: Call, found: Sequence[rows.Job]) -> list[rows.Job]:
    """The jobs, with those marked that no process works on."""
    return await mark_unattended(call.resources.db, call.resources.workspace, found)


@router.get("/v1/jobs", operation_id="jobs_list", summary="List jobs, newest first")
async def list_jobs(call: Here, query: Annotated[JobQuery, Query()]) -> Page[JobSummary]:
    """Without figures: ask for one job to get them."""
    page = await jobs.page(
        call.resources.db, user_id=call.user_id, state=query.state, kind=query.kind, limit=query.limit, cursor=query.cursor
    )
    return Page(items=[job_summary(job) for job in await _seen(call, page.items)], next_cursor=page.next_cursor)


@router.get("/v1/jobs/{job_id}", operation_id="jobs_get", summary="One job with its figures")
async def get_job(call: Here, job_id: JobId, _: Annotated[NoQuery, Query()]) -> Job:
    """The figures are those of the job's dataset; attempts and retries are the job's own."""
    return await _one(call, job_id)


@router.patch("/v1/jobs/{job_id}", operation_id="jobs_update", summary="Pause, resume, cancel or finish a job", responses=may_fail(409))
async def change_job(call: Here, job_id: JobId, body: JobChange, _: Annotated[NoQuery, Query()]) -> Job:
    """Running work learns of it within two seconds. A job that has ended cannot be changed.

    `finished` is for builds: nothing more is fetched, and the dataset is made of the images that are there.
    """
    await submit.set_desired_state(call.resources, job_id, body.desired_state, user_id=call.user_id)
    return await _one(call, job_id)


@router.post(
    "/v1/jobs/{job_id}/retries",
    operation_id="jobs_retry",
    summary="Fetch again what failed",
    status_code=202,
    responses=ACCEPTED | may_fail(409),
)
async def retry_job(
    call: Here, job_id: JobId, response: Response, _: Annotated[NoQuery, Query()], body: NewRetry | None = None, key: IdempotencyKey = None
) -> Job:
    """A new job on the same dataset. The job it follows must have ended."""
    reasons = frozenset(body.reasons) if body is not None and body.reasons else submit.RETRYABLE
    made = await submit.submit_retry(call.resources, job_id, reasons, caller=call.caller(key, body))
    return await _answer(call, response, made.job_id)
