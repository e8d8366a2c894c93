"""``pictrawl jobs``: look at jobs and steer them. Pause, resume and cancel are wishes in the database; workers obey within two seconds."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.paging import Cursor, Limit
from app.cli.state import Cli

if TYPE_CHECKING:
    from app.domain import JobState

__all__ = ["COMMANDS"]

JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id.")]


def ls(
    cli: Cli,
    state: Annotated[str | None, typer.Option("--state", metavar="STATE", help="Only jobs in this state.")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> int:
    """List jobs, newest first."""
    from app.cli.session import run

    return run(_ls(cli, state, limit, cursor))


async def _ls(cli: Cli, state: str | None, limit: int, cursor: str | None) -> int:
    from app.cli.documents import job_document
    from app.cli.paging import member, show_page
    from app.cli.session import reading
    from app.cli.words import clipped, number, table, when
    from app.db import jobs
    from app.domain import JobState

    settings = cli.settings()
    async with reading(cli, settings) as db:
        page = await jobs.page(db, state=member(JobState, state, "--state"), limit=limit, cursor=cursor)
        names = {job.dataset_id: (await jobs.get_dataset(db, job.dataset_id)).name for job in page.items}
    rows = [
        (job.id, job.kind, job.state, clipped(names[job.dataset_id], 24), number(job.target) if job.target else "-", when(job.created_at))
        for job in page.items
    ]
    text = table(("id", "kind", "status", "dataset", "target", "made"), rows, right=(4,))
    show_page(cli, page.items, text, documents=[job_document(job) for job in page.items], cursor=page.next_cursor, what="jobs")
    return 0


def show(cli: Cli, job: JobId) -> int:
    """Show a job: how far it is, what it waits for."""
    from app.cli.session import run

    return run(_show(cli, job))


async def _show(cli: Cli, job_id: str) -> int:
    from app.cli.explain.jobs import explained
    from app.cli.session import reading

    settings = cli.settings()
    async with reading(cli, settings) as db:
        story = await explained(db, job_id)
    cli.result(story.text(cli.again), story.document(), brief=story.report.job.state.value)
    return 0


def watch(cli: Cli, job: JobId) -> int:
    """Watch a job that others work at.

    Ctrl-C ends the watching, not the job.
    """
    from app.cli.session import run

    return run(_watch(cli, job))


async def _watch(cli: Cli, job_id: str) -> int:
    from app.cli.interrupts import Interrupts
    from app.cli.progress import display
    from app.cli.report import gather
    from app.cli.session import reading
    from app.cli.working import follow
    from app.db import jobs

    settings = cli.settings()
    async with reading(cli, settings) as db:
        job = await jobs.get(db, job_id)
        with Interrupts(lambda _: None) as interrupts, display(cli, settings, f"{job.kind}  {job_id}") as shown:
            await follow(db, job_id, shown, interrupts)
        report = await gather(db, job_id, interrupted=interrupts.code)
    if interrupts.code is not None and not report.job.is_final:
        cli.note(f"the job goes on; pictrawl jobs watch {job_id}")
    cli.result(report.summary(again=cli.again) if report.job.is_final else "", report.document(), brief=report.job.state.value)
    return report.code


def cancel(cli: Cli, job: JobId) -> int:
    """End a job for good.

    What it has not fetched yet counts as cancelled.
    """
    from app.domain import JobState

    return _steer(cli, job, JobState.CANCELLED)


def pause(cli: Cli, job: JobId) -> int:
    """Let a job rest; what is in hand is finished."""
    from app.domain import JobState

    return _steer(cli, job, JobState.PAUSED)


def resume(cli: Cli, job: JobId) -> int:
    """Let a paused job run again on the workers there are.

    Where there are none, use `pictrawl resume`.
    """
    from app.domain import JobState

    return _steer(cli, job, JobState.RUNNING)


def _steer(cli: Cli, job_id: str, desired: "JobState") -> int:
    from app.cli.session import run

    return run(_steered(cli, job_id, desired))


async def _steered(cli: Cli, job_id: str, desired: "JobState") -> int:
    from app.cli.documents import job_document
    from app.cli.session import changing
    from app.cli.working import warn_without_workers
    from app.domain import JobState
    from app.jobs import control

    settings = cli.settings()
    async with changing(cli, settings) as db:
        job = await control.steer(db, job_id, desired)
        if desired is not JobState.PAUSED and not job.is_final:
            await warn_without_workers(cli, db)
    cli.result(f"job {job.id}: wanted {job.desired_state}, is {job.state}", job_document(job), brief=job.id)
    return 0


def logs(
    cli: Cli,
    job: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    level: Annotated[str | None, typer.Option("--level", metavar="LEVEL", help="Only lines of at least this level.")] = None,
    event: Annotated[str | None, typer.Option("--event", metavar="PREFIX", help="Only events that begin so, as in chunk.")] = None,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="Only about this URL, whatever its query.")] = None,
    host: Annotated[str | None, typer.Option("--host", metavar="HOST", help="Only about this host.")] = None,
    chunk: Annotated[str | None, typer.Option("--chunk", metavar="CHUNK", help="Only about this chunk of images.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, metavar="N", help="At most so many lines; default: all.")] = None,
    cursor: Cursor = None,
) -> int:
    """Print a job's log, from submission to export.

    Options narrow each other down. With --json and --follow: one document a line.
    """
    from app.cli.logs import Reading, print_logs, wanted_lines
    from app.cli.session import run

    wanted = wanted_lines(level, event, url, host, chunk)
    return run(print_logs(cli, job, wanted, Reading(follow, limit, cursor)))


COMMANDS: dict[str, Callable[..., int]] = {
    "ls": ls,
    "show": show,
    "watch": watch,
    "logs": logs,
    "cancel": cancel,
    "pause": pause,
    "resume": resume,
}
