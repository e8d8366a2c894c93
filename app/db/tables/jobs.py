"""Jobs, their pieces of work, and their log."""

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint
from sqlalchemy.types import JSON

from app.db.columns import PENDING, WARNED, Id, Serial, Slug, metadata, partial_index

__all__ = ["chunks", "crawl_pages", "events", "jobs", "searches", "units"]

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", String(100), nullable=False),
    Column("dataset_id", Id, ForeignKey("datasets.id", ondelete="CASCADE"), nullable=False),
    Column("kind", Slug, nullable=False),
    Column("state", Slug, nullable=False),
    Column("desired_state", Slug, nullable=False),
    Column("stage", Slug),
    Column("spec", JSON, nullable=False),
    Column("target", Integer),
    Column("min_images", Integer, nullable=False, default=0),
    Column("priority", Integer, nullable=False, default=0),
    Column("open_units", Integer, nullable=False, default=0),
    Column("rounds", Integer, nullable=False, default=0),
    Column("shortfall", JSON),
    Column("short_classes", JSON(none_as_null=True)),
    Column("error", Text),
    Column("waiting_for", Text),
    Column("request_id", String(64)),
    Column("traceparent", String(64)),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Index("ix_jobs_user", "user_id", "created_at", "id"),
    Index("ix_jobs_state", "state", "priority"),
    Index("ix_jobs_dataset", "dataset_id"),
)

units = Table(
    "units",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("kind", Slug, nullable=False),
    Column("queue", Slug, nullable=False),
    Column("state", Slug, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("epoch", Integer, nullable=False, default=0),
    Column("owner", Id),
    Column("lease_until", Double),
    Column("not_before", Double, nullable=False, default=0.0),
    Column("queued_at", Double),
    Column("crashes", Integer, nullable=False, default=0),
    Column("error", Text),
    Column("created_at", Double, nullable=False),
    Column("finished_at", Double),
    Index("ix_units_due", "queue", "state", "not_before"),
    Index("ix_units_job", "job_id", "state", "created_at", "id"),
    Index("ix_units_lease", "state", "lease_until"),
    Index("ix_units_waiting", "job_id", "queue", "not_before", "id", sqlite_where=PENDING, postgresql_where=PENDING),
)

searches = Table(
    "searches",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("source", String(40), nullable=False),
    Column("keyword", String(400), nullable=False),
    Column("label", String(100)),
    Column("cursor", Text),
    Column("is_exhausted", Boolean, nullable=False, default=False),
    Column("found", Integer, nullable=False, default=0),
    Column("new", Integer, nullable=False, default=0),
    Column("bad", Integer, nullable=False, default=0),
    Column("note", Text),
    Column("requests", Integer, nullable=False, default=0, server_default="0"),
    Column("retries", Integer, nullable=False, default=0, server_default="0"),
    Column("root_keyword", String(400)),
    Column("qid", String(20)),
    Column("category", String(255)),
    Column("not_expanded", Text),
    UniqueConstraint("job_id", "source", "keyword"),
)

chunks = Table(
    "chunks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("size", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("ix_chunks_job", "job_id", "id"),
)

crawl_pages = Table(
    "crawl_pages",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("search_id", Id, ForeignKey("searches.id", ondelete="CASCADE"), nullable=False),
    Column("key", String(64), nullable=False),
    Column("url", Text, nullable=False),
    Column("depth", Integer, nullable=False),
    Column("state", Slug, nullable=False),
    Column("tries", Integer, nullable=False, default=0, server_default="0"),
    Column("not_before", Double, nullable=False, default=0.0, server_default="0"),
    Column("reason", Slug),
    Column("detail", Text),
    Column("parent_id", Serial),
    Column("requests", Integer, nullable=False, default=0, server_default="0"),
    Column("robots", Slug),
    Column("opt_out", Slug),
    Column("evidence", Text),
    Column("kind", Slug),
    Column("images", Integer),
    Column("links", Integer),
    UniqueConstraint("search_id", "key"),
    Index("ix_crawl_pages_next", "search_id", "state", "depth", "id"),
    Index("ix_crawl_pages_key", "key"),
)
"""The pages that a crawl has found: what it has read, and what it reads next. ``parent_id`` is the page that led to one; of an alias, the
page that was read."""

events = Table(
    "events",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("at", Double, nullable=False),
    Column("level", String(10), nullable=False),
    Column("event", String(80), nullable=False),
    Column("data", JSON, nullable=False),
    Column("host", String(255)),
    Column("chunk_id", Id),
    Column("url_key", String(64)),
    Index("ix_events_job", "job_id", "id"),
    Index("ix_events_name", "job_id", "event", "id"),
    Index("ix_events_warned", "job_id", "level", "id", sqlite_where=WARNED, postgresql_where=WARNED),
    *(partial_index("events", name) for name in ("host", "chunk_id", "url_key")),
)
