"""``pictrawl datasets leaks``: how many pairs of images share something across the splits of a dataset, or of a folder with one."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli import exit_codes
from app.cli.failures import UsageError
from app.cli.options import Cli
from app.cli.output import table
from app.cli.session import open_database, run
from app.cli.settings import load_settings
from app.datasets import leaks as counting
from app.db import lookup
from app.exports import folder as export_folder
from app.exports.formats import get_exporter
from app.exports.sidecars import SPLIT_REPORT
from app.formatting import count, listing, number
from app.images.split_groups import LeakReport
from app.rules import SPLIT_KINDS

__all__ = ["leaks", "lopsided_words"]


def leaks(
    cli: Cli,
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET|DIR", help="A folder with a dataset, or a dataset's id, the beginning of it, or its name.")
    ],
) -> int:
    """Count the pairs of images that share something across splits.

    Of a dataset from its rows; of a folder from what it holds, and nothing else. Pictures are nearly the same whose hashes differ
    in no more bits than the build allows, whatever their colours. Exit code 7 where two images share what the dataset was split by, or
    where a folder states other figures than it holds.
    """
    is_folder = not dataset.startswith("ds_") and Path(dataset).exists()
    return run(_of_folder(cli, Path(dataset)) if is_folder else _of_dataset(cli, dataset))


async def _of_dataset(cli: Cli, dataset_id: str) -> int:
    async with open_database(cli, load_settings(cli)) as db:
        dataset_id = await lookup.dataset_id(db, dataset_id)
        report = await counting.split_report(db, dataset_id)
    return _show(cli, f"dataset {dataset_id}", report, [])


async def _of_folder(cli: Cli, folder: Path) -> int:
    """Read the rows of a delivered dataset by the rules of its format, and compare the figures with those that it states."""
    manifest = export_folder.read_manifest(folder)
    if not manifest:
        raise UsageError(f"{folder} holds no dataset of pictrawl: there is no manifest.json", "name a dataset's id or its folder")
    found = await get_exporter(str(manifest.get("format"))).verify(folder, export_folder.stated_report(folder))
    if found.split_report is None:
        raise UsageError(f"{folder} cannot be read: {found.problems[0]}", "pictrawl datasets verify names all of its problems")
    return _show(cli, str(folder), found.split_report, [problem for problem in found.problems if problem.startswith(SPLIT_REPORT)])


def _show(cli: Cli, what: str, report: LeakReport, problems: list[str]) -> int:
    rows = [
        (kind, counting.SPLIT_BY_WORDS[kind], "yes" if kind in report.split_by else "", number(report.pairs.get(kind, 0)))
        for kind in SPLIT_KINDS
    ]
    lines = [
        f"{what}: {count(report.images, 'image')}; {listing(report.splits)}",
        table(("shared", "is", "split by", "pairs across splits"), rows, right=(3,)),
        lopsided_words(report),
        *problems,
    ]
    document = report.to_json() | {"leaks": report.leaks, "problems": problems}
    cli.result("\n".join(line for line in lines if line), document, brief="leaks" if report.leaks else "ok")
    return exit_codes.UNVERIFIED if report.leaks or problems else exit_codes.OK


def lopsided_words(report: LeakReport) -> str:
    """What to do about a component of most images; empty where there is none."""
    if not report.is_lopsided:
        return ""
    shared = counting.SPLIT_BY_WORDS.get(report.largest_by or "", "something")
    stay = f"{number(report.largest)} of {number(report.images)} images stay in one split: most of them share {shared}"
    kinds = ",".join(kind for kind in report.split_by if kind != report.largest_by) or "group"
    return f"{stay}; --split-by {kinds} divides them"
