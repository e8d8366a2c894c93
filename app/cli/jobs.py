"""``pictrawl jobs ls|cancel|pause|resume``. The control commands write the wanted state to the database,
and workers act on it within two seconds.
"""

from dataclasses import replace
from typing import Annotated

import typer

from app.cli.documents import job_document
from app.cli.listing import Listing, Paging, show_list
from app.cli.options import Cli, Cursor, JobId, Limit, parse_choice
from app.cli.session import open_database, run, warn_without_workers, workspace_of
from app.cli.settings import load_settings
from app.db import datasets, jobs, lookup
from app.db.rows import Job, PageOf
from app.formatting import clipped, number, when
from app.job_states import DesiredState, JobState
from app.jobs import control
from app.jobs.attendance import is_unattended, mark_unattended

__all__ = ["cancel", "ls", "pause", "resume", "rm"]


def ls(
    cli: Cli,
    state: Annotated[str | None, typer.Option("--state", metavar="STATE", help="Only jobs in this state.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> int:
    """List jobs, newest first."""
    return run(_ls(cli, parse_choice(JobState, state, "--state"), Paging(limit, cursor, on_terminal=20)))


async def _ls(cli: Cli, state: JobState | None, paging: Paging) -> int:
    names: dict[str, str] = {}

    async def read(limit: int, cursor: str | None) -> PageOf[Job]:
        page = await jobs.page(db, state=state, limit=limit, cursor=cursor)
        page = replace(page, items=await mark_unattended(db, workspace, page.items))
        for dataset_id in {job.dataset_id for job in page.items} - names.keys():
            names[dataset_id] = (await datasets.get_dataset(db, dataset_id)).name
        return page

    def row(job: Job) -> tuple[object, ...]:
        target = number(job.target) if job.target else "-"
        status = "waits for a worker" if is_unattended(job) else job.state.value
        return (job.id, job.kind, status, clipped(names[job.dataset_id], 24), target, when(job.created_at))

    heads = ("id", "kind", "status", "dataset", "target", "made")
    settings = load_settings(cli)
    workspace = workspace_of(settings)
    async with open_database(cli, settings) as db:
        await show_list(cli, Listing("jobs", heads, row, job_document, right=(4,)), read, paging)
    return 0


def cancel(cli: Cli, job: JobId) -> int:
    """End a job for good.

    Images that it has not fetched yet count as cancelled.
    """
    return run(_set_desired_state(cli, job, DesiredState.CANCELLED))


def pause(cli: Cli, job: JobId) -> int:
    """Pause a job; requests in flight are finished."""
    return run(_set_desired_state(cli, job, DesiredState.PAUSED))


def resume(cli: Cli, job: JobId) -> int:
    """Let a paused job run again on the workers that are running.

    Where there are none, use `pictrawl resume`.
    """
    return run(_set_desired_state(cli, job, DesiredState.RUNNING))


def rm(cli: Cli, job: JobId) -> int:
    """Remove a job that has ended, with its images.

    Its log and the record of its requests go with it, and its dataset too where no other job worked for it.
    `pictrawl workspace prune` then frees the disk; delivered folders stay.
    """
    return run(_rm(cli, job))


async def _rm(cli: Cli, job_id: str) -> int:
    async with open_database(cli, load_settings(cli)) as db:
        job_id = await lookup.job_id(db, job_id, only=True)
        await jobs.delete_job(db, job_id)
    cli.result(f"job {job_id} is removed", {"id": job_id, "removed": True}, brief=job_id)
    return 0


async def _set_desired_state(cli: Cli, job_id: str, desired: DesiredState) -> int:
    settings = load_settings(cli)
    async with open_database(cli, settings, record=True) as db:
        job_id = await lookup.job_id(db, job_id, only=desired is DesiredState.CANCELLED)
        job = await control.set_desired_state(db, job_id, desired)
        if desired is not DesiredState.PAUSED and not job.is_final:
            await warn_without_workers(cli, settings, db)
    workspace = workspace_of(settings)
    if desired is DesiredState.RUNNING and workspace is not None:
        workspace.request(job_id)
    cli.result(f"job {job.id}: wanted {job.desired_state}, is {job.state}", job_document(job), brief=job.id)
    return 0
