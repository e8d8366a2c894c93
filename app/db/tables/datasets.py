"""Datasets, their versions, how they left, and what must not return."""

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint
from sqlalchemy.types import JSON

from app.db.columns import Id, Serial, Slug, metadata

__all__ = ["checks", "datasets", "derived_images", "exports", "tombstones", "versions"]

datasets = Table(
    "datasets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", String(100), nullable=False),
    Column("name", String(100), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("lineage_id", Id),
    Index("ix_datasets_user", "user_id", "created_at", "id"),
    Index("ix_datasets_lineage", "lineage_id", "created_at", "id"),
)
"""A dataset, which is a version of all that share its ``lineage_id``, the id of the first of them."""

versions = Table(
    "versions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("dataset_id", Id, ForeignKey("datasets.id", ondelete="CASCADE"), nullable=False),
    Column("lineage_id", Id, nullable=False),
    Column("parent_id", Id),
    Column("job_id", Id),
    Column("kind", Slug, nullable=False),
    Column("major", Integer, nullable=False),
    Column("minor", Integer, nullable=False),
    Column("patch", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("images", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("changes", JSON(none_as_null=True)),
    Column("provenance", JSON(none_as_null=True)),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("lineage_id", "major", "minor", "patch"),
    Index("ix_versions_dataset", "dataset_id", "created_at", "id"),
)
"""What a dataset was at some time: its number, the digest of its images, and the facts for its papers. The newest row of a dataset says
what it is now; a job that changes a dataset in place adds a row."""

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
    Column("version", String(40)),
    Column("options", JSON(none_as_null=True)),
    Column("destination", Text),
    Column("delivery", JSON(none_as_null=True)),
    Column("delivered_at", Double),
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

derived_images = Table(
    "derived_images",
    metadata,
    Column("source_sha256", String(64), primary_key=True),
    Column("recipe", String(64), primary_key=True),
    Column("out_sha256", String(64), nullable=False),
    Column("out_media_type", String(40), nullable=False),
    Column("out_size_bytes", BigInteger, nullable=False),
    Column("out_width", Integer, nullable=False),
    Column("out_height", Integer, nullable=False),
    Column("changes", Text),
    Column("created_at", Double, nullable=False),
    Index("ix_derived_images_out", "out_sha256"),
)
"""Forms of stored images by the digest of their recipe; each can be made again from the original."""

tombstones = Table(
    "tombstones",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", String(100), nullable=False),
    Column("url", Text),
    Column("url_key", String(64)),
    Column("sha256", String(64)),
    Column("phash", String(16)),
    Column("reason", Text),
    Column("image_id", Serial),
    Column("created_at", Double, nullable=False),
    Index("ix_tombstones_user", "user_id", "created_at", "id"),
    Index("ix_tombstones_url", "user_id", "url_key"),
    Index("ix_tombstones_sha", "user_id", "sha256"),
)
"""What was removed on request and must not return: a URL, a digest, the hash of a picture, but no picture."""
