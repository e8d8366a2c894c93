"""Who may ask and what was asked twice: keys, sessions of browsers, idempotency, locks."""

from sqlalchemy import Column, Double, ForeignKey, Index, String, Table

from app.db.columns import Id, metadata

__all__ = ["api_keys", "idempotency_keys", "locks", "sessions"]

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", String(100), nullable=False),
    Column("name", String(100), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("key_id", Id, ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", String(100), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index("ix_sessions_expires", "expires_at"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", String(100), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("body_digest", String(64), nullable=False),
    Column("resource", String(40), nullable=False),
    Column("created_at", Double, nullable=False),
    Index("ix_idempotency_age", "created_at"),
)

locks = Table(
    "locks",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("owner", Id),
    Column("until", Double, nullable=False, default=0.0),
    Column("since", Double, nullable=False, default=0.0, server_default="0"),
)
