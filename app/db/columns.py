"""What the tables are made of: types of columns, and conditions of partial indexes."""

from sqlalchemy import (
    BigInteger,
    Index,
    Integer,
    MetaData,
    String,
    text,
)

__all__ = [
    "COPIES",
    "LABELLED",
    "PENDING",
    "REASONED",
    "REUSED",
    "REVIEWED",
    "SPLIT",
    "WARNED",
    "Id",
    "Serial",
    "Slug",
    "metadata",
    "partial_index",
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

REVIEWED, COPIES = text("reviewed IS NOT NULL"), text("duplicate_of IS NOT NULL")
"""Conditions of the indexes of images that a person decided about, and of duplicates by the image that they repeat."""

LABELLED, SPLIT = text("label IS NOT NULL"), text("split IS NOT NULL")
"""Conditions of indexes over kept images; no other image has a label or a split there, so crawling does not update them."""


def partial_index(table: str, name: str) -> Index:
    """A partial index over the events that have a value in a column; most have none."""
    has_value = text(f"{name} IS NOT NULL")
    return Index(f"ix_{table}_{name}", "job_id", name, "id", sqlite_where=has_value, postgresql_where=has_value)


Serial = BigInteger().with_variant(Integer, "sqlite")
