"""``pictrawl datasets merge``: one dataset with the images of several."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.build_options import FORMATS, LABEL_CONFLICTS
from app.cli.delivery import OUTPUT_METAVAR, Destination, Private, parse_output
from app.cli.options import Cli, Overwrite, parse_name, parse_text
from app.cli.runner import open_runner
from app.cli.session import require_workspace, run
from app.cli.settings import load_settings
from app.datasets.merge import check_datasets, submit_merge
from app.db import datasets, lookup
from app.discovery import keywords
from app.domain import ExportFormat, LabelConflicts
from app.exports.destination import Delivery

__all__ = ["merge"]

NAME_CHARS = 100

Datasets = Annotated[list[str], typer.Argument(metavar="DATASET DATASET ...", help="Ids of datasets, the beginnings of them, or names.")]


def merge(
    cli: Cli,
    dataset: Datasets,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar=OUTPUT_METAVAR, parser=parse_name, help="Where it goes (./datasets/NAME)."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", parser=parse_text, help="Name of the new dataset; default: their names.")
    ] = None,
    form: Annotated[
        ExportFormat | None, typer.Option("--format", "-f", metavar="FORMAT", help=f"{FORMATS}. Default: that of the first.")
    ] = None,
    label_conflicts: Annotated[LabelConflicts | None, typer.Option("--label-conflicts", help=LABEL_CONFLICTS)] = None,
    private: Private = None,
    overwrite: Overwrite = False,
) -> int:
    """Make one dataset with the images of several.

    Each URL is in it once, duplicates are found over all images, and no image moves to another split, unless two that belong together
    are in two: then train wins. Nothing is requested, and the datasets stay as they are.
    """
    return run(_merge(cli, dataset, output, name, form, label_conflicts, private, overwrite))


async def _merge(
    cli: Cli,
    named: list[str],
    output: str | None,
    name: str | None,
    form: ExportFormat | None,
    label_conflicts: LabelConflicts | None,
    private: bool | None,
    overwrite: bool,
) -> int:
    settings = load_settings(cli)
    require_workspace(settings)
    async with open_runner(cli, settings, "datasets merge") as runner:
        db = runner.resources.db
        ids = [await lookup.dataset_id(db, text) for text in named]
        check_datasets(ids)
        known = [(await datasets.get_dataset(db, dataset_id)).name for dataset_id in ids]
        title = (name or " + ".join(dict.fromkeys(known)))[:NAME_CHARS]
        folder = str(Path("datasets") / keywords.slug(title))
        destination: Destination | Delivery = parse_output(output or folder, overwrite=overwrite, private=private)
        if isinstance(destination, Destination):
            destination.check(settings.workspace.path)

        async def start() -> str:
            made = await submit_merge(
                runner.resources, ids, name=title, export_format=form, label_conflicts=label_conflicts, changes=destination.spec
            )
            return made.job_id

        job_id = await runner.run_job(start, f"{title} > {destination}")
        return await runner.finish_build(job_id, destination)
