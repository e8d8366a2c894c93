"""Whether the owner of a unit whose lease ran out is dead: only its silence tells, and only while the database answered."""

from typing import Any

from sqlalchemy import ColumnElement, and_, func, select

from app.db import tables
from app.db.engine import db_now

__all__ = ["owner_is_silent", "owner_lives"]


def owner_lives() -> ColumnElement[bool]:
    """Whether a unit's owner gave a sign of life after its lease ran out: it is slow, or was cut off, and did not die."""
    return and_(_last_beat() >= tables.units.c.lease_until)


def owner_is_silent(lease_s: Any) -> ColumnElement[bool]:
    """Whether a unit's owner gave no sign of life for a lease, while the database answered: before, nobody could give one.

    Args:
        lease_s: seconds, or a parameter for them.
    """
    answers_since = select(tables.locks.c.since).where(tables.locks.c.name == "sweep").scalar_subquery()
    ago = db_now() - lease_s
    return and_(_last_beat() < ago, func.coalesce(answers_since, db_now()) < ago)


def _last_beat() -> Any:
    owner, worker = tables.units.c.owner, tables.workers.c
    beats = select(func.max(worker.beat_at)).where(worker.id.in_([owner + "-builder", owner + "-validator"]))
    return func.coalesce(beats.correlate(tables.units).scalar_subquery(), 0.0)
