"""``pictrawl images ls``: images by any filter, and of one dataset in any order. ``images show`` is in :mod:`app.cli.explain`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import typer

from app.cli.documents import image_document
from app.cli.failures import UsageError
from app.cli.listing import Listing, Paging, show_list
from app.cli.options import Cli, Cursor, Limit, parse_choice, parse_text
from app.cli.session import open_database, run
from app.cli.settings import load_settings
from app.db import Database, image_search, lookup
from app.db.image_search import ImageFilter
from app.db.rows import PageOf
from app.domain import ImageState, Reason, StoredImage
from app.formatting import clipped
from app.gallery.filters import Filter, Sort
from app.gallery.gallery import Gallery, open_gallery
from app.settings import Settings

__all__ = ["ls"]

ReadPage = Callable[[int, str | None], Awaitable[PageOf[StoredImage]]]

SORT = "By width, height, pixels, aspect, bytes, sharpness, brightness, entropy, edges or fetched_at; -sharpness turns it around."


@dataclass(frozen=True, slots=True)
class Search:
    """What only the columns of a dataset answer."""

    license: str | None
    host: str | None
    text: str | None
    where: str | None
    sort: str | None

    @property
    def is_wanted(self) -> bool:
        """Whether any of it was asked for."""
        return any(getattr(self, name) is not None for name in self.__slots__)


def ls(
    cli: Cli,
    job: Annotated[str | None, typer.Option("--job", metavar="JOB", help="Only of this job.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", metavar="DATASET", help="Only of this dataset.")] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="STATE", help="Only in this state, as in failed.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="REASON", help="Only with this reason, as in http_404.")] = None,
    source: Annotated[str | None, typer.Option("--source", "-s", metavar="NAME", help="Only from this source.")] = None,
    label: Annotated[str | None, typer.Option("--label", metavar="NAME", help="Only with this label.")] = None,
    split: Annotated[str | None, typer.Option("--split", metavar="NAME", help="Only in this split.")] = None,
    license_: Annotated[str | None, typer.Option("--license", metavar="LICENCE", help="Only under this licence; needs --dataset.")] = None,
    host: Annotated[str | None, typer.Option("--host", metavar="HOST", help="Only from this host; needs --dataset.")] = None,
    text: Annotated[
        str | None, typer.Option("--text", metavar="WORDS", parser=parse_text, help="Only with these words; needs --dataset.")
    ] = None,
    where: Annotated[
        str | None, typer.Option("--where", metavar="EXPRESSION", help="Only what it selects, as in a build; needs --dataset.")
    ] = None,
    sort: Annotated[str | None, typer.Option("--sort", metavar="NAME", help=f"{SORT} Needs --dataset.")] = None,
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
    search = Search(license_, host, text, where, sort)
    if search.is_wanted and (dataset is None or job is not None):
        raise UsageError("--license, --host, --text, --where and --sort are for one dataset", "name it with --dataset, without --job")
    return run(_ls(cli, wanted, search, form, Paging(limit, cursor)))


async def _ls(cli: Cli, wanted: ImageFilter, search: Search, form: str, paging: Paging) -> int:
    heads = ("id", "status", "reason", "label", "url")
    listing = Listing("images", heads, _row, image_document, right=(0,), line=(lambda image: image.url) if form == "urls" else None)
    settings = load_settings(cli)
    async with open_database(cli, settings) as db:
        wanted = replace(
            wanted,
            job_id=wanted.job_id and await lookup.job_id(db, wanted.job_id),
            dataset_id=wanted.dataset_id and await lookup.dataset_id(db, wanted.dataset_id),
        )
        if search.is_wanted:
            await _search(cli, listing, db, settings, wanted, search, paging)
        else:
            await show_list(cli, listing, lambda limit, cursor: image_search.page(db, wanted, limit=limit, cursor=cursor), paging)
    return 0


async def _search(
    cli: Cli, listing: Listing[StoredImage], db: Database, settings: Settings, wanted: ImageFilter, search: Search, paging: Paging
) -> None:
    names = ("state", "reason", "source", "label", "split")
    chosen = {name: getattr(wanted, name) for name in names} | {"license": search.license, "host": search.host}
    found = Filter.of({name: [value] for name, value in chosen.items() if value is not None}, text=search.text, where=search.where)
    async with open_gallery(db, settings) as gallery:
        await show_list(cli, listing, _reader(gallery, str(wanted.dataset_id), found, Sort.parse(search.sort or "id")), paging)


def _reader(gallery: Gallery, dataset_id: str, wanted: Filter, sort: Sort) -> ReadPage:
    """Read pages; the first one waits for columns that are current, and the others are read from the same ones."""
    is_first = True

    async def read(limit: int, cursor: str | None) -> PageOf[StoredImage]:
        nonlocal is_first
        view = await gallery.look(dataset_id, wanted, sort, limit=limit, cursor=cursor, wait=is_first)
        is_first = False
        return PageOf(view.images or [], view.next_cursor)

    return read


def _row(image: StoredImage) -> tuple[object, ...]:
    return (image.id, image.state, image.reason or "-", clipped(image.label or "-", 16), clipped(image.url, 200))
