"""``pictrawl datasets ls|show``. Export and verification, which run jobs, are in :mod:`app.cli.export`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from app.cli.documents import dataset_document, export_document
from app.cli.listing import Listing, Paging, show_list
from app.cli.options import Cli, Cursor, Limit, Yes
from app.cli.output import table
from app.cli.session import open_database, run
from app.cli.settings import load_settings
from app.db import Database, datasets, images, lookup, paging, usage, versions
from app.db.funnel import Funnel
from app.db.rows import Dataset, Export, PageOf, Version
from app.export_spec import describe
from app.formatting import clipped, count, listing, number, size, when
from app.gallery import folder
from app.images.split_groups import LeakReport

__all__ = ["DatasetId", "ls", "rm", "show"]

DatasetId = Annotated[str, typer.Argument(metavar="DATASET", help="A dataset's id, the beginning of it, or its name.")]


def ls(cli: Cli, limit: Limit = None, cursor: Cursor = None) -> int:
    """List datasets, newest first."""
    return run(_ls(cli, Paging(limit, cursor, on_terminal=20)))


async def _ls(cli: Cli, paging: Paging) -> int:
    kept: dict[str, int] = {}
    newest: dict[str, Version] = {}

    async def read(limit: int, cursor: str | None) -> PageOf[Dataset]:
        page = await datasets.list_datasets(db, limit=limit, cursor=cursor)
        for dataset in page.items:
            kept[dataset.id] = Funnel(await images.counts(db, dataset_id=dataset.id)).kept
        newest.update(await versions.newest_of_each(db, [dataset.id for dataset in page.items]))
        return page

    def row(dataset: Dataset) -> tuple[object, ...]:
        version = newest.get(dataset.id)
        name = clipped(dataset.name, 30)
        return (dataset.id, name, version.number if version else "", number(kept[dataset.id]), when(dataset.created_at))

    def document(dataset: Dataset) -> dict[str, Any]:
        return dataset_document(dataset, newest.get(dataset.id)) | {"kept": kept[dataset.id]}

    async with open_database(cli, load_settings(cli)) as db:
        await show_list(cli, Listing("datasets", ("id", "name", "version", "images", "made"), row, document, right=(3,)), read, paging)
    return 0


def rm(cli: Cli, dataset: DatasetId, yes: Yes = False) -> int:
    """Remove a dataset with its jobs and images.

    Without --yes, what would go is shown. `pictrawl workspace prune` then frees the disk; delivered folders stay, and so do bytes that
    other datasets need.
    """
    return run(_rm(cli, dataset, yes))


async def _rm(cli: Cli, dataset_id: str, yes: bool) -> int:
    settings = load_settings(cli)
    async with open_database(cli, settings) as db:
        dataset_id = await lookup.dataset_id(db, dataset_id, only=True)
        dataset = await datasets.get_dataset(db, dataset_id)
        taken = await usage.of_dataset(db, dataset_id)
        exports = len((await datasets.page_exports(db, dataset_id=dataset_id, limit=paging.MAX_LIMIT)).items)
        if yes:
            await datasets.delete_dataset(db, dataset_id)
            folder.clear(folder.columns_folder(settings), dataset_id)
    words = f"{count(taken.rows, 'row')}, {count(exports, 'export')}, {size(taken.own_bytes)} that nothing else needs"
    shared = f"; {size(taken.shared_bytes)} more stay, since other datasets need them" if taken.shared_bytes else ""
    head = f"dataset {dataset_id} ({clipped(dataset.name, 40)}) " + ("is removed" if yes else "would go")
    hint = "" if yes else f"\npictrawl datasets rm {dataset_id}{cli.workspace_options} --yes removes it"
    document = {"id": dataset_id, "removed": yes, "exports": exports} | asdict(taken) | {"own_bytes": taken.own_bytes}
    cli.result(f"{head}: {words}{shared}{hint}", document, brief=dataset_id)
    return 0


def show(cli: Cli, dataset: DatasetId) -> int:
    """Show a dataset: labels, reasons, exports."""
    return run(_show(cli, dataset))


def _export_row(export: Export) -> tuple[str, ...]:
    asked = clipped(describe(export.options), 60)
    return (export.id, export.format, export.version or "", export.state, number(export.samples or 0), when(export.created_at), asked)


async def _show(cli: Cli, dataset_id: str) -> int:
    async with open_database(cli, load_settings(cli)) as db:
        dataset_id = await lookup.dataset_id(db, dataset_id)
        dataset = await datasets.get_dataset(db, dataset_id)
        funnel = Funnel(await images.counts(db, dataset_id=dataset_id))
        async with db.read() as connection:
            labels = await images.labels_of(connection, dataset_id)
            version = await versions.newest_of_dataset(connection, dataset_id)
        made = (await datasets.page_exports(db, dataset_id=dataset_id)).items
        report = await _split_report(db, made)
    known = {clipped(label or "without label", 40): count for label, count in sorted(labels.items(), key=lambda item: -item[1])}
    rows = [_export_row(one) for one in made]
    lines = [
        f"dataset {dataset.id}: {clipped(dataset.name, 60)}",
        f"  version    {version.number}, made by {version.kind}" if version else "",
        f"  images     {number(funnel.kept)} kept of {number(funnel.candidates)} candidates",
        f"  labels     {listing(known, most=20)}" if known else "",
        f"  not kept   {listing(funnel.reasons)}" if funnel.reasons else "",
        *_split_lines(report),
        "\n" + table(("export", "format", "version", "status", "samples", "made", "as asked"), rows, right=(4,)) if rows else "",
    ]
    document = dataset_document(dataset, version) | {
        "kept": funnel.kept,
        "labels": [{"label": label, "count": count} for label, count in labels.items()],
        "reasons": funnel.reasons,
        "split_report": report.to_json() if report is not None else None,
        "exports": [export_document(export) for export in made],
    }
    cli.result("\n".join(line for line in lines if line), document, brief=dataset.id)
    return 0


async def _split_report(db: Database, made: Sequence[Export]) -> LeakReport | None:
    """The report of the newest export, of those that hold all of the dataset; None where an earlier version wrote it."""
    selecting = ("where", "max_per_label", "balance")
    whole = (one.id for one in made if one.state == "ready" and not any((one.options or {}).get(name) for name in selecting))
    newest = next(whole, None)
    values = ((await datasets.get_export(db, newest)).report or {}).get("split_report") if newest else None
    return LeakReport.of_json(values) if values else None


def _split_lines(report: LeakReport | None) -> list[str]:
    if report is None or len(report.splits) < 2:
        return []
    across = {kind: number for kind, number in report.pairs.items() if number}
    by = f"split by {', '.join(report.split_by)}"
    words = f"pairs across splits: {listing(across)}" if across else "no pairs across splits"
    return [f"  splits     {listing(report.splits)}; {by}", f"  shared     {words}; `pictrawl datasets leaks` counts again"]
