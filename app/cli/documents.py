"""Rows as the documents that ``--json`` prints. Keys are named like the columns; times are Unix seconds here and printed by RFC 3339."""

from dataclasses import asdict, replace
from typing import Any

from app.datasets.diff import Difference
from app.db import fleet
from app.db.crawl_pages import StoredPage
from app.db.dead_units import DeadUnit
from app.db.kept_records import KeptRecord
from app.db.rows import Dataset, Event, Export, Job, Search, Version, WorkerRow
from app.domain import StoredImage
from downloader.models import Attempt

__all__ = [
    "attempt_document",
    "dataset_document",
    "dead_document",
    "difference_document",
    "event_document",
    "export_document",
    "image_document",
    "job_document",
    "page_document",
    "record_document",
    "search_document",
    "version_document",
    "worker_document",
]


def job_document(job: Job) -> dict[str, Any]:
    """A job; ``status`` is its state, as in every interface."""
    values = asdict(job)
    return (
        {"id": values.pop("id"), "status": values.pop("state").value}
        | values
        | {"desired_state": job.desired_state.value, "kind": job.kind.value}
    )


def dataset_document(dataset: Dataset, version: Version | None) -> dict[str, Any]:
    """A dataset with the number of its newest version, and what that version is."""
    return asdict(dataset) | {"version": version and version.number, "digest": version and version.digest}


def version_document(version: Version) -> dict[str, Any]:
    """A version of a dataset, without the facts of its papers."""
    values = asdict(replace(version, provenance=None))
    shown = {name: value for name, value in values.items() if name not in _NOT_SHOWN}
    return {"version": version.number} | shown | {"changes": version.counts, "merged": version.merged}


_NOT_SHOWN = ("major", "minor", "patch", "provenance")


def difference_document(difference: Difference) -> dict[str, Any]:
    """A URL whose records differ in two datasets; ``old`` or ``new`` is null where one does not keep it."""
    sides = {name: record and record_document(record) for name, record in (("old", difference.old), ("new", difference.new))}
    return {"url": difference.url, "kinds": list(difference.kinds), **sides}


def record_document(record: KeptRecord) -> dict[str, Any]:
    """A kept image as its dataset has it."""
    values = {"image_id": record.image_id, "sha256": record.sha256, "label": record.label, "split": record.split}
    return values | {"labels": list(record.labels), "texts": dict(record.texts)}


def export_document(export: Export) -> dict[str, Any]:
    """An export, without the list of its files."""
    values = asdict(export)
    values["report"] = {name: value for name, value in (values["report"] or {}).items() if name != "files"}
    return {"id": values.pop("id"), "status": values.pop("state")} | values


def image_document(image: StoredImage) -> dict[str, Any]:
    """An image."""
    values = asdict(image)
    del values["extra"]
    values |= {"reason": image.reason.value if image.reason else None, "list_columns": image.list_columns}
    return {"id": values.pop("id"), "status": values.pop("state").value} | values


def page_document(page: StoredPage) -> dict[str, Any]:
    """A page of a crawl."""
    values = asdict(page)
    return {"id": values.pop("id"), "status": values.pop("state")} | values


def search_document(search: Search) -> dict[str, Any]:
    """A search."""
    return asdict(search)


def event_document(event: Event) -> dict[str, Any]:
    """A line of a job's log."""
    return asdict(event)


def worker_document(worker: WorkerRow, *, now: float) -> dict[str, Any]:
    """A worker, with the age of its last heartbeat by the database's clock."""
    age_s = max(0.0, now - worker.beat_at)
    return asdict(worker) | {"beat_age_s": round(age_s, 3), "is_alive": age_s < fleet.BEAT_FRESH_S}


def dead_document(unit: DeadUnit) -> dict[str, Any]:
    """A unit that died, whatever its state is now."""
    values = asdict(unit)
    return {"id": values.pop("id"), "status": values.pop("state").value} | values | {"kind": unit.kind.value}


def attempt_document(attempt: Attempt) -> dict[str, Any]:
    """A request and its outcome; ``wait_s`` is the wait after it."""
    return {
        "number": attempt.number,
        "status": attempt.status,
        "error": attempt.error,
        "wait_s": round(attempt.wait_s, 3),
        "elapsed_s": round(attempt.elapsed_s, 3),
    }
