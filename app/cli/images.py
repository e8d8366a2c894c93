"""``pictrawl images ls``: images by state, reason, source, label and split. ``images show`` is in :mod:`app.cli.explain`."""

from dataclasses import replace
from typing import Annotated, Literal

import typer

from app.cli.documents import image_document
from app.cli.listing import Listing, Paging, show_list
from app.cli.options import Cli, Cursor, Limit, parse_choice
from app.cli.session import open_database, run
from app.cli.settings import load_settings
from app.db import image_search, lookup
from app.db.image_search import ImageFilter
from app.domain import ImageState, Reason, StoredImage
from app.formatting import clipped

__all__ = ["ls"]


def ls(
    cli: Cli,
    job: Annotated[str | None, typer.Option("--job", metavar="JOB", help="Only of this job.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", metavar="DATASET", help="Only of this dataset.")] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="STATE", help="Only in this state, as in failed.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="REASON", help="Only with this reason, as in http_404.")] = None,
    source: Annotated[str | None, typer.Option("--source", "-s", metavar="NAME", help="Only from this source.")] = None,
    label: Annotated[str | None, typer.Option("--label", metavar="NAME", help="Only with this label.")] = None,
    split: Annotated[str | None, typer.Option("--split", metavar="NAME", help="Only in this split.")] = None,
    form: Annotated[Literal["table", "urls"], typer.Option("--format", "-f", help="urls can be the list of another build.")] = "table",
    limit: Limit = None,
    cursor: Cursor = None,
) -> int:
    """List images, oldest first."""
    wanted = ImageFilter(
        job_id=job,
        dataset_id=dataset,
        state=parse_choice(ImageState, state, "--state"),
        reason=parse_choice(Reason, reason, "--reason"),
        source=source,
        label=label,
        split=split,
    )
    return run(_ls(cli, wanted, form, Paging(limit, cursor)))


async def _ls(cli: Cli, wanted: ImageFilter, form: str, paging: Paging) -> int:
    heads = ("id", "status", "reason", "label", "url")
    listing = Listing("images", heads, _row, image_document, right=(0,), line=(lambda image: image.url) if form == "urls" else None)
    async with open_database(cli, load_settings(cli)) as db:
        wanted = replace(
            wanted,
            job_id=wanted.job_id and await lookup.job_id(db, wanted.job_id),
            dataset_id=wanted.dataset_id and await lookup.dataset_id(db, wanted.dataset_id),
        )
        await show_list(cli, listing, lambda limit, cursor: image_search.page(db, wanted, limit=limit, cursor=cursor), paging)
    return 0


def _row(image: StoredImage) -> tuple[object, ...]:
    return (image.id, image.state, image.reason or "-", clipped(image.label or "-", 16), clipped(image.url, 200))
