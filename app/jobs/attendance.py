"""Which jobs a process works on. A job's state says how far it came, not whether anybody goes on with it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from app.db import Database, fleet
from app.db.rows import Job
from app.job_states import NO_WORKER, WORKED_ON
from app.workspace import Workspace

__all__ = ["is_unattended", "mark_unattended"]


async def mark_unattended(db: Database, workspace: Workspace | None, found: Sequence[Job]) -> list[Job]:
    """Return the jobs, with :data:`NO_WORKER` as what each waits for that no process works on.

    Args:
        workspace: of the embedded queue, where the holder of its lock works; ``None`` for a fleet, where any live worker may.
    """
    if not any(_wants_worker(job) for job in found):
        return list(found)
    if workspace is not None:
        holder = workspace.find_holder()
        return _marked(found, lambda job_id: holder is not None and holder.works_on(job_id))
    has_workers = bool(await fleet.workers(db, fresh_s=fleet.BEAT_FRESH_S))
    return _marked(found, lambda _: has_workers)


def _marked(found: Sequence[Job], is_attended: Callable[[str], bool]) -> list[Job]:
    return [replace(job, waiting_for=NO_WORKER) if _wants_worker(job) and not is_attended(job.id) else job for job in found]


def _wants_worker(job: Job) -> bool:
    return not job.is_final and job.desired_state in WORKED_ON


def is_unattended(job: Job) -> bool:
    """Whether :func:`mark_unattended` found that no process works on the job."""
    return job.waiting_for == NO_WORKER
