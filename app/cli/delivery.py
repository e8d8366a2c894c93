"""A finished build's export, from the store to the folder that the user named; and what stands there already.

Database, stores and exporters are imported by who delivers: to look whether a dataset stands somewhere takes none.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.cli.failures import Refused

if TYPE_CHECKING:
    from app.db import Database
    from app.db.rows import Job
    from app.resources import Resources

__all__ = ["Destination", "deliver", "destination_of", "has_export", "is_delivered", "stands_at"]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a dataset is to appear, and whether something may stand there."""

    folder: Path
    overwrite: bool = False

    def check(self, workspace: Path) -> None:
        """Refuse what would fail at the end of the job, before it begins.

        Raises:
            Refused: the folder holds the workspace.
            errors.ConfigurationError: it is not empty, a file, or cannot be written.
        """
        from app.exports.publish import check_destination

        folder = self.folder.resolve()
        if workspace.resolve().is_relative_to(folder):
            raise Refused(f"output {self.folder} holds the workspace {workspace}", "name another folder with -o")
        check_destination(self.folder, self.overwrite)


def destination_of(job: "Job") -> Destination | None:
    """The folder that a build was asked to fill."""
    output = job.spec.get("output")
    return Destination(Path(output), bool(job.spec.get("overwrite"))) if output else None


def stands_at(folder: Path) -> dict[str, Any]:
    """The manifest of the dataset of ours that stands in a folder; empty where none does."""
    from app.storage import MANIFEST

    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) and manifest.get("generator") == "pictrawl" else {}


def is_delivered(folder: Path, dataset_id: str) -> bool:
    """Whether this dataset stands in the folder, in whatever format."""
    dataset = stands_at(folder).get("dataset")
    return isinstance(dataset, dict) and dataset.get("id") == dataset_id


async def deliver(resources: "Resources", job: "Job", where: Destination | None) -> Path | None:
    """Put a job's newest verified export where it belongs; ``None`` where there is no export or no such place."""
    from app.db import exports
    from app.exports.publish import materialise

    ready = [export for export in await exports.latest_of_job(resources.db, job.id) if export.state == "ready" and export.prefix]
    if where is None or not ready:
        return None
    await materialise(resources.store, str(ready[0].prefix), where.folder, where.overwrite)
    return where.folder


async def has_export(db: "Database", job_id: str) -> bool:
    """Whether a job left a verified export."""
    from app.db import exports

    return any(export.state == "ready" for export in await exports.latest_of_job(db, job_id))
