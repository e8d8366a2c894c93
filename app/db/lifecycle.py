"""Changes of a job together with its units: create, add and count units, pause, resume, cancel, revive."""

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update

from app.db import tables
from app.db.engine import Connection, Database, db_now, new_id
from app.db.exceptions import StateConflict
from app.db.jobs import end, find
from app.db.rows import Job, NewUnit
from app.job_states import (
    ACTIVE_JOB_STATES,
    FINAL_JOB_STATES,
    OPEN_UNIT_STATES,
    WAITING_UNIT_STATES,
    WORKED_ON,
    DesiredState,
    JobKind,
    JobState,
    UnitKind,
    UnitState,
)

__all__ = [
    "add_units",
    "cancel_waiting",
    "count_down",
    "create",
    "ensure_finalize",
    "reopen",
    "revive",
    "revive_dead",
    "set_desired_state",
    "settle_strays",
]


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
    """Insert a job with its first units and return its id. The rows are the outbox; the dispatcher sends them to the queue later."""
    job_id = new_id("job")
    await connection.execute(
        insert(tables.jobs).values(
            id=job_id,
            user_id=user_id,
            dataset_id=dataset_id,
            kind=kind,
            state=JobState.PENDING,
            desired_state=DesiredState.RUNNING,
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
    await add_units(connection, job_id, first)
    return job_id


async def set_desired_state(db: Database, job_id: str, desired: DesiredState, *, user_id: str | None = None) -> Job:
    """Set the desired state of a job. Running units see it within two seconds.

    A build that shall finish makes all of its waiting units due at once; its stages then close what was not fetched.

    Raises:
        errors.NotFoundError: no such job of this user.
        StateConflict: the job has ended, is being cancelled, or is no build and shall finish early.
    """
    async with db.write() as connection:
        job = await find(connection, job_id, user_id=user_id, lock=True)
        if desired is DesiredState.CANCELLED and (job.state is JobState.CANCELLED or job.desired_state is DesiredState.CANCELLED):
            return job
        if job.is_final:
            raise StateConflict(f"job {job_id} has ended as {job.state} and cannot be {_PARTICIPLE[desired]}")
        if job.desired_state is DesiredState.CANCELLED:
            raise StateConflict(f"job {job_id} is being cancelled; it cannot be {_PARTICIPLE[desired]}")
        if desired is DesiredState.FINISHED and job.kind is not JobKind.BUILD:
            raise StateConflict(f"job {job_id} is a job of kind {job.kind}; only a build can finish with what it has")
        await connection.execute(
            update(tables.jobs)
            .where(tables.jobs.c.id == job_id)
            .values(desired_state=desired, state=_state_for(job, desired), waiting_for=None)
        )
        if desired is DesiredState.PAUSED:
            await _call_back(connection, job_id)
        if desired is DesiredState.FINISHED:
            await _hurry(connection, job_id)
        if desired is DesiredState.CANCELLED:
            await count_down(connection, job_id, 0)
        return await find(connection, job_id)


_PARTICIPLE = {
    DesiredState.RUNNING: "resumed",
    DesiredState.PAUSED: "paused",
    DesiredState.CANCELLED: "cancelled",
    DesiredState.FINISHED: "finished",
}


def _state_for(job: Job, desired: DesiredState) -> JobState:
    if desired is DesiredState.PAUSED:
        return JobState.PAUSED
    if desired in WORKED_ON and job.state is JobState.PAUSED:
        return JobState.FINALIZING if job.stage else JobState.RUNNING
    return job.state


async def _call_back(connection: Connection, job_id: str) -> None:
    """Make queued units pending again; while the job is paused, their messages find nothing to claim."""
    sent = (tables.units.c.job_id == job_id, tables.units.c.state == UnitState.QUEUED)
    await connection.execute(update(tables.units).where(*sent).values(state=UnitState.PENDING, queued_at=None))


async def _hurry(connection: Connection, job_id: str) -> None:
    """Make the waiting units of a job due now: they will not wait for a host any more."""
    waiting = (tables.units.c.job_id == job_id, tables.units.c.state.in_(WAITING_UNIT_STATES), tables.units.c.not_before > db_now())
    await connection.execute(update(tables.units).where(*waiting).values(not_before=db_now()))


async def revive(db: Database, job_id: str) -> int:
    """Make the dead units of a failed or running job pending again; return how many there were.

    Raises:
        StateConflict: the job cannot continue, see :func:`reopen`.
    """
    async with db.write() as connection:
        job = await find(connection, job_id, lock=True)
        if job.is_final and job.state is not JobState.FAILED:
            return 0
        dead = await revive_dead(connection, job_id)
        if job.state is JobState.FAILED:
            await reopen(connection, job)
        return dead


INDISPENSABLE: Mapping[JobKind, frozenset[UnitKind]] = {
    JobKind.EXPORT: frozenset({UnitKind.PLAN, UnitKind.EXPORT, UnitKind.VERIFY, UnitKind.PUBLISH}),
    JobKind.VERIFY: frozenset({UnitKind.PLAN, UnitKind.VERIFY}),
    JobKind.INTEGRITY: frozenset({UnitKind.PLAN, UnitKind.INTEGRITY}),
    JobKind.DUPLICATES: frozenset({UnitKind.PLAN, UnitKind.DUPLICATES}),
    JobKind.VALIDATION: frozenset({UnitKind.PLAN}),
}
"""Units that a job of each kind cannot succeed without. A build repeats its stages when it continues."""


async def reopen(connection: Connection, job: Job) -> None:
    """Let a failed job run again; if none of its units is open, it is finalized next.

    Raises:
        StateConflict: a unit without which the job cannot succeed was discarded.
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
        .values(
            state=JobState.RUNNING,
            desired_state=DesiredState.RUNNING,
            stage=job.stage if await _only_publishes(connection, job.id) else None,
            error=None,
            shortfall=None,
            short_classes=None,
            finished_at=None,
        )
    )
    if (await find(connection, job.id)).open_units <= 0:
        await ensure_finalize(connection, job.id)


async def _only_publishes(connection: Connection, job_id: str) -> bool:
    """Whether all that a job has left to do is to send what it has exported: its stages are not repeated then."""
    columns = tables.units.c
    is_open = (columns.job_id == job_id, columns.state.in_(OPEN_UNIT_STATES))
    return set((await connection.execute(select(columns.kind).where(*is_open).distinct())).scalars()) == {UnitKind.PUBLISH}


async def add_units(connection: Connection, job_id: str, new: Sequence[NewUnit]) -> list[str]:
    """Insert units of a job, count them as open, and return their ids. A unit without a not-before time is due at once."""
    if not new:
        return []
    rows = [
        {
            "id": new_id("unit"),
            "job_id": job_id,
            "kind": unit.kind,
            "queue": unit.kind.queue,
            "state": UnitState.PENDING,
            "payload": dict(unit.payload),
            "epoch": 0,
            "due": unit.not_before,
            "crashes": 0,
        }
        for unit in new
    ]
    await connection.execute(_add(), rows)
    await connection.execute(_count_up(), {"wanted": job_id, "added": len(rows)})
    return [str(row["id"]) for row in rows]


@functools.cache
def _add() -> Any:
    """Built once, as the statements below: most units add another one when they finish."""
    due: Any = func.coalesce(bindparam("due"), db_now())
    return insert(tables.units).values(created_at=db_now(), not_before=due)


@functools.cache
def _count_up() -> Any:
    columns = tables.jobs.c
    return update(tables.jobs).where(columns.id == bindparam("wanted")).values(open_units=columns.open_units + bindparam("added"))


async def count_down(connection: Connection, job_id: str, ended: int, *, failure: str | None = None) -> list[str]:
    """Subtract finished units from the open units of a job; at 0, finalize the job. Return the ids of the units that were added.

    If the unit that finalizes the job died, with the error ``failure``, the job fails, since another one would die in the same way.

    In a job that is being cancelled, the waiting units are cancelled first; a unit that finished meanwhile may have added children.
    """
    row = (await connection.execute(_count_down(), {"wanted": job_id, "ended": ended})).first()
    if row is None or row.state in FINAL_JOB_STATES:
        return []
    if row.desired_state == DesiredState.CANCELLED:
        if row.open_units <= len(await cancel_waiting(connection, job_id)):
            await end(connection, job_id, JobState.CANCELLED)
        return []
    if row.open_units > 0:
        return []
    if failure is not None:
        await end(connection, job_id, JobState.FAILED, error=f"the job could not be finalized: {failure}")
        return []
    return await ensure_finalize(connection, job_id)


@functools.cache
def _count_down() -> Any:
    """Built once, since every finished unit needs it."""
    columns = tables.jobs.c
    statement = update(tables.jobs).where(columns.id == bindparam("wanted")).values(open_units=columns.open_units - bindparam("ended"))
    return statement.returning(columns.open_units, columns.state, columns.desired_state)


async def cancel_waiting(connection: Connection, job_id: str, kinds: Collection[UnitKind] = tuple(UnitKind)) -> list[dict[str, Any]]:
    """Cancel the units of a job that no worker holds, all or of these kinds, and return their payloads."""
    columns = tables.units.c
    waiting = (columns.job_id == job_id, columns.state.in_(WAITING_UNIT_STATES), columns.kind.in_(list(kinds)))
    statement = update(tables.units).where(*waiting).values(state=UnitState.CANCELLED, finished_at=db_now())
    payloads = [dict(row.payload) for row in (await connection.execute(statement.returning(columns.payload))).all()]
    if payloads:
        await connection.execute(
            update(tables.jobs).where(tables.jobs.c.id == job_id).values(open_units=tables.jobs.c.open_units - len(payloads))
        )
    return payloads


async def settle_strays(connection: Connection, job_id: str | None = None) -> None:
    """Treat units that were released after their job was steered like those that waited then.

    Of a cancelled job no worker would claim them, and it would never end; in one that shall finish they would wait for their hosts.
    """
    job = tables.jobs.c
    steered = [DesiredState.CANCELLED, DesiredState.FINISHED]
    query = select(job.id, job.desired_state).where(job.state.in_(ACTIVE_JOB_STATES), job.desired_state.in_(steered))
    if job_id is not None:
        query = query.where(job.id == job_id)
    for row in (await connection.execute(query)).all():
        if row.desired_state == DesiredState.CANCELLED:
            await count_down(connection, row.id, 0)
        else:
            await _hurry(connection, row.id)


async def ensure_finalize(connection: Connection, job_id: str) -> list[str]:
    """Insert the finalize unit of a job that has no open unit."""
    job = await find(connection, job_id)
    if job.state is not JobState.PAUSED:
        await connection.execute(update(tables.jobs).where(tables.jobs.c.id == job_id).values(state=JobState.FINALIZING))
    return await add_units(connection, job_id, [NewUnit(UnitKind.FINALIZE)])


async def revive_dead(connection: Connection, job_id: str, unit_ids: Sequence[str] | None = None) -> int:
    """Make dead units of a job, all or these, pending again: due at once, with their crashes reset. Return how many."""
    columns = tables.units.c
    which = [columns.job_id == job_id, columns.state == UnitState.DEAD]
    if unit_ids is not None:
        which.append(columns.id.in_(unit_ids))
    alive = {"state": UnitState.PENDING, "crashes": 0, "not_before": db_now(), "finished_at": None, "error": None}
    result = await connection.execute(update(tables.units).where(*which).values(**alive))
    if result.rowcount:
        await connection.execute(
            update(tables.jobs).where(tables.jobs.c.id == job_id).values(open_units=tables.jobs.c.open_units + result.rowcount)
        )
    return result.rowcount
