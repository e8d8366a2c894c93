"""Delivery: a finished build's export, from the store to the folder that the user named."""

from dataclasses import dataclass
from pathlib import Path

from app.cli.failures import UsageError
from app.db import Database, datasets
from app.db.rows import Job
from app.exports.folder import read_manifest
from app.exports.publish import check_destination, copy_to_folder
from app.storage import Store

__all__ = ["Destination", "deliver", "destination_of", "has_export", "is_delivered"]


@dataclass(frozen=True, slots=True)
class Destination:
    """The folder that a dataset is written to, and whether its content may be replaced."""

    folder: Path
    overwrite: bool = False

    def check(self, workspace: Path) -> None:
        """Fail before the job begins instead of at its end.

        Raises:
            UsageError: the folder holds the workspace.
            errors.ConfigurationError: it is not empty, a file, or cannot be written.
        """
        folder = self.folder.resolve()
        if workspace.resolve().is_relative_to(folder):
            raise UsageError(f"output {self.folder} holds the workspace {workspace}", "name another folder with -o")
        check_destination(self.folder, self.overwrite)


def destination_of(job: Job) -> Destination | None:
    """The folder that a build was asked to fill."""
    output = job.spec.get("output")
    return Destination(Path(output), bool(job.spec.get("overwrite"))) if output else None


def is_delivered(folder: Path, dataset_id: str) -> bool:
    """Whether the folder holds this dataset, in any format."""
    dataset = read_manifest(folder).get("dataset")
    return isinstance(dataset, dict) and dataset.get("id") == dataset_id


async def deliver(db: Database, store: Store, job: Job, destination: Destination | None) -> Path | None:
    """Write a job's newest verified export to its folder; ``None`` where there is no export or no folder."""
    ready = [export for export in await datasets.exports_of_job(db, job.id) if export.state == "ready" and export.prefix]
    if destination is None or not ready:
        return None
    await copy_to_folder(store, str(ready[0].prefix), destination.folder, destination.overwrite)
    return destination.folder


async def has_export(db: Database, job_id: str) -> bool:
    """Whether a job left a verified export."""
    return any(export.state == "ready" for export in await datasets.exports_of_job(db, job_id))
