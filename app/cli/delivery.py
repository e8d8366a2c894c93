"""Delivery: a finished build's export, from the store to the folder that the user named. What goes elsewhere is sent by the job itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.failures import UsageError
from app.db import Database, datasets
from app.db.rows import Export, Job
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
    "check_folders",
    "check_output",
    "deliver",
    "destination_in",
    "destination_of",
    "exported_id",
    "find_delivered",
    "is_delivered",
    "is_undelivered",
    "parse_output",
    "verified_exports",
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

    def beside(self, export_format: str) -> "Destination":
        """Where a further format of the same dataset goes: ``out-csv`` beside ``out``."""
        folder = self.folder if self.folder.name not in ("", "..") else self.folder.resolve()
        return replace(self, folder=folder.with_name(f"{folder.name}-{export_format}"))

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


def check_output(destination: Destination | Delivery, settings: Settings, also: Sequence[str] = ()) -> None:
    """Fail before the job begins instead of at its end, also for further formats, which go beside the first.

    Raises:
        UsageError: see `Destination.check`.
        errors.ConfigurationError: likewise, or it goes to the Hub, and this process cannot send it there.
        errors.ValidationError: nothing can go beside the destination.
    """
    for place in (destination, *(destination.beside(export_format) for export_format in also)):
        if isinstance(place, Destination):
            place.check(settings.workspace.path)
        elif settings.queue.backend == "embedded" and isinstance(parse_remote(place.destination), HubRepo):
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


def destination_in(destination: Destination, job: Job, export_format: str) -> Destination:
    """The folder for one of a job's formats. A further one may be replaced where it holds the same dataset."""
    if export_format == job.spec.get("export_format"):
        return destination
    beside = destination.beside(export_format)
    return replace(beside, overwrite=beside.overwrite or is_delivered(beside.folder, exported_id(job)))


def check_folders(destination: Destination, job: Job, workspace: Path) -> None:
    """`Destination.check` of the folder for each of a job's formats."""
    for export_format in (job.spec.get("export_format", "files"), *job.spec.get("also", ())):
        destination_in(destination, job, export_format).check(workspace)


async def deliver(
    store: Store, job: Job, exports: Sequence[Export], destination: Destination, beside: Mapping[str, bytes] = {}
) -> dict[str, Path]:
    """Write a job's exports to their folders, with the files ``beside`` them by name; return the folders by the exports' ids."""
    delivered: dict[str, Path] = {}
    for export in exports:
        folder = destination_in(destination, job, export.format)
        await copy_to_folder(store, str(export.prefix), folder.folder, folder.overwrite, beside=beside)
        delivered[export.id] = folder.folder
    return delivered


def find_delivered(destination: Destination, job: Job, exports: Sequence[Export]) -> dict[str, Path]:
    """Return the folders that hold the dataset of a job, by the ids of those of its exports that were written there."""
    folders = {export.id: destination_in(destination, job, export.format).folder for export in exports if export.state == "ready"}
    return {export_id: folder for export_id, folder in folders.items() if is_delivered(folder, exported_id(job))}


async def is_undelivered(db: Database, job: Job, destination: Destination) -> bool:
    """Whether a job left a verified export that is not in its folder."""
    verified = await verified_exports(db, job)
    return len(find_delivered(destination, job, verified)) < len(verified)


async def verified_exports(db: Database, job: Job) -> list[Export]:
    """Return the newest verified export of a job in each format, that of the first format first."""
    newest: dict[str, Export] = {}
    for export in await datasets.exports_of_job(db, job.id, with_report=False):
        if export.state == "ready" and export.prefix:
            newest.setdefault(export.format, export)
    return list(newest.values())
