"""The keys that API requests carry: API keys, which authenticate a user, and Idempotency-Keys, which make a request happen once.

A token is ``ptk_<id>_<secret>``. The id finds the row, which stores the SHA-256 of the secret only. A slow hash is not needed, since a
secret of 256 random bits cannot be guessed.
"""

import hashlib
import hmac
import re
import secrets
from typing import Final, NamedTuple

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

import errors
from app.db import tables
from app.db.engine import Connection, Database, db_now
from app.db.exceptions import KeyReused, StateConflict
from app.db.rows import ApiKey

__all__ = [
    "ApiToken",
    "NewApiKey",
    "add_key",
    "digests_match",
    "expire_idempotency",
    "find_key",
    "has_keys",
    "list_keys",
    "make_key",
    "parse_token",
    "recall_idempotent",
    "revoke_key",
    "secret_digest",
]

_ID_BYTES = 8  # identifies the key; not secret
_SECRET_BYTES = 32
_TOKEN = re.compile(r"ptk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")


class NewApiKey(NamedTuple):
    """A new key. Its token is known only now, since the database stores a digest."""

    key_id: str
    token: str
    digest: str


class ApiToken(NamedTuple):
    """The parts of a token."""

    key_id: str
    secret: str


def make_key() -> NewApiKey:
    """Make a key. Store its id and digest, and show its token once."""
    bare_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    return NewApiKey(f"key_{bare_id}", f"ptk_{bare_id}_{secret}", secret_digest(secret))


def parse_token(token: str) -> ApiToken | None:
    """Return the id and the secret in a token; ``None`` if it is not a token of this form."""
    match = _TOKEN.fullmatch(token)
    return ApiToken(f"key_{match[1]}", match[2]) if match else None


def secret_digest(secret: str) -> str:
    """Return the SHA-256 of a secret in hex, which is stored instead of it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def digests_match(one: str, other: str) -> bool:
    """Whether two digests are equal, compared in constant time."""
    return hmac.compare_digest(one, other)


async def add_key(db: Database, *, key_id: str, user_id: str, name: str, digest: str) -> None:
    """Insert an API key with the digest of its secret."""
    async with db.write() as connection:
        await connection.execute(insert(tables.api_keys).values(id=key_id, user_id=user_id, name=name, digest=digest, created_at=db_now()))


async def list_keys(db: Database) -> list[ApiKey]:
    """Return all API keys, without their digests."""
    columns = [tables.api_keys.c[name] for name in ("id", "user_id", "name", "created_at", "revoked_at", "last_used_at")]
    async with db.read() as connection:
        return [ApiKey(**row._mapping) for row in (await connection.execute(select(*columns).order_by(tables.api_keys.c.created_at))).all()]


_ANY_KEY: Final = select(tables.api_keys.c.id).where(tables.api_keys.c.revoked_at.is_(None)).limit(1)
"""Built once: it is asked with every request that has no key."""


async def has_keys(db: Database) -> bool:
    """Whether any key is not revoked."""
    async with db.read() as connection:
        return (await connection.execute(_ANY_KEY)).first() is not None


async def find_key(db: Database, key_id: str) -> tuple[str, str] | None:
    """Return (user id, digest) of a key that is not revoked."""
    columns = tables.api_keys.c
    async with db.read() as connection:
        row = (
            await connection.execute(select(columns.user_id, columns.digest).where(columns.id == key_id, columns.revoked_at.is_(None)))
        ).first()
    return (row.user_id, row.digest) if row else None


async def touch_key(db: Database, key_id: str, *, every_s: float = 60.0) -> None:
    """Record the use of a key, at most once in ``every_s`` seconds."""
    columns = tables.api_keys.c
    is_old = or_(columns.last_used_at.is_(None), columns.last_used_at < db_now() - every_s)
    async with db.write() as connection:
        await connection.execute(update(tables.api_keys).where(columns.id == key_id, is_old).values(last_used_at=db_now()))


async def revoke_key(db: Database, key_id: str) -> None:
    """Revoke a key at once."""
    columns = tables.api_keys.c
    async with db.write() as connection:
        result = await connection.execute(
            update(tables.api_keys).where(columns.id == key_id, columns.revoked_at.is_(None)).values(revoked_at=db_now())
        )
    if result.rowcount != 1:
        raise errors.NotFoundError(f"no API key {key_id} is in force; pictrawl keys ls")


async def recall_idempotent(connection: Connection, *, user_id: str, key: str, body_digest: str) -> str | None:
    """Return the resource that an Idempotency-Key made before. A concurrent request with the same key waits for this transaction.

    Raises:
        KeyReused: the key was used with another body.
    """
    columns = tables.idempotency_keys.c
    if connection.dialect_name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{user_id}\n{key}", 0))))
    row = (await connection.execute(select(tables.idempotency_keys).where(columns.user_id == user_id, columns.key == key))).first()
    if row is None:
        return None
    if row.body_digest != body_digest:
        raise KeyReused("this Idempotency-Key was used with another request; send a new key")
    return str(row.resource)


async def note_idempotent(connection: Connection, *, user_id: str, key: str, body_digest: str, resource: str) -> None:
    """Bind an Idempotency-Key to the resource that its request made.

    Raises:
        StateConflict: a concurrent request with the same key was faster; roll this transaction back.
    """
    dialect = sqlite if connection.dialect_name == "sqlite" else postgresql
    statement = dialect.insert(tables.idempotency_keys).on_conflict_do_nothing()
    values = {"user_id": user_id, "key": key, "body_digest": body_digest, "resource": resource, "created_at": db_now()}
    if (await connection.execute(statement.values(**values))).rowcount != 1:
        raise StateConflict("a request with this Idempotency-Key is being answered; send it again")


async def expire_idempotency(db: Database, *, older_than_s: float) -> int:
    """Delete old Idempotency-Keys; return how many."""
    async with db.write() as connection:
        result = await connection.execute(
            delete(tables.idempotency_keys).where(tables.idempotency_keys.c.created_at < db_now() - older_than_s)
        )
    return result.rowcount
