"""Sessions of browsers: what the cookie of a user who signed in with an API key stands for.

The cookie holds a secret of 256 random bits; the row has its SHA-256 only. A session ends with its key, or after :data:`SESSION_S`.
"""

import secrets
from typing import NamedTuple

from sqlalchemy import delete, insert, select

from app.db import tables
from app.db.api_keys import secret_digest
from app.db.engine import Database, db_now

__all__ = ["SESSION_S", "Session", "end", "find", "start"]

SESSION_S = 12 * 3600.0
"""Seconds that a session lasts."""


class Session(NamedTuple):
    """A session in force: whose it is, and by which key."""

    key_id: str
    user_id: str


async def start(db: Database, *, key_id: str, user_id: str) -> str:
    """Insert a session and return its secret, for the cookie. Sessions that have run out are deleted."""
    secret = secrets.token_urlsafe(32)
    sessions = tables.sessions
    values = {"digest": secret_digest(secret), "key_id": key_id, "user_id": user_id, "created_at": db_now()}
    async with db.write() as connection:
        await connection.execute(delete(sessions).where(sessions.c.expires_at < db_now()))
        await connection.execute(insert(sessions).values(**values, expires_at=db_now() + SESSION_S))
    return secret


async def find(db: Database, secret: str) -> Session | None:
    """Return the session of a secret; ``None`` if there is none, it has run out, or its key was revoked."""
    sessions, keys = tables.sessions.c, tables.api_keys.c
    query = (
        select(sessions.key_id, sessions.user_id)
        .join_from(tables.sessions, tables.api_keys, keys.id == sessions.key_id)
        .where(sessions.digest == secret_digest(secret), sessions.expires_at >= db_now(), keys.revoked_at.is_(None))
    )
    async with db.read() as connection:
        row = (await connection.execute(query)).first()
    return Session(row.key_id, row.user_id) if row else None


async def end(db: Database, secret: str) -> None:
    """Delete a session."""
    async with db.write() as connection:
        await connection.execute(delete(tables.sessions).where(tables.sessions.c.digest == secret_digest(secret)))
