"""``pictrawl datasets``: list them, show one, write one in another format, read everything back and compare."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.cli import codes
from app.cli.paging import Cursor, Limit
from app.cli.state import Cli

if TYPE_CHECKING:
    from app.cli.working import Desk
    from app.db.rows import Export

__all__ = ["COMMANDS"]

DatasetId = Annotated[str, typer.Argument(metavar="DATASET", help="A dataset's id.")]


def ls(cli: Cli, limit: Limit = 20, cursor: Cursor = None) -> int:
    """List datasets, newest first."""
    from app.cli.session import run

    return run(_ls(cli, limit, cursor))


async def _ls(cli: Cli, limit: int, cursor: str | None) -> int:
    from app.cli.documents import dataset_document
    from app.cli.paging import show_page
    from app.cli.session import reading
    from app.cli.words import clipped, number, table, when
    from app.db import images, jobs
    from app.db.rows import Funnel

    settings = cli.settings()
    async with reading(cli, settings) as db:
        page = await jobs.list_datasets(db, limit=limit, cursor=cursor)
        kept = [Funnel(await images.counts(db, dataset_id=dataset.id)).kept for dataset in page.items]
    rows = [(one.id, clipped(one.name, 30), number(count), when(one.created_at)) for one, count in zip(page.items, kept, strict=True)]
    documents = [dataset_document(one) | {"kept": count} for one, count in zip(page.items, kept, strict=True)]
    text = table(("id", "name", "images", "made"), rows, right=(2,))
    show_page(cli, page.items, text, documents=documents, cursor=page.next_cursor, what="datasets")
    return 0


def show(cli: Cli, dataset: DatasetId) -> int:
    """Show a dataset: labels, reasons, exports."""
    from app.cli.session import run

    return run(_show(cli, dataset))


async def _show(cli: Cli, dataset_id: str) -> int:
    from app.cli.documents import dataset_document, export_document
    from app.cli.session import reading
    from app.cli.words import clipped, listing, number, table, when
    from app.db import exports, images, jobs
    from app.db.rows import Funnel

    settings = cli.settings()
    async with reading(cli, settings) as db:
        dataset = await jobs.get_dataset(db, dataset_id)
        funnel = Funnel(await images.counts(db, dataset_id=dataset_id))
        async with db.read() as connection:
            labels = await images.labels_of(connection, dataset_id)
        made = (await exports.page_exports(db, dataset_id=dataset_id)).items
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


def export(
    cli: Cli,
    dataset: DatasetId,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where it goes.")],
    form: Annotated[Literal["files", "imagefolder", "webdataset"], typer.Option("--format", "-f", help="Form of the export.")] = "files",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what stands there.")] = False,
) -> int:
    """Write a dataset in another format, verified before it appears."""
    from app.cli.session import run

    return run(_export(cli, dataset, output, form, overwrite))


async def _export(cli: Cli, dataset_id: str, output: Path, form: str, overwrite: bool) -> int:
    from app.cli.delivery import Destination, deliver
    from app.cli.documents import export_document
    from app.cli.session import require_workspace
    from app.cli.working import workplace
    from app.db import exports, jobs

    settings = cli.settings()
    require_workspace(settings)
    where = Destination(output, overwrite)
    where.check(settings.workspace.path)
    async with workplace(cli, settings, "datasets export") as desk:
        job_id = await _job(desk, dataset_id, form)
        delivered = await deliver(desk.resources, await jobs.get(desk.resources.db, job_id), where)
        made = (await exports.latest_of_job(desk.resources.db, job_id))[0]
        cli.result(_exported(made, delivered), export_document(made) | {"path": str(delivered) if delivered else None}, brief=str(output))
        if delivered is not None:
            return codes.OK
        return desk.interrupts.code or codes.UNVERIFIED


async def _job(desk: "Desk", dataset_id: str, form: str) -> str:
    from app.jobs import submit

    async def begin() -> str:
        return (await submit.submit_export(desk.resources, dataset_id, export_format=form)).job_id

    return await desk.carry_out(begin, f"exporting {dataset_id}")


def _exported(made: "Export", delivered: Path | None) -> str:
    from app.cli.words import count, size

    if delivered is None:
        return f"export {made.id} is {made.state}" + (f": {made.error}" if made.error else f"; pictrawl resume {made.job_id} goes on")
    return f"{delivered}\n  {made.format}, {count(made.samples or 0, 'sample')}, {size(made.size_bytes or 0)}, verified"


def verify(
    cli: Cli, dataset: Annotated[str, typer.Argument(metavar="DATASET|DIR", help="A dataset's id, or a folder that holds one.")]
) -> int:
    """Read a dataset back and compare.

    Of a dataset: stored objects against their digests, the latest export with its format's own reader.
    Of a folder: every file against the digests in it. Exit code 7 where anything differs.
    """
    from app.cli.session import run
    from app.cli.verifying import verify_dataset, verify_folder

    return run(verify_dataset(cli, dataset) if dataset.startswith("ds_") else verify_folder(cli, Path(dataset)))


COMMANDS: dict[str, Callable[..., int]] = {"ls": ls, "show": show, "export": export, "verify": verify}
