"""``pictrawl datasets view``: make the report of a dataset, of the workspace or of a folder alone, and say where it is."""

import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

import errors
from app.cli.delivery import destination_of, exported_id, is_delivered
from app.cli.failures import UsageError
from app.cli.options import Cli, parse_path
from app.cli.session import database_file, open_database, run
from app.cli.settings import load_settings
from app.db import Database, datasets, jobs, lookup
from app.exports.folder import is_report, read_manifest
from app.exports.sidecars import REPORT
from app.formatting import size
from app.images.pool.pool import DecoderPool
from app.report import make_folder_report, make_report
from app.settings import Settings
from app.storage import local_files, open_store

__all__ = ["view"]

DATASET = "A dataset's id, the beginning of it, or its name, or a folder with a dataset; default: the newest dataset."
OUTPUT = "Where the report goes; default: beside the delivered dataset, else in this folder."
OPEN = "Open it in the browser of this machine."


def view(
    cli: Cli,
    dataset: Annotated[str | None, typer.Argument(metavar="DATASET|DIR", help=DATASET, show_default=False)] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", parser=parse_path, help=OUTPUT, show_default=False)
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help=OPEN)] = False,
) -> int:
    """Make the report of a dataset, to look at.

    One HTML file that needs nothing else: pictures by label and split, the funnel, what was left out and why, duplicates, distributions,
    licences, hosts and retries. Of a folder whose workspace is not here, from what the folder holds. Nothing is requested.
    """
    settings = load_settings(cli)
    is_folder = dataset is not None and not dataset.startswith("ds_") and Path(dataset).exists()
    folder = Path(str(dataset)) if is_folder else None
    place = output / REPORT if output is not None and output.is_dir() else output
    made = run(_of_folder(cli, settings, folder) if folder is not None else _of_dataset(cli, settings, dataset))
    return _show(cli, made, (place or made.path).resolve(), open_it)


@dataclass(frozen=True, slots=True)
class _Made:
    """A report, the dataset that it is of, and where it goes unless something else is asked for."""

    body: bytes
    dataset_id: str
    path: Path


def _show(cli: Cli, made: _Made, path: Path, open_it: bool) -> int:
    """Write a report and say where it is."""
    _write(path, made.body)
    if open_it and not webbrowser.open(path.as_uri()):
        cli.warn("no browser was found on this machine", f"open {path} with one")
    document = {"dataset_id": made.dataset_id, "path": str(path), "size_bytes": len(made.body)}
    cli.result(f"{path}\n  the report of {made.dataset_id}, {size(len(made.body))}", document, brief=str(path))
    return 0


async def _of_dataset(cli: Cli, settings: Settings, text: str | None) -> _Made:
    async with open_database(cli, settings) as db:
        dataset_id = await lookup.dataset_id(db, text) if text is not None else await _newest(db)
        return _Made(await _from_rows(db, settings, dataset_id), dataset_id, await _place(db, dataset_id))


async def _newest(db: Database) -> str:
    found = (await datasets.list_datasets(db, limit=1)).items
    if not found:
        raise UsageError("this workspace has no dataset", "pictrawl build makes one; name another workspace with --workspace")
    return found[0].id


async def _from_rows(db: Database, settings: Settings, dataset_id: str) -> bytes:
    store = open_store(settings.storage_url)
    try:
        return await make_report(db, store, dataset_id)
    finally:
        await store.close()


async def _place(db: Database, dataset_id: str) -> Path:
    """Beside the dataset, where its build delivered it to a folder that still holds it; else in the current folder."""
    try:
        build = await jobs.latest_build(db, dataset_id)
    except errors.NotFoundError:
        return Path(f"{dataset_id}-{REPORT}")
    destination = destination_of(build)
    if destination is not None and is_delivered(destination.folder, exported_id(build)):
        return destination.folder / REPORT
    return Path(f"{dataset_id}-{REPORT}")


async def _of_folder(cli: Cli, settings: Settings, folder: Path) -> _Made:
    """From the rows of its dataset where this workspace has them, else from the folder."""
    manifest = read_manifest(folder)
    if not manifest:
        raise UsageError(f"{folder} holds no dataset of pictrawl: there is no manifest.json", "name a dataset's id or its folder")
    stated = manifest.get("dataset")
    dataset_id = str(stated.get("id")) if isinstance(stated, dict) else ""
    body = await _from_workspace(cli, settings, dataset_id)
    if body is None:
        async with DecoderPool.from_settings(settings) as decoders:
            body = await make_folder_report(folder, decoders)
    return _Made(body, dataset_id, folder / REPORT)


async def _from_workspace(cli: Cli, settings: Settings, dataset_id: str) -> bytes | None:
    file = database_file(settings)
    if file is not None and not file.exists():
        return None
    async with open_database(cli, settings) as db:
        try:
            return await _from_rows(db, settings, dataset_id)
        except errors.NotFoundError:
            return None


def _write(path: Path, body: bytes) -> None:
    """Write a report, whole or not at all, over an earlier one only.

    Raises:
        UsageError: it cannot be written, or another file is there.
    """
    if path.exists() and not is_report(path):
        raise UsageError(f"{path} is no report of pictrawl", "it is left alone; name another file with -o")
    try:
        local_files.write_file(str(path), body)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", "name another file with -o") from error
