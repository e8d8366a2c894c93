"""``pictrawl forget``, ``tombstones ls|rm``: remove images on request, so that they do not return."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.delivery import destination_in, destination_of
from app.cli.failures import UsageError
from app.cli.listing import Listing, Paging, show_list
from app.cli.options import Cli, Cursor, Limit, parse_name, parse_text
from app.cli.output import table
from app.cli.runner import open_job_resources
from app.cli.session import configure_logging, open_database, require_workspace, run
from app.cli.settings import load_settings
from app.datasets.forget import Forgotten
from app.datasets.forget import forget as forget_images
from app.db import Database, jobs, tombstones
from app.db.rows import Export
from app.db.tombstones import EVERYBODY, Tombstone
from app.formatting import clipped, count, when
from app.gallery import folder

__all__ = ["forget", "ls", "rm"]

TARGETS = "URLs, SHA-256 digests, or ids of images."
FROM_LIST = "A file with one of them on each line; - is stdin. Lines that begin with # are passed over."
EXACT = "Near copies stay and may return: for a picture without detail, which others resemble."

_HOW = {"url": "by URL", "digest": "by digest", "near": "near copies"}


def forget(
    cli: Cli,
    targets: Annotated[list[str] | None, typer.Argument(metavar="URL|SHA256|IMAGE...", help=TARGETS, show_default=False)] = None,
    from_list: Annotated[str | None, typer.Option("--from-list", metavar="FILE|-", parser=parse_name, help=FROM_LIST)] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", parser=parse_text, help="Why, as in the request; it is kept.")
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help=EXACT)] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go, and remove nothing.")] = False,
) -> int:
    """Remove images on request, so that they do not return.

    They leave the store and every dataset of the workspace.

    Whatever shows the same picture goes too, under any URL, re-encoded or resized. Tombstones keep the URL, the digest and
    a hash of the picture, but no picture. Folders that builds wrote, and buckets, are listed: export those datasets again.
    """
    return run(_forget(cli, targets or [], from_list, reason, exact, dry_run))


async def _forget(cli: Cli, targets: list[str], from_list: str | None, reason: str | None, exact: bool, dry_run: bool) -> int:
    asked = [*targets, *(await asyncio.to_thread(_read_lines, from_list) if from_list else [])]
    if not asked:
        raise UsageError("nothing to forget: name a URL, a SHA-256 digest or an image's id", "or a file of them: --from-list FILE")
    settings = load_settings(cli)
    require_workspace(settings)
    configure_logging(cli, settings, default="WARNING")
    async with open_job_resources(settings) as resources:
        found = await forget_images(resources, asked, user_id=EVERYBODY, reason=reason, is_exact=exact, dry_run=dry_run)
        for dataset_id in () if dry_run else found.datasets:
            folder.clear(folder.columns_folder(settings), dataset_id)
        places = [await _place(resources.db, made) for made in found.exports]
    cli.result(_text(found, places, dry_run), _document(found, places, dry_run), brief=str(found.images.total()))
    return 0


def _read_lines(name: str) -> list[str]:
    if name == "-":
        lines = sys.stdin.read().splitlines()
    else:
        try:
            lines = Path(name).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--from-list {name} cannot be read: {error}", "it is a text file, one URL, digest or id a line") from error
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _text(found: Forgotten, places: Sequence[str | None], dry_run: bool) -> str:
    parts = ", ".join(f"{number} {_HOW[how]}" for how, number in sorted(found.images.items()))
    images = f"{count(found.images.total(), 'image')} of {count(len(found.datasets), 'dataset')}" + (f" ({parts})" if parts else "")
    head = f"would forget {images}" if dry_run else f"forgot {images}; {count(found.tombstones, 'tombstone')} in force"
    if not found.exports:
        return head
    rows = [
        (made.id, made.format, made.dataset_id, place or "-", when(made.created_at))
        for made, place in zip(found.exports, places, strict=True)
    ]
    said = "these exports hold what goes" if dry_run else "these exports held it; copies that were delivered still do: export them again"
    return f"{head}\n{said}\n" + table(("export", "format", "dataset", "delivered to", "made"), rows)


async def _place(db: Database, made: Export) -> str | None:
    """The URL that an export went to, or the folder of the build that made it; the folder of a later export is recorded nowhere."""
    if made.destination:
        return made.destination
    job = await jobs.get(db, made.job_id)
    folder = destination_of(job)
    return str(destination_in(folder, job, made.format)) if folder else None


def _document(found: Forgotten, places: Sequence[str | None], dry_run: bool) -> dict[str, Any]:
    exports = [
        {"id": made.id, "dataset_id": made.dataset_id, "format": made.format, "version": made.version, "destination": place}
        for made, place in zip(found.exports, places, strict=True)
    ]
    counts = {"images": found.images.total(), "found": dict(found.images), "tombstones": found.tombstones, "blobs": found.blobs}
    return counts | {"datasets": list(found.datasets), "exports": exports, "dry_run": dry_run}


def ls(cli: Cli, limit: Limit = None, cursor: Cursor = None) -> int:
    """List what was removed on request and does not return, newest first."""
    return run(_ls(cli, Paging(limit, cursor)))


async def _ls(cli: Cli, paging: Paging) -> int:
    async with open_database(cli, load_settings(cli)) as db:
        listing = Listing("tombstones", ("id", "url", "sha256", "picture", "reason", "made"), _row, asdict)
        await show_list(cli, listing, lambda limit, cursor: tombstones.page(db, limit=limit, cursor=cursor), paging)
    return 0


def _row(item: Tombstone) -> tuple[object, ...]:
    names = (clipped(item.url or "-", 60), (item.sha256 or "-")[:12], item.phash or "-", clipped(item.reason or "-", 40))
    return (item.id, *names, when(item.created_at))


def rm(cli: Cli, tombstone: Annotated[str, typer.Argument(metavar="TOMBSTONE", help="A tombstone's id.")]) -> int:
    """Take a tombstone back: what it names may be downloaded again.

    Images that were removed stay removed.
    """
    return run(_rm(cli, tombstone))


async def _rm(cli: Cli, tombstone_id: str) -> int:
    async with open_database(cli, load_settings(cli)) as db:
        found = await tombstones.get(db, tombstone_id)
        await tombstones.remove(db, found.id)
    cli.result(f"tombstone {found.id} is removed", {"id": found.id, "removed": True}, brief=found.id)
    return 0
