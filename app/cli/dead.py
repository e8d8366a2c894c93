"""``pictrawl dead``: list, retry or discard dead units."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from app.cli.documents import dead_document
from app.cli.failures import UsageError
from app.cli.listing import Listing, Paging, show_list
from app.cli.options import Cli, Cursor, Limit, parse_choice
from app.cli.runner import wake_workers
from app.cli.session import is_embedded, open_database, run, warn_without_workers, workspace_of
from app.cli.settings import load_settings
from app.db import Database, dead_units, lookup
from app.db.dead_units import DeadFilter, DeadUnit, Which
from app.formatting import clipped, count, when
from app.job_states import UnitKind
from app.jobs import control
from app.settings import Settings

__all__ = ["discard", "ls", "retry"]

Units = Annotated[list[str] | None, typer.Argument(metavar="UNIT...", help="Ids of dead units, or beginnings of them.", show_default=False)]
OfJob = Annotated[str | None, typer.Option("--job", metavar="JOB", help="All dead units of this job.")]


def ls(
    cli: Cli,
    job: Annotated[str | None, typer.Option("--job", metavar="JOB", help="Only of this job.")] = None,
    error: Annotated[str | None, typer.Option("--error", metavar="CLASS", help="Only with this error, as in MemoryError.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Only of this kind, as in fetch.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> int:
    """List dead units, newest first.

    --error matches the beginning of the error, so the name of its class is enough.
    """
    return run(_ls(cli, DeadFilter(job, parse_choice(UnitKind, kind, "--kind"), error), Paging(limit, cursor)))


async def _ls(cli: Cli, wanted: DeadFilter, paging: Paging) -> int:
    listing = Listing("dead units", ("id", "job", "kind", "died", "error"), _row, dead_document)
    async with open_database(cli, load_settings(cli)) as db:
        wanted = replace(wanted, job_id=wanted.job_id and await lookup.job_id(db, wanted.job_id))
        await show_list(cli, listing, lambda limit, cursor: dead_units.page(db, wanted, limit=limit, cursor=cursor), paging)
    return 0


def _row(unit: DeadUnit) -> tuple[object, ...]:
    return (unit.id, unit.job_id, unit.kind, when(unit.died_at), clipped(unit.error or "-", 120))


def retry(cli: Cli, unit: Units = None, job: OfJob = None) -> int:
    """Retry dead units after their cause is fixed.

    Their job continues if it failed. Either all of the units are changed, or none.
    """
    return run(_retry(cli, _which(unit, job)))


async def _retry(cli: Cli, which: Which) -> int:
    settings = load_settings(cli)
    async with open_database(cli, settings, record=True) as db:
        revived = await control.retry_dead(db, await _resolved(db, which))
        await _dispatch(cli, settings, db, [unit.job_id for unit in revived])
    lines = [f"{unit.id}: {unit.kind} of {unit.job_id} is {unit.state}" for unit in revived]
    cli.result("\n".join(lines), {"items": [dead_document(unit) for unit in revived]}, brief="\n".join(unit.id for unit in revived))
    return 0


def discard(
    cli: Cli,
    unit: Units = None,
    job: OfJob = None,
    resume: Annotated[bool, typer.Option("--resume", help="Let the job continue, once none of its units is dead.")] = False,
) -> int:
    """Discard dead units.

    Their open images fail with the reason cancelled; pictrawl retry JOB fetches them again.
    A job that failed can then be resumed, and ends with the images that it has.
    Either all of the units are changed, or none.
    """
    return run(_discard(cli, _which(unit, job), resume))


async def _discard(cli: Cli, which: Which, resume: bool) -> int:
    settings = load_settings(cli)
    async with open_database(cli, settings, record=True) as db:
        discarded = await control.discard_dead(db, await _resolved(db, which, only=True), resume=resume)
        if resume:
            await _dispatch(cli, settings, db, [item.unit.job_id for item in discarded])
    lines = [
        f"{item.unit.id}: {item.unit.kind} of {item.unit.job_id} discarded, {count(item.images, 'image')} closed" for item in discarded
    ]
    documents = [dead_document(item.unit) | {"images": item.images} for item in discarded]
    cli.result("\n".join(lines), {"items": documents}, brief="\n".join(item.unit.id for item in discarded))
    return 0


def _which(unit_ids: list[str] | None, job_id: str | None) -> Which:
    if bool(unit_ids) is (job_id is not None):
        raise UsageError("name units, or --job JOB for all dead units of a job", "pictrawl dead ls")
    return Which(tuple(unit_ids or ()), job_id)


async def _resolved(db: Database, which: Which, *, only: bool = False) -> Which:
    unit_ids = [await lookup.dead_unit_id(db, text) for text in which.unit_ids]
    return Which(tuple(dict.fromkeys(unit_ids)), which.job_id and await lookup.job_id(db, which.job_id, only=only))


async def _dispatch(cli: Cli, settings: Settings, db: Database, job_ids: Sequence[str]) -> None:
    """Send the units to the workers of a fleet; with the embedded queue tell the process that works, or show the command that does."""
    if not is_embedded(settings):
        await wake_workers(cli, settings, *job_ids)
        await warn_without_workers(cli, settings, db)
        return
    workspace = workspace_of(settings)
    holder = workspace.find_holder() if workspace is not None else None
    if workspace is not None and holder is not None:
        workspace.request(*dict.fromkeys(job_ids))
        cli.note(f"{holder} takes it")
        return
    for job_id in dict.fromkeys(job_ids):
        cli.note(f"no process works on this workspace: pictrawl resume {job_id}{cli.workspace_options}")
