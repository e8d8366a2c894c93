"""``pictrawl images``: list images by what became of them, and show one."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.cli.paging import Cursor, Limit
from app.cli.state import Cli

if TYPE_CHECKING:
    from app.db.images import ImageFilter

__all__ = ["COMMANDS"]


def ls(
    cli: Cli,
    job: Annotated[str | None, typer.Option("--job", metavar="JOB", help="Only of this job.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", metavar="DATASET", help="Only of this dataset.")] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="STATE", help="Only in this state, as in failed.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="REASON", help="Only out for this reason, as in http_404.")] = None,
    source: Annotated[str | None, typer.Option("--source", "-s", metavar="NAME", help="Only from this source.")] = None,
    label: Annotated[str | None, typer.Option("--label", metavar="NAME", help="Only with this label.")] = None,
    split: Annotated[str | None, typer.Option("--split", metavar="NAME", help="Only in this split.")] = None,
    form: Annotated[Literal["table", "urls"], typer.Option("--format", "-f", help="urls can be the list of another build.")] = "table",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> int:
    """List images, oldest first."""
    from app.cli.paging import member
    from app.cli.session import run
    from app.db.images import ImageFilter
    from app.domain import ImageState, Reason

    wanted = ImageFilter(
        job_id=job,
        dataset_id=dataset,
        state=member(ImageState, state, "--state"),
        reason=member(Reason, reason, "--reason"),
        source=source,
        label=label,
        split=split,
    )
    return run(_ls(cli, wanted, form, limit, cursor))


async def _ls(cli: Cli, wanted: "ImageFilter", form: str, limit: int, cursor: str | None) -> int:
    from app.cli.documents import image_document
    from app.cli.paging import show_page
    from app.cli.session import reading
    from app.cli.words import clipped, table
    from app.db import images

    settings = cli.settings()
    async with reading(cli, settings) as db:
        page = await images.page(db, wanted, limit=limit, cursor=cursor)
    if form == "urls":
        text = "\n".join(image.url for image in page.items)
    else:
        rows = [
            (image.id, image.state, image.reason or "-", clipped(image.label or "-", 16), clipped(image.url, 200)) for image in page.items
        ]
        text = table(("id", "status", "reason", "label", "url"), rows, right=(0,))
    show_page(cli, page.items, text, documents=[image_document(image) for image in page.items], cursor=page.next_cursor, what="images")
    return 0


def show(cli: Cli, image: Annotated[int, typer.Argument(metavar="IMAGE", help="An image's id.", min=1)]) -> int:
    """Show an image: its requests, its checks, what decided."""
    from app.cli.session import run

    return run(_show(cli, image))


async def _show(cli: Cli, image_id: int) -> int:
    from app.cli.explain.images import story_document, story_text
    from app.cli.session import reading
    from app.db import images
    from app.explain import image_story

    settings = cli.settings()
    async with reading(cli, settings) as db:
        story = await image_story(db, [await images.get(db, image_id)])
    cli.result(story_text(story), story_document(story), brief=story.image.state.value)
    return 0


COMMANDS: dict[str, Callable[..., int]] = {"ls": ls, "show": show}
