"""Jobs as they are sent. One shape for what a job is; figures are added where one job is asked for, counted by the database."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from app.db import Database, attempts, exports, images, rows
from app.db.rows import Funnel
from app.domain import JobKind, JobState
from app.web.export_views import ExportSummary, export_summary
from app.web.queries import View, at

__all__ = ["Job", "JobProgress", "JobSummary", "figures_of", "job_summary", "load_figures", "load_job", "progress_of"]


class Progress(View):
    """How far the candidates of the job's dataset came; each number counts all that reached it."""

    candidates: int
    fetched: int
    valid: int
    unique: int
    kept: int
    open: int = Field(description="On the way: pending, deferred or fetched.")


class Retries(View):
    """What this job's requests to origins cost."""

    attempts: int = Field(description="Requests in all.")
    retried: int = Field(description="URLs that needed more than one.")
    recovered: int = Field(description="Retried URLs that came in the end.")
    success_rate: float | None = Field(description="recovered / retried; null where nothing was retried.")


class JobProgress(View):
    """What moves while a job runs."""

    status: JobState
    stage: str | None
    waiting_for: str | None = Field(description="What of ours holds it up, in words.")
    progress: Progress
    reasons: dict[str, int] = Field(description="Images that are out, by reason, most frequent first.")
    sources: dict[str, dict[str, int]] = Field(description="Images by source and state.")
    retries: Retries


class JobSummary(View):
    """A job, without figures."""

    id: str
    kind: JobKind
    status: JobState
    desired_state: JobState
    stage: str | None
    dataset_id: str
    spec: dict[str, Any] = Field(description="What it was asked to do, with every default filled in.")
    target: int | None = Field(description="Images wanted; null for all.")
    min_images: int
    priority: int
    shortfall: dict[str, Any] | None = Field(description="Why there are fewer images than wanted.")
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
    exports: list[ExportSummary] = Field(description="Newest first.")


def job_summary(job: rows.Job) -> JobSummary:
    """A job's row as it is sent."""
    return JobSummary(**_row(job))


def _row(job: rows.Job) -> dict[str, Any]:
    names = ("id", "kind", "desired_state", "stage", "dataset_id", "target", "min_images", "priority", "shortfall", "error", "waiting_for")
    return {name: getattr(job, name) for name in names} | {
        "status": job.state,
        "spec": _spec(job.spec),
        "request_id": job.request_id,
        "created_at": at(job.created_at),
        "started_at": at(job.started_at),
        "finished_at": at(job.finished_at),
        "links": _links(job),
    }


def _spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is the server's own: where a list rests in the store, and a folder that the command line named."""
    shown = {name: value for name, value in spec.items() if name not in ("output", "url_list")}
    if spec.get("url_list"):
        shown["url_list"] = spec["url_list"]["name"]
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
    """What moves of a job."""
    rate = round(funnel.recovered / funnel.retried, 4) if funnel.retried else None
    return JobProgress(
        status=job.state,
        stage=job.stage,
        waiting_for=job.waiting_for,
        progress=progress_of(funnel),
        reasons=funnel.reasons,
        sources=funnel.by_source(),
        retries=Retries(attempts=funnel.attempts, retried=funnel.retried, recovered=funnel.recovered, success_rate=rate),
    )


async def load_figures(db: Database, job: rows.Job) -> JobProgress:
    """Count: the images of the dataset, as the job itself counts them when it decides, and the attempts of the job."""
    counts = await images.counts(db, dataset_id=job.dataset_id)
    return figures_of(job, Funnel(counts, *await attempts.retry_figures(db, job.id)))


async def load_job(db: Database, job: rows.Job) -> Job:
    """A job with everything."""
    figures = await load_figures(db, job)
    made = await exports.latest_of_job(db, job.id, with_report=False)
    return Job(
        **_row(job),
        progress=figures.progress,
        reasons=figures.reasons,
        sources=figures.sources,
        retries=figures.retries,
        exports=[export_summary(export) for export in made],
    )
