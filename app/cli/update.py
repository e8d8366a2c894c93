"""``pictrawl update``: another version of a dataset, of what its origins, sources and lists have now."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from app.cli import exit_codes
from app.cli.datasets import DatasetId
from app.cli.delivery import OUTPUT_METAVAR, Destination, Private, check_output, parse_output
from app.cli.failures import UsageError
from app.cli.list_input import NO_COLUMN, Columns, open_url_list
from app.cli.options import Cli, Overwrite, parse_name
from app.cli.runner import JobRunner, open_runner
from app.cli.session import open_database, require_workspace, run
from app.cli.settings import load_settings
from app.datasets.update import Update, submit_update
from app.db import datasets, events, jobs, lookup, versions
from app.db.rows import Version
from app.exports.destination import Delivery
from app.formatting import count
from app.inputs import ListSpec
from app.jobs import settle
from app.spec import JobSpec

__all__ = ["update"]

OUTPUT = "Folder of the new version, or where else it goes; default: it stays in the workspace."
INPUT = "The list as it is now; default: the file that it was built from, if it is still there, else the list as it was."
MOST_CHUNKS = 100_000
"""Log lines that are counted; each stands for a chunk."""

RETRY_FAILED = "Ask again for images that failed for reasons that may have passed."


def update(
    cli: Cli,
    dataset: DatasetId,
    output: Annotated[str | None, typer.Option("--output", "-o", metavar=OUTPUT_METAVAR, parser=parse_name, help=OUTPUT)] = None,
    max_images: Annotated[int | None, typer.Option("--max-images", "-n", metavar="N", min=1, help="A larger target.")] = None,
    listed: Annotated[str | None, typer.Option("--input", metavar="FILE|-", parser=parse_name, help=INPUT)] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help=RETRY_FAILED)] = False,
    overwrite: Overwrite = False,
    private: Private = None,
) -> int:
    """Make another version of a dataset, of what its origins have now.

    Images are requested on condition that they have changed, sources and lists are asked again, and only what is new is downloaded.
    What has failed or was refused is not asked for. The old version stays. Where nothing has changed, no version is made.
    """
    settings = load_settings(cli)
    require_workspace(settings)
    destination = parse_output(output, overwrite=overwrite, private=private) if output else None
    wanted = Update(max_images=max_images, retry_failed=retry_failed, place=destination.spec if destination else {})
    return run(_update(cli, dataset, wanted, destination, listed))


async def _update(cli: Cli, text: str, wanted: Update, destination: Destination | Delivery | None, listed: str | None) -> int:
    settings = load_settings(cli)
    async with open_runner(cli, settings, "update", prestart=True) as runner:
        db = runner.resources.db
        base_id = await lookup.dataset_id(db, text)
        dataset = await datasets.get_dataset(db, base_id)
        spec = JobSpec(**(await jobs.latest_build(db, base_id)).spec)
        if destination is not None:
            check_output(destination, runner.settings, spec.also)

        async def start() -> str:
            stored = await _store_list(runner, spec.url_list, listed)
            return (await submit_update(runner.resources, base_id, replace(wanted, url_list=stored))).job_id

        job_id = await runner.run_job(start, f"updating {dataset.name}")
        job = await jobs.get(db, job_id)
        if job.dataset_id != base_id:
            return await runner.finish_build(job_id, destination)
    async with open_database(cli, settings) as db:  # the log of the job is written by now
        version = (await versions.newest_of_each(db, [base_id]))[base_id]
        silent = await events.named(db, job_id, ["chunk.not_confirmed"], limit=MOST_CHUNKS)
    return _say_unchanged(cli, job_id, version, destination, sum(int(event.data.get("images", 0)) for event in silent))


async def _store_list(runner: JobRunner, known: ListSpec | None, listed: str | None) -> ListSpec | None:
    """Store the list as it is now; None where it cannot be read again, and the stored one is.

    Raises:
        UsageError: a list for a dataset that was built without one.
    """
    if known is None:
        if listed is not None:
            raise UsageError("--input has no effect: the dataset was not built from a list", "leave it out; build --into adds a list")
        return None
    name = listed or _still_there(known)
    if name is None:
        runner.cli.note(f"the list {known.name} is read as it was; name it as it is now with --input FILE")
        return None
    with open_url_list([name], _columns(known), None if listed else known.suffix) as urls:
        assert urls is not None
        return await settle.store_list(runner.resources, urls.path, urls.spec)


def _still_there(known: ListSpec) -> str | None:
    return known.origin if known.origin and Path(known.origin).is_file() else None


def _columns(known: ListSpec) -> Columns:
    columns = (known.url_column, known.caption_column, known.label_column, known.license_column, known.group_column)
    return Columns(*columns, [NO_COLUMN] if known.keep_columns == [] else known.keep_columns)


def _say_unchanged(cli: Cli, job_id: str, version: Version, destination: Destination | Delivery | None, silent: int) -> int:
    """Say that no version was made; ``silent`` is the number of images whose origins gave no answer."""
    text = f"nothing has changed: {version.dataset_id} stays version {version.number}"
    text += f"\n  not asked: {count(silent, 'image')}, whose origins did not answer or refused" if silent else ""
    if destination is not None:
        command = f"pictrawl datasets export {version.dataset_id} -o {destination}{cli.workspace_options}"
        text += f"\n  not written: {destination}; {command} writes that version"
    document = {"job_id": job_id, "status": "succeeded", "changed": False, "dataset_id": version.dataset_id}
    document |= {"version": version.number, "not_confirmed": silent}
    cli.result(text, document, brief=version.number)
    return exit_codes.OK
