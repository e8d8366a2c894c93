"""``pictrawl datasets export|verify``: write a dataset in another format; read one back and compare it with its digests."""

import asyncio
import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import typer

from app.cli import exit_codes
from app.cli.build_options import (
    ALSO,
    BALANCE,
    CAPTIONS,
    ENCODINGS,
    FORMATS,
    MAX_PER_LABEL,
    ONLY_IF_BIGGER,
    REPORT,
    RESIZE,
    SIZE,
    WHERE,
    Captions,
    parse_compression,
    parse_where,
    validation_as_usage,
)
from app.cli.datasets import DatasetId
from app.cli.delivery import OUTPUT_METAVAR, Destination, Private, check_output, parse_output
from app.cli.documents import export_document
from app.cli.failures import UsageError
from app.cli.options import Cli, Overwrite, parse_name
from app.cli.runner import JobRunner, open_runner
from app.cli.session import require_workspace, run
from app.cli.settings import load_settings
from app.db import Database, datasets, jobs, lookup
from app.db.rows import Export
from app.domain import ExportFormat
from app.export_spec import ExportRequest
from app.exports.destination import FORMS as URLS
from app.exports.destination import Delivery
from app.exports.folder import digests_of, foreign_files, read_manifest, stated_report
from app.exports.formats import get_exporter
from app.formatting import clipped, count, either, size
from app.images.pool.pool import DecoderPool, load_images
from app.job_states import CheckKind
from app.jobs import submit
from app.rules import CompressionRules, Resize
from app.settings import Settings

__all__ = ["export", "verify"]

SHOWN_PROBLEMS = 20

OUTPUT = f"Folder of the export, or {URLS}."

ENCODE_EXPORT = f"{either(ENCODINGS)}, as in webp:80, of the bytes that were fetched; default: the images as the dataset has them."


def export(
    cli: Cli,
    dataset: DatasetId,
    output: Annotated[str, typer.Option("--output", "-o", metavar=OUTPUT_METAVAR, parser=parse_name, help=OUTPUT)],
    form: Annotated[ExportFormat, typer.Option("--format", "-f", metavar="FORMAT", help=f"{FORMATS}.")] = "files",
    also: Annotated[list[str] | None, typer.Option("--also", metavar="FORMAT", help=ALSO, show_default=False)] = None,
    encode: Annotated[str | None, typer.Option("--encode", metavar="FORMAT[:QUALITY]", help=ENCODE_EXPORT)] = None,
    resize: Annotated[Resize | None, typer.Option("--resize", help=RESIZE)] = None,
    size_px: Annotated[int | None, typer.Option("--size", metavar="PX", help=SIZE)] = None,
    only_if_bigger: Annotated[bool | None, typer.Option("--only-if-bigger/--no-only-if-bigger", help=ONLY_IF_BIGGER)] = None,
    captions: Annotated[Captions, typer.Option("--captions", help=CAPTIONS)] = "first",
    where: Annotated[str | None, typer.Option("--where", metavar="EXPRESSION", help=WHERE)] = None,
    max_per_label: Annotated[int | None, typer.Option("--max-per-label", metavar="N", help=MAX_PER_LABEL)] = None,
    balance: Annotated[bool, typer.Option("--balance", help=BALANCE)] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Decides which images the limits leave out.")] = 0,
    shard_samples: Annotated[int | None, typer.Option("--shard-samples", metavar="N", help="Maximum samples in one shard.")] = None,
    shard_bytes: Annotated[int | None, typer.Option("--shard-bytes", metavar="BYTES", help="Maximum bytes in one shard.")] = None,
    report: Annotated[bool | None, typer.Option("--report/--no-report", help=REPORT, show_default=False)] = None,
    overwrite: Overwrite = False,
    private: Private = None,
) -> int:
    """Write a dataset in another form, verified before it appears.

    All of it, or the images that --where takes. Nothing is requested: with --encode or --resize each image is made of the bytes that were
    fetched, else it is that of the dataset. To a URL it is sent by the worker, with the credentials of its environment; `pictrawl resume`
    goes on where that stopped.
    """
    compression = _compression(encode, resize, size_px, only_if_bigger)
    with validation_as_usage():
        request = ExportRequest(
            export_format=form,
            also=also or [],
            compression=compression,
            shard_samples=shard_samples,
            shard_bytes=shard_bytes,
            captions=captions,
            where=parse_where(where),
            max_per_label=max_per_label,
            balance=balance,
            seed=seed,
        )
    settings = load_settings(cli, {} if report is None else {"export.report": report})
    return run(_export(cli, settings, dataset, parse_output(output, overwrite=overwrite, private=private), request))


def _compression(encode: str | None, resize: Resize | None, size_px: int | None, only_if_bigger: bool | None) -> CompressionRules | None:
    """The rules that options ask for, which begin with the originals; None where they ask for none."""
    if (encode, resize, size_px, only_if_bigger) == (None,) * 4:
        return None
    return parse_compression(CompressionRules(), encode=encode, resize=resize, size=size_px, only_if_bigger=only_if_bigger)


async def _export(cli: Cli, settings: Settings, dataset_id: str, destination: Destination | Delivery, request: ExportRequest) -> int:
    require_workspace(settings)
    check_output(destination, settings, request.also)
    delivery = destination if isinstance(destination, Delivery) else None
    async with open_runner(cli, settings, "datasets export") as runner:
        db = runner.resources.db
        dataset_id = await lookup.dataset_id(db, dataset_id)

        async def start() -> str:
            return (await submit.submit_export(runner.resources, dataset_id, request, delivery=delivery)).job_id

        job_id = await runner.run_job(start, f"exporting {dataset_id}")
        delivered = await runner.deliver(await jobs.get(db, job_id), destination)
        made = await datasets.exports_of_job(db, job_id)
        documents = [export_document(one) | {"path": str(delivered[one.id]) if one.id in delivered else None} for one in made]
        text = "\n".join(_export_text(one, delivered.get(one.id)) for one in made)
        cli.result(text, documents[0] | {"exports": documents}, brief=str(destination))
        return _exit_code([one for one in made if one.id not in delivered and one.delivered_at is None], runner.interrupts.code)


def _exit_code(missing: Sequence[Export], interrupted: int | None) -> int:
    """That of an export; ``missing`` are those that did not get where they were to go."""
    if not missing:
        return exit_codes.OK
    return interrupted or (exit_codes.ENVIRONMENT if all(one.is_undelivered for one in missing) else exit_codes.UNVERIFIED)


def _export_text(made: Export, delivered: Path | None) -> str:
    if delivered is None and made.delivered_at is None:
        return f"export {made.id} is {made.state}" + (f": {made.error}" if made.error else f"; pictrawl resume {made.job_id} continues it")
    return f"{delivered or made.destination}\n  {made.format}, {count(made.samples or 0, 'sample')}, {size(made.size_bytes or 0)}, verified"


def verify(
    cli: Cli,
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET|DIR", help="A folder with a dataset, or a dataset's id, the beginning of it, or its name.")
    ],
) -> int:
    """Read a dataset back and compare.

    By id or name: stored objects with their digests, and the latest export with its format's own reader.
    In a folder: every file with the digests that the folder holds. Either way each image is loaded as the loaders of the format do.
    Exit code 7 where anything differs or does not load.
    """
    is_folder = not dataset.startswith("ds_") and Path(dataset).exists()
    return run(_verify_folder(cli, Path(dataset)) if is_folder else _verify_dataset(cli, dataset))


async def _verify_dataset(cli: Cli, dataset_id: str) -> int:
    """Re-read every stored object, and the latest export with its format's own reader."""
    settings = load_settings(cli)
    require_workspace(settings)
    async with open_runner(cli, settings, "datasets verify") as runner:
        dataset_id = await lookup.dataset_id(runner.resources.db, dataset_id)
        integrity = await _run_check(runner, dataset_id, None)
        problems = [f"image {found['image']}: {found['problem']}" for found in integrity.get("problems", [])]
        latest = await _latest_export(runner.resources.db, dataset_id)
        exported = await _run_check(runner, dataset_id, latest) if latest is not None else {}
        problems += exported.get("problems", [])
        if runner.interrupts.code is not None:
            return runner.interrupts.code
    document = {"dataset_id": dataset_id, "objects": integrity.get("checked", 0), "samples": exported.get("samples"), "problems": problems}
    read = f"{count(document['objects'], 'object')} and {count(exported.get('samples') or 0, 'sample')} of the export read back"
    return _report_problems(cli, read, document, problems)


async def _latest_export(db: Database, dataset_id: str) -> Export | None:
    made = (await datasets.page_exports(db, dataset_id=dataset_id)).items
    return next((export for export in made if export.state == "ready"), None)


async def _run_check(runner: JobRunner, dataset_id: str, made: Export | None) -> dict[str, Any]:
    """Run an integrity check, which also reads ``made`` back where there is one; return its report."""
    submitted: list[submit.Submitted] = []

    async def start() -> str:
        submitted.append(await submit.submit_check(runner.resources, CheckKind.INTEGRITY, dataset_id=dataset_id, export=made))
        return submitted[0].job_id

    await runner.run_job(start, f"verifying {made.id if made else dataset_id}")
    return dict((await datasets.get_check(runner.resources.db, submitted[0].resource)).report or {})


async def _verify_folder(cli: Cli, folder: Path) -> int:
    """Compare every file of a delivered dataset with the digests that its folder holds, and load its images as loaders do."""
    if not read_manifest(folder):
        raise UsageError(f"{folder} holds no dataset of pictrawl: there is no manifest.json", "name a dataset's id or its folder")
    digests = await asyncio.to_thread(digests_of, folder)
    problems = await asyncio.to_thread(_compare, folder, digests) or await _read_as_loaders(load_settings(cli), folder)
    document = {"folder": str(folder), "files": len(digests), "problems": problems}
    return _report_problems(cli, f"{folder}: {count(len(digests), 'file')} read back", document, problems)


async def _read_as_loaders(settings: Settings, folder: Path) -> Sequence[str]:
    """Read a folder by the rules of its format, and load each image; return the problems."""
    report = stated_report(folder)
    async with DecoderPool.from_settings(settings) as decoders:
        return (await get_exporter(report.format).verify(folder, report, partial(load_images, decoders))).problems


def _report_problems(cli: Cli, read: str, document: dict[str, Any], problems: Sequence[str]) -> int:
    shown = [f"  {clipped(problem, 200)}" for problem in problems[:SHOWN_PROBLEMS]]
    rest = [f"  and {len(problems) - SHOWN_PROBLEMS} more"] if len(problems) > SHOWN_PROBLEMS else []
    found = "nothing differs" if not problems else count(len(problems), "problem")
    cli.result("\n".join([f"{read}: {found}", *shown, *rest]), document, brief="ok" if not problems else "problems")
    return exit_codes.UNVERIFIED if problems else exit_codes.OK


def _compare(folder: Path, digests: dict[str, str]) -> list[str]:
    problems = []
    for path, digest in digests.items():
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts:
            problems.append(f"{path}: leads out of the folder")
        elif not (folder / parts).is_file():
            problems.append(f"{path}: missing")
        elif _sha256(folder / parts) != digest:
            problems.append(f"{path}: its bytes differ")
    return problems + [f"{path.relative_to(folder)}: not of this dataset" for path in foreign_files(folder)]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
