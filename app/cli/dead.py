"""``pictrawl dead``: units of work that will not run again by themselves. Put them back to work, or do without them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.paging import Cursor, Limit
from app.cli.state import Cli

if TYPE_CHECKING:
    from app.db import Database
    from app.db.dead import DeadFilter, Which
    from app.settings import Settings

__all__ = ["COMMANDS"]

Units = Annotated[list[str] | None, typer.Argument(metavar="UNIT...", help="Ids of dead units.", show_default=False)]
OfJob = Annotated[str | None, typer.Option("--job", metavar="JOB", help="All dead units of this job.")]


def ls(
    cli: Cli,
    job: Annotated[str | None, typer.Option("--job", metavar="JOB", help="Only of this job.")] = None,
    error: Annotated[str | None, typer.Option("--error", metavar="CLASS", help="Only what died of this, as in MemoryError.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Only of this kind, as in fetch.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> int:
    """List dead units, the last that died first.

    --error takes the beginning of an error, so its class alone will do.
    """
    from app.cli.paging import member
    from app.cli.session import run
    from app.db.dead import DeadFilter
    from app.domain import UnitKind

    return run(_ls(cli, DeadFilter(job, member(UnitKind, kind, "--kind"), error), limit, cursor))


async def _ls(cli: Cli, wanted: "DeadFilter", limit: int, cursor: str | None) -> int:
    from app.cli.documents import dead_document
    from app.cli.paging import show_page
    from app.cli.session import reading
    from app.cli.words import clipped, table, when
    from app.db import dead

    settings = cli.settings()
    async with reading(cli, settings) as db:
        page = await dead.page(db, wanted, limit=limit, cursor=cursor)
    rows = [(unit.id, unit.job_id, unit.kind, when(unit.died_at), clipped(unit.error or "-", 120)) for unit in page.items]
    text = table(("id", "job", "kind", "died", "error"), rows)
    show_page(cli, page.items, text, documents=[dead_document(unit) for unit in page.items], cursor=page.next_cursor, what="dead units")
    return 0


def retry(cli: Cli, unit: Units = None, job: OfJob = None) -> int:
    """Put dead units back to work, once what killed them is mended.

    Their job goes on if it failed. All of the units, or none.
    """
    from app.cli.session import run

    return run(_retry(cli, _which(unit, job)))


async def _retry(cli: Cli, which: "Which") -> int:
    from app.cli.documents import dead_document
    from app.cli.session import changing
    from app.jobs import control

    settings = cli.settings()
    async with changing(cli, settings) as db:
        revived = await control.retry_dead(db, which)
        await _set_going(cli, settings, db, [unit.job_id for unit in revived])
    lines = [f"{unit.id}: {unit.kind} of {unit.job_id} is {unit.state}" for unit in revived]
    cli.result("\n".join(lines), {"items": [dead_document(unit) for unit in revived]}, brief="\n".join(unit.id for unit in revived))
    return 0


def discard(
    cli: Cli,
    unit: Units = None,
    job: OfJob = None,
    resume: Annotated[bool, typer.Option("--resume", help="Let the job go on, once none of its units is dead.")] = False,
) -> int:
    """Give dead units up for good.

    Images they were left with fail with the reason cancelled; pictrawl retry JOB fetches them
    again. A job that failed can then be resumed, and ends with what it has. All of the units, or none.
    """
    from app.cli.session import run

    return run(_discard(cli, _which(unit, job), resume))


async def _discard(cli: Cli, which: "Which", resume: bool) -> int:
    from app.cli.documents import dead_document
    from app.cli.session import changing
    from app.cli.words import count
    from app.jobs import control

    settings = cli.settings()
    async with changing(cli, settings) as db:
        given_up = await control.discard_dead(db, which, resume=resume)
        if resume:
            await _set_going(cli, settings, db, [item.unit.job_id for item in given_up])
    lines = [f"{item.unit.id}: {item.unit.kind} of {item.unit.job_id} given up, {count(item.images, 'image')} closed" for item in given_up]
    documents = [dead_document(item.unit) | {"images": item.images} for item in given_up]
    cli.result("\n".join(lines), {"items": documents}, brief="\n".join(item.unit.id for item in given_up))
    return 0


def _which(unit_ids: list[str] | None, job_id: str | None) -> "Which":
    from app.cli.failures import Refused
    from app.db.dead import Which

    if bool(unit_ids) is (job_id is not None):
        raise Refused("name units, or --job JOB for all dead units of a job", "pictrawl dead ls")
    return Which(tuple(dict.fromkeys(unit_ids or ())), job_id)


async def _set_going(cli: Cli, settings: "Settings", db: "Database", job_ids: Sequence[str]) -> None:
    """Send what is due; on the embedded default, say which command works at it."""
    from app.cli.locking import is_embedded
    from app.cli.session import send_due
    from app.cli.working import warn_without_workers

    if not is_embedded(settings):
        await send_due(cli, settings)
        await warn_without_workers(cli, db)
        return
    for job_id in dict.fromkeys(job_ids):
        cli.note(f"a worker takes it within seconds; without one: pictrawl resume {job_id}{cli.again}")


COMMANDS: dict[str, Callable[..., int]] = {"ls": ls, "retry": retry, "discard": discard}
