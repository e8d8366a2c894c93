"""Workers with the hosts that they ask, and how often each API was asked."""

from sqlalchemy import Column, Double, Integer, String, Table
from sqlalchemy.types import JSON

from app.db.columns import Serial, Slug, metadata

__all__ = ["source_limits", "source_requests", "workers"]

workers = Table(
    "workers",
    metadata,
    Column("id", String(60), primary_key=True),
    Column("kind", Slug, nullable=False),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", String(20), nullable=False),
    Column("slots", Integer, nullable=False),
    Column("running", Integer, nullable=False, default=0),
    Column("loop_lag_s", Double, nullable=False, default=0.0),
    Column("started_at", Double, nullable=False),
    Column("beat_at", Double, nullable=False),
    Column("hosts", JSON),
)

source_limits = Table(
    "source_limits",
    metadata,
    Column("api", String(300), primary_key=True),
    Column("taken", Serial, nullable=False, default=0),
    Column("closed_until", Double, nullable=False, default=0.0, server_default="0"),
    Column("told", JSON),
    Column("told_by", Serial, nullable=False, default=0, server_default="0"),
)
"""How often each API was asked, and what it says of its limits in the reply to request number ``told_by``."""

source_requests = Table(
    "source_requests",
    metadata,
    Column("api", String(300), primary_key=True),
    Column("number", Serial, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
)
"""When the last requests to each API were sent, as many as its limits count."""
