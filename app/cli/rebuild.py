"""``pictrawl datasets lock`` writes what another machine needs to make the same dataset; ``pictrawl rebuild`` makes it there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from app.cli import exit_codes, folder_input
from app.cli.build_options import FORMATS
from app.cli.datasets import DatasetId
from app.cli.delivery import OUTPUT_METAVAR, Destination, Private, parse_output
from app.cli.failures import UsageError
from app.cli.options import Cli, Overwrite, parse_name, parse_path
from app.cli.runner import JobRunner, open_job_resources, open_runner
from app.cli.session import configure_logging, require_workspace, run
from app.cli.settings import load_settings
from app.datasets import lock as locks
from app.datasets import rebuild as rebuilds
from app.datasets.lock_reading import CheckedLock, check_lock
from app.db import datasets, lookup
from app.discovery import keywords
from app.domain import ExportFormat
from app.export_spec import ExportSpec
from app.exports.destination import Delivery
from app.formatting import count, size
from app.inputs import FolderSpec
from app.jobs import submit
from app.resources import Resources, product_version
from app.settings import Settings

__all__ = ["lock", "rebuild"]

AS_EXPORT = "Rebuild it as this export of it was written, by id: its format and options. Default: as it was built."
FOLDER = "Folder with the images that have no URL, as the original dataset read them."
OUTPUT = "Folder of the dataset, or where else it goes. Default: datasets/ and its name."
ALLOW_MISSING = "Exit code 0 though images are altered or gone; they are named all the same."


def lock(
    cli: Cli,
    dataset: DatasetId,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", parser=parse_path, help="The lock; .gz and .zst are packed.")],
    form: Annotated[ExportFormat | None, typer.Option("--format", "-f", metavar="FORMAT", help=f"{FORMATS}.")] = None,
    export: Annotated[str | None, typer.Option("--export", metavar="EXPORT", help=AS_EXPORT)] = None,
) -> int:
    """Lock a dataset, for `pictrawl rebuild` to make it again.

    The lock names each image by URL and digest, with its labels, split, licence and credit. The same version of a dataset
    gives the same lock. It holds no picture, no secret and no path of this machine.
    """
    return run(_lock(cli, dataset, output, form, export))


async def _lock(cli: Cli, dataset: str, output: Path, form: ExportFormat | None, export_id: str | None) -> int:
    if form is not None and export_id is not None:
        raise UsageError("--format and --export: an export has a format", "leave one of them out")
    _check_file(output)
    settings = load_settings(cli)
    configure_logging(cli, settings, default="WARNING")
    require_workspace(settings)
    async with open_job_resources(settings) as resources:
        dataset_id = await lookup.dataset_id(resources.db, dataset)
        export = await _export_of(resources, dataset_id, export_id) if export_id else None
        made = await locks.open_lock(resources, dataset_id, export=export, export_format=form)
        await locks.write_lock(made.lines(), output)
    header = made.header
    what = f"version {header.dataset.version}, {count(header.images, 'image')}, {size(header.size_bytes)} to fetch"
    text = f"{output}\n  {what}\n  sha256 {made.digest}\n  rebuild    pictrawl rebuild {output} -o DIR"
    known = header.model_dump(mode="json", include={"dataset", "images", "size_bytes", "export"})
    cli.result(text, {"path": str(output), "lock": made.digest} | known, brief=str(output))
    return exit_codes.OK


def _check_file(path: Path) -> None:
    if (path.exists() and not path.is_file()) or not path.absolute().parent.is_dir():  # a device or a pipe would be replaced by a file
        raise UsageError(f"{path} is no file that can be written", "name a file in a folder that exists: -o dataset.lock")


async def _export_of(resources: Resources, dataset_id: str, export_id: str) -> ExportSpec:
    made = await datasets.get_export(resources.db, export_id)
    if made.dataset_id != dataset_id:
        raise UsageError(f"export {export_id} is of another dataset, {made.dataset_id}", f"pictrawl datasets show {dataset_id}")
    return ExportSpec.of_export(made.format, made.storage_tier, made.options or {})


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """A rebuild whose lock and options have been checked."""

    lock: CheckedLock
    export: ExportSpec
    destination: Destination | Delivery
    folder: FolderSpec | None
    allow_missing: bool


def rebuild(
    cli: Cli,
    lock: Annotated[Path, typer.Argument(metavar="LOCK", parser=parse_path, help="A file that `pictrawl datasets lock` wrote.")],
    output: Annotated[str | None, typer.Option("--output", "-o", metavar=OUTPUT_METAVAR, parser=parse_name, help=OUTPUT)] = None,
    private: Private = None,
    form: Annotated[ExportFormat | None, typer.Option("--format", "-f", metavar="FORMAT", help=f"{FORMATS}. Default: the lock's.")] = None,
    folder: Annotated[Path | None, typer.Option("--folder", metavar="PATH", parser=parse_path, help=FOLDER)] = None,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help=ALLOW_MISSING)] = False,
    overwrite: Overwrite = False,
) -> int:
    """Make the dataset of a lock again, byte for byte.

    Each URL is requested as a build would; what is stored here already is not requested. No check, label or split is decided anew.
    Exit code 0 if it is whole, 3 if images are altered or gone, 4 if all are, 7 if exported forms differ from the lock's.
    """
    settings = load_settings(cli)
    checked = check_lock(lock, product_version())
    name = checked.header.dataset.name
    destination = parse_output(output or str(Path("datasets") / keywords.slug(name)), overwrite=overwrite, private=private)
    if isinstance(destination, Destination):
        destination.check(settings.workspace.path)
    export = rebuilds.export_of(checked, form)
    return run(_rebuild(cli, settings, RebuildPlan(checked, export, destination, _folder_of(checked, folder, settings), allow_missing)))


def _folder_of(lock: CheckedLock, path: Path | None, settings: Settings) -> FolderSpec | None:
    """The folder with the images that have no URL.

    Raises:
        UsageError: it is needed and not given, or the other way round, or cannot be read.
    """
    if path is None and lock.local:
        raise UsageError(f"{count(lock.local, 'image')} of the lock came from a folder and have no URL", "name a copy of it: --folder PATH")
    if path is None:
        return None
    if not lock.local:
        raise UsageError("--folder has no effect: every image of the lock has a URL", "leave it out")
    return folder_input.find_folder(path, settings)


async def _rebuild(cli: Cli, settings: Settings, plan: RebuildPlan) -> int:
    header = plan.lock.header
    async with open_runner(cli, settings, "rebuild", prestart=True) as runner:
        title = f"{header.dataset.name} {header.dataset.version} > {plan.destination}"
        job_id = await runner.run_job(lambda: _submit(runner, plan), title)
        return await runner.finish_build(job_id, plan.destination)


async def _submit(runner: JobRunner, plan: RebuildPlan) -> str:
    stored = await rebuilds.store_lock(runner.resources, plan.lock)
    spec = rebuilds.spec_of(
        runner.settings,
        plan.lock,
        stored,
        export=plan.export,
        folder=plan.folder,
        allow_missing=plan.allow_missing,
    )
    spec = spec.model_copy(update=plan.destination.spec)
    return (await submit.submit_build(runner.resources, spec, name=plan.lock.header.dataset.name)).job_id
