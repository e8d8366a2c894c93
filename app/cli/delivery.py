"""Delivery: a finished build's export, from the store to the folder that the user named. What goes elsewhere is sent by the job itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.failures import UsageError
from app.db import Database, datasets
from app.db.rows import Job
from app.exports.destination import Delivery, HubRepo, is_remote, parse_remote
from app.exports.folder import read_manifest
from app.exports.hub import require_hub
from app.exports.publish import check_destination, copy_to_folder
from app.settings import Settings
from app.storage import Store

__all__ = [
    "OUTPUT_METAVAR",
    "PRIVATE",
    "Destination",
    "Private",
    "check_output",
    "deliver",
    "destination_of",
    "exported_id",
    "has_export",
    "is_delivered",
    "parse_output",
]

OUTPUT_METAVAR = "DIR|URL"

PRIVATE = "Who may see a repository that is created on the Hub (private)."

Private = Annotated[bool | None, typer.Option("--private/--public", help=PRIVATE, show_default=False)]


@dataclass(frozen=True, slots=True)
class Destination:
    """The folder that a dataset is written to, and whether its content may be replaced."""

    folder: Path
    overwrite: bool = False

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def spec(self) -> dict[str, Any]:
        """What the spec of a build says of it."""
        return {"output": str(self.folder.absolute()), "overwrite": self.overwrite}

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


def parse_output(output: str, *, overwrite: bool, private: bool | None) -> Destination | Delivery:
    """Read what ``-o`` names: a folder, or the URL of a remote destination.

    Raises:
        UsageError: ``--private`` or ``--public`` where nothing is created on the Hub.
        errors.ValidationError: see `parse_remote`.
    """
    remote = parse_remote(output) if is_remote(output) else None
    if private is not None and not isinstance(remote, HubRepo):
        raise UsageError(f"--{'private' if private else 'public'} has no effect on {output}", "it is for hf://ORG/NAME; leave it out")
    if remote is None:
        return Destination(Path(output), overwrite)
    return Delivery(remote.url, overwrite, private is not False)


def check_output(destination: Destination | Delivery, settings: Settings) -> None:
    """Fail before the job begins instead of at its end.

    Raises:
        UsageError: see `Destination.check`.
        errors.ConfigurationError: likewise, or it goes to the Hub, and this process cannot send it there.
    """
    if isinstance(destination, Destination):
        destination.check(settings.workspace.path)
    elif settings.queue.backend == "embedded" and isinstance(parse_remote(destination.destination), HubRepo):
        require_hub()


def destination_of(job: Job) -> Destination | None:
    """The folder that a build was asked to fill."""
    output = job.spec.get("output")
    return Destination(Path(output), bool(job.spec.get("overwrite"))) if output else None


def exported_id(job: Job) -> str:
    """The id that exports of a job's dataset show: of a rebuild that of the dataset that was locked."""
    lock = job.spec.get("lock")
    return str(lock["header"]["dataset"]["id"]) if lock else job.dataset_id


def is_delivered(folder: Path, dataset_id: str) -> bool:
    """Whether the folder holds this dataset, in any format."""
    dataset = read_manifest(folder).get("dataset")
    return isinstance(dataset, dict) and dataset.get("id") == dataset_id


async def deliver(db: Database, store: Store, job: Job, destination: Destination | Delivery | None) -> Path | None:
    """Write a job's newest verified export to its folder; ``None`` where there is no export or no folder."""
    if not isinstance(destination, Destination):
        return None
    ready = [export for export in await datasets.exports_of_job(db, job.id) if export.state == "ready" and export.prefix]
    if not ready:
        return None
    await copy_to_folder(store, str(ready[0].prefix), destination.folder, destination.overwrite)
    return destination.folder


async def has_export(db: Database, job_id: str) -> bool:
    """Whether a job left a verified export."""
    return any(export.state == "ready" for export in await datasets.exports_of_job(db, job_id))
