"""``pictrawl resume`` continues a job that stopped, ``finish`` ends a build with what it has, ``retry`` fetches again what failed."""

import difflib
from pathlib import Path
from typing import Annotated

import typer

from app.cli.delivery import Destination, check_folders, destination_of, exported_id, is_delivered, is_undelivered
from app.cli.failures import UsageError
from app.cli.options import Cli, Overwrite, Ui, UiPort, parse_path, parse_ui
from app.cli.runner import JobRunner, open_runner
from app.cli.session import require_workspace, run
from app.cli.settings import load_settings
from app.db import Database, datasets, jobs, lookup
from app.db.rows import Job
from app.domain import Reason
from app.exports.destination import is_remote
from app.job_states import DesiredState, JobKind, JobState
from app.jobs import control, submit

__all__ = ["finish", "resume", "retry"]


def _parse_folder(value: str) -> Path:
    if is_remote(value):
        raise typer.BadParameter(f"{value} is no folder; an export goes there by pictrawl datasets export DATASET -o {value}")
    return parse_path(value)


ANOTHER = "Another folder than the build's."
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", parser=_parse_folder, help=ANOTHER)]

REASON = "Only what failed for this; may be repeated. Default: the reasons that may have passed."

NEWEST = 50
"""Jobs that are searched for one to resume, newest first."""


def resume(
    cli: Cli,
    job: Annotated[str | None, typer.Argument(metavar="JOB", help="Default: the newest job that can continue.", show_default=False)] = None,
    output: Output = None,
    overwrite: Overwrite = False,
    ui: Ui = False,
    port: UiPort = None,
) -> int:
    """Continue a job that was interrupted or failed.

    Its dataset is delivered to the folder that the build named. No URL that has an outcome
    is requested again. Settings that were options of the build must be given again.
    """
    return run(_resume(cli, job, output, overwrite, parse_ui(ui, port)))


async def _resume(cli: Cli, job_id: str | None, output: Path | None, overwrite: bool, ui_port: int | None) -> int:
    settings = load_settings(cli)
    require_workspace(settings)
    async with open_runner(cli, settings, "resume", ui_port=ui_port) as runner:
        db = runner.resources.db
        job = await jobs.get(db, await lookup.job_id(db, job_id)) if job_id else await _newest(db)
        destination = _destination(job, output, overwrite)
        if overwrite:
            await datasets.allow_overwrite(db, job.id)
        if _can_continue(job):
            if destination is not None:
                check_folders(destination, job, settings.workspace.path)
            await runner.run_job(lambda: _start(runner, job), f"resuming {job.kind}")
        return await runner.finish_build(job.id, destination)


def finish(
    cli: Cli,
    job: Annotated[str | None, typer.Argument(metavar="JOB", help="Default: the newest open build.", show_default=False)] = None,
    output: Output = None,
    overwrite: Overwrite = False,
) -> int:
    """End a build with the images that it has.

    Nothing more is fetched: what is there is checked, deduplicated, labelled and exported. The rest gets the reason cancelled;
    `pictrawl retry JOB --reason cancelled` fetches it later.
    """
    return run(_finish(cli, job, output, overwrite))


async def _finish(cli: Cli, job_id: str | None, output: Path | None, overwrite: bool) -> int:
    settings = load_settings(cli)
    require_workspace(settings)
    async with open_runner(cli, settings, "finish") as runner:
        db = runner.resources.db
        job = await jobs.get(db, await lookup.job_id(db, job_id)) if job_id else await _newest_open(db)
        destination = _destination(job, output, overwrite)
        if destination is not None:
            check_folders(destination, job, settings.workspace.path)

        async def start() -> str:
            await submit.set_desired_state(runner.resources, job.id, DesiredState.FINISHED)
            return job.id

        return await runner.finish_build(await runner.run_job(start, f"finishing {job.kind}"), destination)


async def _newest_open(db: Database) -> Job:
    for job in (await jobs.page(db, kind=JobKind.BUILD, limit=NEWEST)).items:
        if not job.is_final:
            return job
    raise UsageError("there is nothing to finish: every build has ended", "pictrawl jobs ls")


async def _newest(db: Database) -> Job:
    """The newest job that can continue or whose dataset is not in its folder."""
    for job in (await jobs.page(db, limit=NEWEST)).items:
        destination = destination_of(job)
        if not job.is_final or _can_be_revived(job):
            return job
        if destination and await is_undelivered(db, job, destination):
            return job
    raise UsageError("there is nothing to resume: every job has ended and its dataset is delivered", "pictrawl jobs ls")


def _can_be_revived(job: Job) -> bool:
    """Whether a job failed for an error of this machine. One that kept nothing would only fail again."""
    return job.state is JobState.FAILED and job.shortfall is None


def _can_continue(job: Job) -> bool:
    if job.state is JobState.CANCELLED:
        raise UsageError(f"job {job.id} was cancelled and cannot continue", f"pictrawl retry {job.id} fetches its images again")
    return not job.is_final or _can_be_revived(job)


def _destination(job: Job, output: Path | None, overwrite: bool) -> Destination | None:
    """The folder of the dataset. An earlier version of the same dataset there may be replaced."""
    planned = destination_of(job)
    if output is not None:
        return Destination(output, overwrite)
    if planned is None:
        return None
    is_ours = is_delivered(planned.folder, exported_id(job))
    return Destination(planned.folder, overwrite or planned.overwrite or is_ours)


async def _start(runner: JobRunner, job: Job) -> str:
    if job.is_final:
        await control.revive(runner.resources.db, job.id)
        await submit.wake(runner.resources, job.id)
    elif job.desired_state is not DesiredState.RUNNING:
        await submit.set_desired_state(runner.resources, job.id, DesiredState.RUNNING)
    else:
        await submit.wake(runner.resources, job.id)
    return job.id


def retry(
    cli: Cli,
    job: Annotated[str, typer.Argument(metavar="JOB", help="A build that has ended.")],
    reason: Annotated[list[str] | None, typer.Option("--reason", metavar="REASON", help=REASON)] = None,
) -> int:
    """Fetch again what failed in a build, as much as its target lacks.

    The dataset is then written anew to the same folder.
    """
    return run(_retry(cli, job, reason or []))


async def _retry(cli: Cli, job_id: str, names: list[str]) -> int:
    settings = load_settings(cli)
    require_workspace(settings)
    reasons = _parse_reasons(names) or submit.RETRYABLE
    async with open_runner(cli, settings, "retry") as runner:
        job_id = await lookup.job_id(runner.resources.db, job_id)
        job = await jobs.get(runner.resources.db, job_id)
        destination = _destination(job, None, False)
        if destination is not None:
            check_folders(destination, job, settings.workspace.path)

        async def start() -> str:
            return (await submit.submit_retry(runner.resources, job_id, reasons)).job_id

        return await runner.finish_build(await runner.run_job(start, f"retrying {job_id}"), destination)


def _parse_reasons(names: list[str]) -> frozenset[Reason]:
    known = [reason.value for reason in Reason]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "the reasons: docs/reference/reasons.md"
            raise UsageError(f"there is no reason {name!r}", hint)
    return frozenset(Reason(name) for name in names)
