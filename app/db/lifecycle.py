"""What changes a job together with its units: create, steer, revive."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select, update

from app.db import tables, units
from app.db.conflicts import StateConflict
from app.db.engine import Connection, Database, db_now, new_id
from app.db.jobs import find
from app.db.rows import Job, NewUnit
from app.domain import JobKind, JobState, UnitKind, UnitState

__all__ = ["create", "reopen", "revive", "steer"]


async def create(
    connection: Connection,
    *,
    user_id: str,
    dataset_id: str,
    kind: JobKind,
    spec: Mapping[str, Any],
    first: Sequence[NewUnit],
    target: int | None = None,
    min_images: int = 0,
    priority: int = 0,
    request_id: str | None = None,
    traceparent: str | None = None,
) -> str:
    """Insert a job with its first units, return its id. The rows are the outbox: nothing else need reach Redis."""
    job_id = new_id("job")
    await connection.execute(
        insert(tables.jobs).values(
            id=job_id,
            user_id=user_id,
            dataset_id=dataset_id,
            kind=kind,
            state=JobState.PENDING,
            desired_state=JobState.RUNNING,
            spec=dict(spec),
            target=target,
            min_images=min_images,
            priority=priority,
            open_units=0,
            rounds=0,
            request_id=request_id,
            traceparent=traceparent,
            created_at=db_now(),
        )
    )
    await units.add(connection, job_id, first)
    return job_id


async def steer(db: Database, job_id: str, desired: JobState, *, user_id: str | None = None) -> Job:
    """Ask a job to run, pause or end. Running units learn of it within two seconds.

    Raises:
        errors.NotFoundError: no such job of this user.
        StateConflict: the job has ended already, or is about to, since it was cancelled.
    """
    async with db.write() as connection:
        job = await find(connection, job_id, user_id=user_id, lock=True)
        if desired is JobState.CANCELLED and JobState.CANCELLED in (job.state, job.desired_state):
            return job
        if job.is_final:
            raise StateConflict(f"job {job_id} has ended as {job.state}; it cannot be {_PARTICIPLE[desired]}")
        if job.desired_state is JobState.CANCELLED:
            raise StateConflict(f"job {job_id} is being cancelled; it cannot be {_PARTICIPLE[desired]}")
        await connection.execute(
            update(tables.jobs)
            .where(tables.jobs.c.id == job_id)
            .values(desired_state=desired, state=_state_on_steer(job, desired), waiting_for=None)
        )
        if desired is JobState.PAUSED:
            await _call_back(connection, job_id)
        if desired is JobState.CANCELLED:
            await units.count_down(connection, job_id, 0)
        return await find(connection, job_id)


_PARTICIPLE = {JobState.RUNNING: "resumed", JobState.PAUSED: "paused", JobState.CANCELLED: "cancelled"}


def _state_on_steer(job: Job, desired: JobState) -> JobState:
    if desired is JobState.PAUSED:
        return JobState.PAUSED
    if desired is JobState.RUNNING and job.state is JobState.PAUSED:
        return JobState.FINALIZING if job.stage else JobState.RUNNING
    return job.state


async def _call_back(connection: Connection, job_id: str) -> None:
    """Units that were sent wait in the database again: their messages find nothing to claim while the job is paused."""
    sent = (tables.units.c.job_id == job_id, tables.units.c.state == UnitState.QUEUED)
    await connection.execute(update(tables.units).where(*sent).values(state=UnitState.PENDING, queued_at=None))


async def revive(db: Database, job_id: str) -> int:
    """Put the dead units of a job that failed, or still runs, back to work; return how many there were.

    Raises:
        StateConflict: the job cannot go on, see :func:`reopen`.
    """
    async with db.write() as connection:
        job = await find(connection, job_id, lock=True)
        if job.is_final and job.state is not JobState.FAILED:
            return 0
        dead = await units.revive_dead(connection, job_id)
        if job.state is JobState.FAILED:
            await reopen(connection, job)
        return dead


INDISPENSABLE: Mapping[JobKind, frozenset[UnitKind]] = {
    JobKind.EXPORT: frozenset({UnitKind.PLAN, UnitKind.EXPORT, UnitKind.VERIFY}),
    JobKind.VERIFY: frozenset({UnitKind.PLAN, UnitKind.VERIFY}),
    JobKind.INTEGRITY: frozenset({UnitKind.PLAN, UnitKind.INTEGRITY}),
    JobKind.DUPLICATES: frozenset({UnitKind.PLAN, UnitKind.DUPLICATES}),
    JobKind.VALIDATION: frozenset({UnitKind.PLAN}),
}
"""What a job was made for: without it, its end would claim what was never done. A build does its stages anew when it goes on."""


async def reopen(connection: Connection, job: Job) -> None:
    """Let a job that failed run again. Where none of its units is open, its end is looked for next.

    Raises:
        StateConflict: what the job was made for was discarded, so that it could only end with a lie.
    """
    columns = tables.units.c
    given_up = select(columns.kind).where(
        columns.job_id == job.id, columns.state == UnitState.CANCELLED, columns.kind.in_(INDISPENSABLE.get(job.kind, ()))
    )
    kind = (await connection.execute(given_up.limit(1))).scalar_one_or_none()
    if kind is not None:
        raise StateConflict(f"job {job.id} cannot go on: its {kind} unit was discarded; ask for the {job.kind} again")
    await connection.execute(
        update(tables.jobs)
        .where(tables.jobs.c.id == job.id)
        .values(state=JobState.RUNNING, desired_state=JobState.RUNNING, stage=None, error=None, shortfall=None, finished_at=None)
    )
    if (await find(connection, job.id)).open_units <= 0:
        await units.ensure_finalize(connection, job.id)
