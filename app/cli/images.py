"""``pictrawl images ls``: images by state, reason, source, label and split. ``images show`` is in :mod:`app.cli.explain`."""

from typing import Annotated, Literal

import typer

from app.cli.documents import image_document
from app.cli.options import Cli, Cursor, Limit, parse_choice
from app.cli.output import show_page, table
from app.cli.session import open_database, run
from app.cli.settings import load_settings
from app.db import image_search
from app.db.image_search import ImageFilter
from app.domain import ImageState, Reason
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
    limit: Limit = 50,
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
    return run(_ls(cli, wanted, form, limit, cursor))


async def _ls(cli: Cli, wanted: ImageFilter, form: str, limit: int, cursor: str | None) -> int:
    async with open_database(cli, load_settings(cli)) as db:
        page = await image_search.page(db, wanted, limit=limit, cursor=cursor)
    if form == "urls":
        text = "\n".join(image.url for image in page.items)
    else:
        rows = [
            (image.id, image.state, image.reason or "-", clipped(image.label or "-", 16), clipped(image.url, 200)) for image in page.items
        ]
        text = table(("id", "status", "reason", "label", "url"), rows, right=(0,))
    show_page(cli, page.items, text, documents=[image_document(image) for image in page.items], cursor=page.next_cursor, what="images")
    return 0
