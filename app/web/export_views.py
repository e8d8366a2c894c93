"""Exports and checks as they are sent."""

from datetime import datetime
from typing import Any

from pydantic import Field

from app.db import rows
from app.domain import JobState
from app.web.queries import View, at

__all__ = ["Check", "Export", "ExportFile", "ExportSummary", "check_view", "export_summary", "export_view"]


class ExportSummary(View):
    """An export. Its files can be taken once its status is `ready`."""

    id: str
    dataset_id: str
    job_id: str
    export_format: str
    storage_tier: str
    status: str = Field(description="pending, writing, written, ready or failed.")
    samples: int | None
    size_bytes: int | None
    error: str | None
    created_at: datetime
    verified_at: datetime | None = Field(description="When it was read back and found whole.")
    links: dict[str, str]


class Export(ExportSummary):
    """An export and what is in it."""

    splits: dict[str, int] = Field(description="Samples by split.")
    labels: dict[str, int] = Field(description="Samples by label.")
    problems: list[str] = Field(description="What reading it back found.")


class ExportFile(View):
    """One file of an export."""

    path: str
    size_bytes: int
    href: str


class Check(View):
    """A check; its status is its job's."""

    id: str
    kind: str
    dataset_id: str
    export_id: str | None
    job_id: str
    status: JobState
    options: dict[str, Any]
    report: dict[str, Any] | None = Field(description="What it found; null until it has ended.")
    error: str | None
    created_at: datetime
    finished_at: datetime | None
    links: dict[str, str]


def export_summary(export: rows.Export) -> ExportSummary:
    """An export's row as it is sent."""
    return ExportSummary(**_row(export))


def export_view(export: rows.Export) -> Export:
    """An export's row with the counts of its report."""
    report = export.report or {}
    return Export(**_row(export), splits=report.get("splits", {}), labels=report.get("labels", {}), problems=export.problems or [])


def _row(export: rows.Export) -> dict[str, Any]:
    names = ("id", "dataset_id", "job_id", "storage_tier", "samples", "size_bytes", "error")
    own = f"/v1/exports/{export.id}"
    links = {"self": own, "files": f"{own}/files", "job": f"/v1/jobs/{export.job_id}", "dataset": f"/v1/datasets/{export.dataset_id}"}
    return {name: getattr(export, name) for name in names} | {
        "export_format": export.format,
        "status": export.state,
        "created_at": at(export.created_at),
        "verified_at": at(export.verified_at),
        "links": links,
    }


def check_view(check: rows.Check, job: rows.Job) -> Check:
    """A check's row with its job's state."""
    links = {"self": f"/v1/checks/{check.id}", "job": f"/v1/jobs/{job.id}", "dataset": f"/v1/datasets/{check.dataset_id}"}
    if check.export_id:
        links["export"] = f"/v1/exports/{check.export_id}"
    return Check(
        id=check.id,
        kind=check.kind,
        dataset_id=check.dataset_id,
        export_id=check.export_id,
        job_id=check.job_id,
        status=job.state,
        options=check.options,
        report=check.report,
        error=job.error,
        created_at=at(check.created_at),
        finished_at=at(job.finished_at),
        links=links,
    )
