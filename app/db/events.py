"""Queries on events: the lines of a job's life, in the order they were written."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select

from app.db import tables
from app.db.engine import Database
from app.db.rows import Event

__all__ = ["LEVELS", "add", "after"]

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
"""Least severe first."""


async def add(db: Database, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert events (job_id, at, level, event, data). Those of a job that was deleted meanwhile are dropped."""
    if not rows:
        return
    async with db.write() as connection:
        wanted = {row["job_id"] for row in rows}
        stays = select(tables.jobs.c.id).where(tables.jobs.c.id.in_(list(wanted))).with_for_update(read=True, key_share=True)
        known = {row.id for row in (await connection.execute(stays)).all()}
        kept = [dict(row) for row in rows if row["job_id"] in known]
        if kept:
            await connection.execute(insert(tables.events), kept)


async def after(
    db: Database,
    job_id: str,
    *,
    last_id: int = 0,
    level: str | None = None,
    event: str | None = None,
    limit: int = 500,
) -> list[Event]:
    """A job's events beyond ``last_id``, oldest first, of at least ``level`` and whose name begins with ``event``."""
    columns = tables.events.c
    query = select(tables.events).where(columns.job_id == job_id, columns.id > last_id).order_by(columns.id).limit(limit)
    if level is not None:
        query = query.where(columns.level.in_(LEVELS[LEVELS.index(level.upper()) :]))
    if event is not None:
        query = query.where(columns.event.startswith(event, autoescape=True))
    async with db.read() as connection:
        return [Event(**row._mapping) for row in (await connection.execute(query)).all()]
