"""``pictrawl datasets ls|show``. Export and verification, which run jobs, are in :mod:`app.cli.export`."""

from typing import Annotated

import typer

from app.cli.documents import dataset_document, export_document
from app.cli.options import Cli, Cursor, Limit
from app.cli.output import show_page, table
from app.cli.session import open_database, run
from app.cli.settings import load_settings
from app.db import datasets, images
from app.db.rows import Funnel
from app.formatting import clipped, listing, number, when

__all__ = ["DatasetId", "ls", "show"]

DatasetId = Annotated[str, typer.Argument(metavar="DATASET", help="A dataset's id.")]


def ls(cli: Cli, limit: Limit = 20, cursor: Cursor = None) -> int:
    """List datasets, newest first."""
    return run(_ls(cli, limit, cursor))


async def _ls(cli: Cli, limit: int, cursor: str | None) -> int:
    async with open_database(cli, load_settings(cli)) as db:
        page = await datasets.list_datasets(db, limit=limit, cursor=cursor)
        kept = [Funnel(await images.counts(db, dataset_id=dataset.id)).kept for dataset in page.items]
    rows = [(one.id, clipped(one.name, 30), number(count), when(one.created_at)) for one, count in zip(page.items, kept, strict=True)]
    documents = [dataset_document(one) | {"kept": count} for one, count in zip(page.items, kept, strict=True)]
    text = table(("id", "name", "images", "made"), rows, right=(2,))
    show_page(cli, page.items, text, documents=documents, cursor=page.next_cursor, what="datasets")
    return 0


def show(cli: Cli, dataset: DatasetId) -> int:
    """Show a dataset: labels, reasons, exports."""
    return run(_show(cli, dataset))


async def _show(cli: Cli, dataset_id: str) -> int:
    async with open_database(cli, load_settings(cli)) as db:
        dataset = await datasets.get_dataset(db, dataset_id)
        funnel = Funnel(await images.counts(db, dataset_id=dataset_id))
        async with db.read() as connection:
            labels = await images.labels_of(connection, dataset_id)
        made = (await datasets.page_exports(db, dataset_id=dataset_id)).items
    known = {clipped(label or "without label", 40): count for label, count in sorted(labels.items(), key=lambda item: -item[1])}
    rows = [(one.id, one.format, one.state, number(one.samples or 0), when(one.created_at)) for one in made]
    lines = [
        f"dataset {dataset.id}: {clipped(dataset.name, 60)}",
        f"  images     {number(funnel.kept)} kept of {number(funnel.candidates)} candidates",
        f"  labels     {listing(known, most=20)}" if known else "",
        f"  not kept   {listing(funnel.reasons, most=4)}" if funnel.reasons else "",
        "\n" + table(("export", "format", "status", "samples", "made"), rows, right=(3,)) if rows else "",
    ]
    document = dataset_document(dataset) | {
        "kept": funnel.kept,
        "labels": [{"label": label, "count": count} for label, count in labels.items()],
        "reasons": funnel.reasons,
        "exports": [export_document(export) for export in made],
    }
    cli.result("\n".join(line for line in lines if line), document, brief=dataset.id)
    return 0
