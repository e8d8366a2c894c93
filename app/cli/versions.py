"""``pictrawl datasets versions|diff``: what the versions of a dataset are, and what differs between two datasets."""

from typing import Annotated, Any

import typer

from app.cli.changes import since_words, words
from app.cli.datasets import DatasetId
from app.cli.documents import difference_document, version_document
from app.cli.options import Cli
from app.cli.output import table
from app.cli.session import open_database, run
from app.cli.settings import load_settings
from app.datasets import diff as diffs
from app.datasets.diff import Changes, Difference
from app.db import datasets, lookup
from app.db import versions as version_rows
from app.formatting import clipped, count, number, size, when

__all__ = ["diff", "versions"]

SHOWN = 20
"""Differences of each kind that are shown by default."""


def versions(cli: Cli, dataset: DatasetId) -> int:
    """List the versions of a dataset, the newest first.

    Numbers count as Croissant's do: 2.0.0 after images were removed or changed, 1.1.0 after some were added.
    """
    return run(_versions(cli, dataset))


async def _versions(cli: Cli, text: str) -> int:
    async with open_database(cli, load_settings(cli)) as db:
        dataset = await datasets.get_dataset(db, await lookup.dataset_id(db, text))
        found = await version_rows.of_lineage(db, dataset.lineage_id)
    rows = [
        (one.number, one.kind, number(one.images), size(one.size_bytes), since_words(one), one.dataset_id, when(one.created_at))
        for one in found
    ]
    head = ("version", "made by", "images", "bytes", "since the one before", "dataset", "made")
    text = table(head, rows, right=(2, 3)) if rows else f"{dataset.name} has no version: its images are not decided"
    document = {"lineage_id": dataset.lineage_id, "items": [version_document(one) for one in found]}
    cli.result(text, document, brief="\n".join(one.number for one in found))
    return 0


def diff(
    cli: Cli,
    old: Annotated[str, typer.Argument(metavar="A", help="A dataset: its id, name, or either with a version, as in cats@1.0.0.")],
    new: Annotated[str, typer.Argument(metavar="B", help="The dataset to compare with it; of another name as well.")],
    shown: Annotated[int, typer.Option("--show", metavar="N", min=0, help="Show the first N of each kind.")] = SHOWN,
) -> int:
    """Show what differs from one dataset to another.

    Images are compared by URL: added, removed, changed, relabelled, resplit. All are counted, the first N of each kind listed.
    """
    return run(_diff(cli, old, new, shown))


async def _diff(cli: Cli, old: str, new: str, most: int) -> int:
    changes = Changes()
    listed: dict[str, list[Difference]] = {}
    async with open_database(cli, load_settings(cli)) as db:
        ids = [await lookup.dataset_id(db, text) for text in (old, new)]
        async for difference in diffs.differences(db, *ids):
            changes = diffs.with_difference(changes, difference)
            for kind in difference.kinds:
                if len(same := listed.setdefault(kind, [])) < most:
                    same.append(difference)
    total = changes.as_json()
    lines = [f"{old} > {new}: {'nothing differs' if changes.is_empty else words(total)}"]
    for kind, count_of in total.items():
        lines += [f"  {kind:<11}{clipped(item.url, 120)}{_detail(kind, item)}" for item in listed.get(kind, [])]
        more = count_of - len(listed.get(kind, []))
        lines += [f"  {kind:<11}and {count(more, 'more image')}"] if most and more > 0 else []
    document: dict[str, Any] = {"old": ids[0], "new": ids[1], "changes": total}
    document |= {kind: [difference_document(item) for item in listed.get(kind, [])] for kind in total}
    cli.result("\n".join(lines), document, brief="same" if changes.is_empty else "different")
    return 0


def _detail(kind: str, item: Difference) -> str:
    if item.old is None or item.new is None:
        return ""
    if kind == "resplit":
        return f"  {item.old.split} > {item.new.split}"
    if kind == "relabelled":
        return f"  {clipped(_labels(item.old.labels, item.old.label), 40)} > {clipped(_labels(item.new.labels, item.new.label), 40)}"
    return f"  {', '.join([*(['bytes'] if item.old.sha256 != item.new.sha256 else []), *item.texts])}"


def _labels(labels: tuple[str, ...], label: str | None) -> str:
    return "+".join(labels) or label or "without label"
