"""Queries on dead units, the pieces of work that will not run again by themselves: list them, put them back to work, give them up.

A unit dies of an error that nobody retries. Its job goes on without it as far as it can, and then ends as ``failed``, since a dead unit
means work of ours that was not done. Two ways lead out of that:

- **retry**: the unit is pending again, due at once, its crashes forgotten. A job that failed runs again; it does its stages anew once
  nothing is open.
- **discard**: the unit is ``cancelled`` for good and keeps its error. What it left behind is closed, so that each image has one last state:

  =========  =======================================================================================================
  fetch      images not fetched yet are ``failed``, reason ``cancelled``; what was fetched goes on to a validation
  validate   images not judged yet are ``failed``, reason ``cancelled``
  compress   kept images not compressed yet are ``failed``, reason ``cancelled``: they would leave in the wrong form
  search     the search counts as exhausted, with a note why
  others     left no image behind. A build that goes on does its stages anew, with units of their own
  =========  =======================================================================================================

  An image that another open unit still holds is left to that one. A job that failed stays so until it is resumed; once none of its
  units is dead, it then ends with what it has. What a job was made for, such as the export of an export job, can be discarded but not
  done without: :func:`app.db.lifecycle.reopen` refuses.

While a job is being finalized neither is possible: its end has been decided by what was dead when it was looked at.
Both lock the job's row first, so two who ask at once come one after the other, and the second finds nothing dead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select, update

import errors
from app.db import leftovers, lifecycle, paging, tables, units
from app.db.conflicts import StateConflict
from app.db.engine import Connection, Database
from app.db.jobs import find
from app.db.rows import DeadUnit, Job, PageOf
from app.domain import JobState, UnitKind, UnitState

__all__ = ["DeadFilter", "Discarded", "Which", "discard", "page", "retry"]


@dataclass(frozen=True, slots=True)
class Discarded:
    """A unit that was given up, and how many images this closed."""

    unit: DeadUnit
    images: int


@dataclass(frozen=True, slots=True)
class Which:
    """The dead units that somebody means: these, or all of a job."""

    unit_ids: tuple[str, ...] = ()
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeadFilter:
    """Which dead units a page shows. ``None`` is any; ``error`` is what the error begins with, such as the name of its class."""

    job_id: str | None = None
    kind: UnitKind | None = None
    error: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The filter as SQL. Case counts, which LIKE would see differently from database to database."""
        columns = tables.units.c
        found = [columns[name] == value for name in ("job_id", "kind") if (value := getattr(self, name)) is not None]
        return [*found, func.substr(columns.error, 1, len(self.error)) == self.error] if self.error else found


_DIED_AT = func.coalesce(tables.units.c.finished_at, tables.units.c.created_at)


def _select() -> Any:
    return select(tables.units, tables.jobs.c.user_id, _DIED_AT.label("died_at")).join(tables.jobs)


def _as_dead(row: Row[Any]) -> DeadUnit:
    return DeadUnit(
        id=row.id,
        job_id=row.job_id,
        user_id=row.user_id,
        kind=UnitKind(row.kind),
        state=UnitState(row.state),
        error=row.error,
        crashes=row.crashes,
        chunk_id=row.payload.get("chunk_id"),
        search_id=row.payload.get("search_id"),
        created_at=row.created_at,
        died_at=row.died_at,
    )


def _of_user(user_id: str | None) -> list[ColumnElement[bool]]:
    return [] if user_id is None else [tables.jobs.c.user_id == user_id]


async def page(
    db: Database, wanted: DeadFilter, *, user_id: str | None = None, limit: int = 50, cursor: str | None = None
) -> PageOf[DeadUnit]:
    """Dead units, the last that died first."""
    limit = max(1, min(limit, paging.MAX_LIMIT))
    keys = [_DIED_AT, tables.units.c.id]
    query = _select().where(tables.units.c.state == UnitState.DEAD, *wanted.conditions(), *_of_user(user_id))
    if cursor is not None:
        query = query.where(paging.after(keys, paging.decode(cursor, float, str), descending=True))
    query = query.order_by(*(key.desc() for key in keys)).limit(limit + 1)
    async with db.read() as connection:
        found = [_as_dead(row) for row in (await connection.execute(query)).all()]
    last = found[limit - 1] if len(found) > limit else None
    return PageOf(found[:limit], paging.encode(last.died_at, last.id) if last else None)


async def retry(db: Database, which: Which, *, user_id: str | None = None) -> list[DeadUnit]:
    """Put dead units back to work, all or none; return them as they are now, with the error they had.

    Raises:
        errors.NotFoundError: no such unit, or job, of this user.
        StateConflict: one of the units is not dead any more, or its job has ended otherwise than by failing, is being cancelled, or
            is being finalized.
    """
    async with db.write() as connection:
        revived: list[DeadUnit] = []
        for job, dead in await _taken(connection, which, user_id):
            await _require_retryable(connection, job)
            await _revive(connection, job, dead)
            revived += [replace(unit, state=UnitState.PENDING, crashes=0) for unit in dead]
        return revived


async def discard(db: Database, which: Which, *, user_id: str | None = None, resume: bool = False) -> list[Discarded]:
    """Give dead units up, all or none, and close what they left behind; return them as they are now.

    Args:
        resume: let a job that failed go on, once none of its units is dead.

    Raises:
        errors.NotFoundError: no such unit, or job, of this user.
        StateConflict: one of the units is not dead any more, its job is being finalized, or it shall be resumed and cannot go on.
    """
    async with db.write() as connection:
        given_up: list[Discarded] = []
        for job, dead in await _taken(connection, which, user_id):
            await _require_not_ending(connection, job)
            given_up += await _give_up(connection, job, dead)
            if resume and job.state is JobState.FAILED and not await _dead_of(connection, job.id):
                await lifecycle.reopen(connection, job)
        return given_up


async def _taken(connection: Connection, which: Which, user_id: str | None) -> list[tuple[Job, list[DeadUnit]]]:
    """The dead units that are meant, job by job, each job's row locked, always in the same order: two who ask never wait in a ring."""
    job_ids = {which.job_id} if which.job_id is not None else await _jobs_of(connection, which.unit_ids, user_id)
    taken = []
    for job_id in sorted(job_ids):
        job = await find(connection, job_id, user_id=user_id, lock=True)
        dead = await _dead_of(connection, job_id, which.unit_ids)
        if not dead and not which.unit_ids:
            raise StateConflict(f"job {job_id} has no dead unit")
        taken.append((job, dead))
    await _require_all_dead(connection, which.unit_ids, {unit.id for _, dead in taken for unit in dead})
    return taken


async def _jobs_of(connection: Connection, unit_ids: Sequence[str], user_id: str | None) -> set[str]:
    columns = tables.units.c
    query = select(columns.id, columns.job_id).join(tables.jobs).where(columns.id.in_(unit_ids), *_of_user(user_id))
    found = {row.id: str(row.job_id) for row in (await connection.execute(query)).all()}
    for unit_id in unit_ids:
        if unit_id not in found:
            raise errors.NotFoundError(f"no unit {unit_id}")
    return set(found.values())


async def _dead_of(connection: Connection, job_id: str, unit_ids: Sequence[str] = ()) -> list[DeadUnit]:
    """A job's dead units, or those of them that are named, oldest first."""
    columns = tables.units.c
    query = _select().where(columns.job_id == job_id, columns.state == UnitState.DEAD).order_by(columns.created_at, columns.id)
    query = query.where(columns.id.in_(unit_ids)) if unit_ids else query
    return [_as_dead(row) for row in (await connection.execute(query)).all()]


async def _require_all_dead(connection: Connection, unit_ids: Sequence[str], dead: set[str]) -> None:
    for unit_id in unit_ids:
        if unit_id not in dead:
            state = (await connection.execute(select(tables.units.c.state).where(tables.units.c.id == unit_id))).scalar_one()
            raise StateConflict(f"unit {unit_id} is {state}, not dead")


async def _require_retryable(connection: Connection, job: Job) -> None:
    if JobState.CANCELLED in (job.state, job.desired_state):
        raise StateConflict(f"job {job.id} was cancelled; its units do not go back to work")
    if job.is_final and job.state is not JobState.FAILED:
        raise StateConflict(f"job {job.id} has ended as {job.state}; its units do not go back to work")
    await _require_not_ending(connection, job)


async def _require_not_ending(connection: Connection, job: Job) -> None:
    columns = tables.units.c
    ending = select(columns.id).where(columns.job_id == job.id, columns.kind == UnitKind.FINALIZE, columns.state.in_(units.OPEN_STATES))
    if not job.is_final and (await connection.execute(ending.limit(1))).first() is not None:
        raise StateConflict(f"job {job.id} is being finalized; ask again once it has ended")


async def _revive(connection: Connection, job: Job, dead: Sequence[DeadUnit]) -> None:
    await units.revive_dead(connection, job.id, [unit.id for unit in dead])
    if job.state is JobState.FAILED:
        await lifecycle.reopen(connection, job)


async def _give_up(connection: Connection, job: Job, dead: Sequence[DeadUnit]) -> list[Discarded]:
    ids = [unit.id for unit in dead]
    await connection.execute(update(tables.units).where(tables.units.c.id.in_(ids)).values(state=UnitState.CANCELLED))
    last_first = sorted(dead, key=lambda unit: unit.kind is UnitKind.FETCH)  # a fetch may add the validation that its sibling gave up
    return [Discarded(replace(unit, state=UnitState.CANCELLED), await leftovers.close(connection, job, unit)) for unit in last_first]
