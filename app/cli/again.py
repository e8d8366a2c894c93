"""``pictrawl resume`` and ``pictrawl retry``: go on with a job that stopped, or fetch again what failed in one that ended."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.state import Cli

if TYPE_CHECKING:
    from app.cli.delivery import Destination
    from app.cli.working import Desk
    from app.db.rows import Job
    from app.domain import Reason

__all__ = ["resume", "retry"]

REASON = "Only what failed for this; may be repeated. Default: what may have passed since."

LOOKED_AT = 50
"""Jobs among which the one to resume is looked for, newest first."""


def resume(
    cli: Cli,
    job: Annotated[str | None, typer.Argument(metavar="JOB", help="Default: the newest job that can go on.", show_default=False)] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help="Another folder than the build named.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what stands there.")] = False,
) -> int:
    """Go on with a job that was interrupted or failed.

    Its dataset is delivered where the build was told to put it. No URL that has an outcome
    is requested again. Settings that were options of the build must be given again.
    """
    from app.cli.session import run

    return run(_resume(cli, job, output, overwrite))


async def _resume(cli: Cli, job_id: str | None, output: Path | None, overwrite: bool) -> int:
    from app.cli.ending import close_build
    from app.cli.session import require_workspace
    from app.cli.working import workplace
    from app.db import jobs

    settings = cli.settings()
    require_workspace(settings)
    async with workplace(cli, settings, "resume") as desk:
        db = desk.resources.db
        job = await jobs.get(db, job_id) if job_id else await _newest(desk)
        where = _destination(job, output, overwrite)
        if _goes_on(job):
            if where is not None:
                where.check(settings.workspace.path)
            await desk.carry_out(lambda: _set_going(desk, job), f"resuming {job.kind}")
        return await close_build(desk, job.id, where)


async def _newest(desk: "Desk") -> "Job":
    """The newest job that can go on or whose dataset is not where it belongs."""
    from app.cli.delivery import destination_of, has_export, is_delivered
    from app.cli.failures import Refused
    from app.db import jobs

    for job in (await jobs.page(desk.resources.db, limit=LOOKED_AT)).items:
        where = destination_of(job)
        if not job.is_final or _can_be_revived(job):
            return job
        if where and not is_delivered(where.folder, job.dataset_id) and await has_export(desk.resources.db, job.id):
            return job
    raise Refused("there is nothing to resume: every job has ended and its dataset is delivered", "pictrawl jobs ls")


def _can_be_revived(job: "Job") -> bool:
    """A job that failed because of us; one that failed because nothing was kept would only fail again."""
    return job.state.value == "failed" and job.shortfall is None


def _goes_on(job: "Job") -> bool:
    from app.cli.failures import Refused

    if job.state.value == "cancelled":
        raise Refused(f"job {job.id} was cancelled; it does not go on", f"pictrawl retry {job.id} fetches its images again")
    return not job.is_final or _can_be_revived(job)


def _destination(job: "Job", output: Path | None, overwrite: bool) -> "Destination | None":
    """Where the dataset goes. An earlier form of the same dataset there is replaced; the very same one is left alone."""
    from app.cli.delivery import Destination, destination_of, is_delivered

    planned = destination_of(job)
    if output is not None:
        return Destination(output, overwrite)
    if planned is None:
        return None
    is_ours = is_delivered(planned.folder, job.dataset_id)
    return Destination(planned.folder, overwrite or planned.overwrite or is_ours)


async def _set_going(desk: "Desk", job: "Job") -> str:
    from app.domain import JobState
    from app.jobs import control, submit

    db = desk.resources.db
    if job.is_final:
        await control.revive(db, job.id)
        await submit.wake(desk.resources)
    elif job.desired_state is not JobState.RUNNING:
        await submit.steer(desk.resources, job.id, JobState.RUNNING)
    else:
        await submit.wake(desk.resources)
    return job.id


def retry(
    cli: Cli,
    job: Annotated[str, typer.Argument(metavar="JOB", help="A build that has ended.")],
    reason: Annotated[list[str] | None, typer.Option("--reason", metavar="REASON", help=REASON)] = None,
) -> int:
    """Fetch again what failed in a build.

    The dataset is then written anew in the same place.
    """
    from app.cli.session import run

    return run(_retry(cli, job, reason or []))


async def _retry(cli: Cli, job_id: str, names: list[str]) -> int:
    from app.cli.ending import close_build
    from app.cli.session import require_workspace
    from app.cli.working import workplace
    from app.db import jobs
    from app.jobs import submit

    settings = cli.settings()
    require_workspace(settings)
    reasons = _reasons(names) or submit.RETRYABLE
    async with workplace(cli, settings, "retry") as desk:
        where = _destination(await jobs.get(desk.resources.db, job_id), None, False)
        if where is not None:
            where.check(settings.workspace.path)

        async def begin() -> str:
            return (await submit.submit_retry(desk.resources, job_id, reasons)).job_id

        return await close_build(desk, await desk.carry_out(begin, f"retrying {job_id}"), where)


def _reasons(names: list[str]) -> "frozenset[Reason]":
    import difflib

    from app.cli.failures import Refused
    from app.domain import Reason

    known = [reason.value for reason in Reason]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise Refused(f"there is no reason {name!r}", f"did you mean {near[0]}?" if near else "the reasons: docs/reference/reasons.md")
    return frozenset(Reason(name) for name in names)
