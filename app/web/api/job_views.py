"""What the API shows of a job."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import Field

from app.db import Database, attempts, crawl_pages, datasets, earlier_fetches, images, jobs, rows
from app.db.funnel import Funnel
from app.explain.hosts import HostUse
from app.explain.keywords import KeywordFigures, load_keywords
from app.job_states import DesiredState, JobKind, JobState
from app.jobs.pace import Pace, PaceMeters
from app.web.api.conventions import View, at
from app.web.api.exports import ExportSummary, export_summary

__all__ = [
    "Job",
    "JobHost",
    "JobHosts",
    "JobProgress",
    "JobSummary",
    "Keyword",
    "KeywordSource",
    "Pages",
    "Progress",
    "Retries",
    "ShortClass",
    "figures_of",
    "host_view",
    "job_summary",
    "keywords_of",
    "load_figures",
    "load_job",
    "progress_of",
    "short_classes_of",
]


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
    valid_per_s: float | None = Field(description="Valid images a second that are no duplicates; null once the job has ended.")
    fetched_per_s: float | None
    left_s: float | None = Field(description="Seconds to the target, or to the last candidate; null while nobody can tell.")


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
    not_expanded: str | None = Field(description="Why it was searched for without the other names that were asked for (expand).")
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


class JobHost(View):
    """What a job had of a host. Seconds are summed over requests, many of which run at once."""

    host: str
    requests: int = Field(description="Requests for images that have an outcome.")
    failed: int = Field(description="Those of them that brought no image.")
    took_s: float
    queued_s: float = Field(description="Waited for the limits of the host.")
    backoff_s: float
    retry_after_s: float = Field(description="Waited because the host asked for it.")
    deferred: int = Field(description="Images that wait until a later time.")
    in_flight: int = Field(description="Requests that workers have sent and that are not answered, for any job; at most 5 seconds old.")
    window: int = Field(description="Requests that may be in flight at once; 0 where none is sent now.")
    rate_per_s: float = Field(description="Requests per second that are let through; 0 for no limit.")
    closed_until: datetime | None = Field(description="Nothing is sent before; null where the host is open.")


class JobHosts(View):
    """The hosts of a job: those that are asked or waited for now, then those that took the most time."""

    items: list[JobHost]
    hosts_in_all: int


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
    valid_per_s: float | None = Field(description="Valid images a second that are no duplicates; null once the job has ended.")
    fetched_per_s: float | None
    left_s: float | None = Field(description="Seconds to the target, or to the last candidate; null while nobody can tell.")
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
    """The spec without keys of the store and the output folder of the command line; a lock by its digest."""
    shown = {name: value for name, value in spec.items() if name not in ("output", "url_list", "folder", "lock")}
    if spec.get("url_list"):
        shown["url_list"] = spec["url_list"]["name"]
    if spec.get("lock"):
        shown["lock"] = spec["lock"]["digest"]
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


def figures_of(job: rows.Job, funnel: Funnel, pace: Pace | None = None) -> JobProgress:
    """The figures that change while a job runs. Rates are rounded, so that those of a job at rest come to rest too."""
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
        valid_per_s=None if pace is None else round(pace.valid_per_s, 1),
        fetched_per_s=None if pace is None else round(pace.fetched_per_s, 1),
        left_s=None if pace is None or pace.left_s is None else round(pace.left_s),
    )


def host_view(use: HostUse) -> JobHost:
    """A host of a job as it is sent."""
    now = use.now
    return JobHost(
        **asdict(use.times),
        deferred=now.counts.deferred,
        in_flight=now.in_flight,
        window=now.slots,
        rate_per_s=now.rate_per_s,
        closed_until=at(now.closed_until or None),
    )


async def load_figures(db: Database, job: rows.Job, meters: PaceMeters) -> JobProgress:
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
    pace = None if job.is_final else meters.of(job.id).update(time.monotonic(), funnel, job.target)
    return figures_of(job, funnel, pace)


_FIGURES = tuple(name for name in JobProgress.model_fields if name not in JobSummary.model_fields)


async def load_job(db: Database, job: rows.Job, meters: PaceMeters) -> Job:
    """Load a job with its figures and exports."""
    figures = await load_figures(db, job, meters)
    made = await datasets.exports_of_job(db, job.id, with_report=False)
    return Job(
        **_row(job),
        **{name: getattr(figures, name) for name in _FIGURES},
        keywords=keywords_of(await load_keywords(db, job)),
        pages=await _pages_of(db, job),
        exports=[export_summary(export) for export in made],
    )


async def _pages_of(db: Database, job: rows.Job) -> Pages | None:
    return Pages(**asdict(await crawl_pages.count_pages(db, job.dataset_id))) if job.spec.get("pages") else None
