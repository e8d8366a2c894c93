"""The tables. Times are Unix seconds by the clock of the database. Text ids are made by :func:`app.db.engine.new_id`, integer ids by the
database.

The indexes serve the frequent queries: due units by queue, open units by lease, images by job and state.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import JSON

__all__ = [
    "api_keys",
    "attempts",
    "checks",
    "chunks",
    "crawl_pages",
    "datasets",
    "events",
    "exports",
    "idempotency_keys",
    "image_identities",
    "images",
    "jobs",
    "list_rows",
    "locks",
    "metadata",
    "searches",
    "source_limits",
    "source_requests",
    "units",
    "workers",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = String(40)
Slug = String(24)
PENDING = text("state = 'pending'")
"""A literal, not a bound value: a partial index is used only if the statement contains its condition word for word."""

WARNED = text("level IN ('WARNING', 'ERROR', 'CRITICAL')")
"""The condition of the index of warnings, a literal for the same reason."""

REASONED = text("reason IS NOT NULL")
"""The condition of the index of reasons; most kept images have none."""

REUSED = text("reuse IS NOT NULL")
"""The condition of the index of images whose bytes were there before; a first build has none."""

LABELLED, SPLIT = text("label IS NOT NULL"), text("split IS NOT NULL")
"""Conditions of indexes over kept images; no other image has a label or a split there, so crawling does not update them."""


def _partial_index(table: str, name: str) -> Index:
    """A partial index over the events that have a value in a column; most have none."""
    has_value = text(f"{name} IS NOT NULL")
    return Index(f"ix_{table}_{name}", "job_id", name, "id", sqlite_where=has_value, postgresql_where=has_value)


Serial = BigInteger().with_variant(Integer, "sqlite")

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

datasets = Table(
    "datasets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", String(100), nullable=False),
    Column("name", String(100), nullable=False),
    Column("created_at", Double, nullable=False),
    Index("ix_datasets_user", "user_id", "created_at", "id"),
)

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
    UniqueConstraint("search_id", "key"),
    Index("ix_crawl_pages_next", "search_id", "state", "depth", "id"),
)
"""The pages that a crawl has found: what it has read, and what it reads next."""

images = Table(
    "images",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("dataset_id", Id, ForeignKey("datasets.id", ondelete="CASCADE"), nullable=False),
    Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("chunk_id", Id),
    Column("search_id", Id),
    Column("url", Text, nullable=False),
    Column("url_key", String(64), nullable=False),
    Column("source", String(40), nullable=False),
    Column("state", Slug, nullable=False),
    Column("reason", Slug),
    Column("detail", Text),
    Column("rank", Integer, nullable=False, default=0),
    Column("line", Integer),
    Column("page_url", Text),
    Column("final_url", Text),
    Column("title", Text),
    Column("caption", Text),
    Column("label", String(100)),
    Column("license", String(200)),
    Column("license_url", Text),
    Column("creator", Text),
    Column("attribution", Text),
    Column("group_id", String(200)),
    Column("expected_sha256", String(64)),
    Column("sha256", String(64)),
    Column("size_bytes", BigInteger),
    Column("media_type", String(40)),
    Column("width", Integer),
    Column("height", Integer),
    Column("phash", String(16)),
    Column("colour_grid", String(96)),
    Column("measures", JSON),
    Column("duplicate_of", Serial),
    Column("split", String(32)),
    Column("out_sha256", String(64)),
    Column("out_media_type", String(40)),
    Column("out_size_bytes", BigInteger),
    Column("out_width", Integer),
    Column("out_height", Integer),
    Column("not_before", Double),
    Column("deferred_at", Double),
    Column("fetched_at", Double),
    Column("updated_at", Double),
    Column("evidence", Text),
    Column("robots", Slug),
    Column("opt_out", Slug),
    Column("changes", Text),
    Column("captions", JSON(none_as_null=True)),
    Column("labels", JSON(none_as_null=True)),
    Column("extra", JSON(none_as_null=True)),
    Column("etag", Text),
    Column("last_modified", String(40)),
    Column("exempt_networks", Text),
    Column("reuse", Slug),
    Column("reused_from", Id),
    Column("license_raw", Text),
    Column("license_confidence", Slug),
    Column("license_note", Text),
    Column("creator_url", Text),
    Column("stated", JSON(none_as_null=True)),
    Column("offers", JSON(none_as_null=True)),
    UniqueConstraint("dataset_id", "url_key"),
    Index("ix_images_job_state", "job_id", "state", "reason", "source", "search_id"),
    Index("ix_images_chunk", "chunk_id", "state"),
    Index("ix_images_dataset", "dataset_id", "state", "id"),
    Index("ix_images_job", "job_id", "state", "id"),
    Index("ix_images_source", "dataset_id", "source", "id"),
    Index("ix_images_label", "dataset_id", "state", "label", "id", sqlite_where=LABELLED, postgresql_where=LABELLED),
    Index("ix_images_split", "dataset_id", "state", "split", "id", sqlite_where=SPLIT, postgresql_where=SPLIT),
    Index("ix_images_reason", "dataset_id", "reason", "id", sqlite_where=REASONED, postgresql_where=REASONED),
    Index("ix_images_url_key", "url_key"),
    Index("ix_images_reuse", "job_id", "reuse", sqlite_where=REUSED, postgresql_where=REUSED),
    Index("ix_images_sha", "sha256"),
    Index("ix_images_out_sha", "out_sha256"),
)

image_identities = Table(
    "image_identities",
    metadata,
    Column("dataset_id", Id, ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True),
    Column("identity", String(200), primary_key=True),
    Column("image_id", Serial, ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Index("ix_image_identities_image", "image_id"),
)
"""What names a picture besides its URL, such as a digest or the id that its provider gave it; see `app.domain.Candidate.identities`."""

list_rows = Table(
    "list_rows",
    metadata,
    Column("image_id", Serial, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("search_id", Id, primary_key=True),
    Column("row", Integer, primary_key=True),
    Column("line", Integer, nullable=False),
    Column("captions", JSON(none_as_null=True)),
    Column("labels", JSON(none_as_null=True)),
    Column("extra", JSON(none_as_null=True)),
)
"""The rows of a list that name a URL more than once, the first included."""

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("image_id", Serial, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("state", Slug, nullable=False),
    Column("started_at", Double),
    Column("queued_s", Double),
    Column("elapsed_s", Double),
    Column("status", Integer),
    Column("error", String(60)),
    Column("reason", Slug),
    Column("wait_s", Double),
    Column("wait_cause", String(20)),
    Index("ix_attempts_image", "image_id"),
)

exports = Table(
    "exports",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", String(100), nullable=False),
    Column("dataset_id", Id, ForeignKey("datasets.id", ondelete="CASCADE"), nullable=False),
    Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("format", Slug, nullable=False),
    Column("storage_tier", Slug, nullable=False),
    Column("state", Slug, nullable=False),
    Column("prefix", Text),
    Column("samples", Integer),
    Column("size_bytes", BigInteger),
    Column("report", JSON),
    Column("problems", JSON),
    Column("error", Text),
    Column("created_at", Double, nullable=False),
    Column("verified_at", Double),
    Index("ix_exports_dataset", "dataset_id", "created_at", "id"),
)

checks = Table(
    "checks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", String(100), nullable=False),
    Column("dataset_id", Id, ForeignKey("datasets.id", ondelete="CASCADE"), nullable=False),
    Column("job_id", Id, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("export_id", Id, ForeignKey("exports.id", ondelete="CASCADE")),
    Column("kind", Slug, nullable=False),
    Column("options", JSON, nullable=False),
    Column("report", JSON),
    Column("created_at", Double, nullable=False),
    Index("ix_checks_dataset", "dataset_id", "created_at", "id"),
)

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
    *(_partial_index("events", name) for name in ("host", "chunk_id", "url_key")),
)

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
