"""INSERT with ON CONFLICT, each database's own. A dialect is imported where it is used: PostgreSQL's takes a tenth of a second."""

from typing import Any

from sqlalchemy import Table

__all__ = ["insert_into"]


def insert_into(table: Table, dialect_name: str) -> Any:
    """An INSERT that has ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
    if dialect_name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)
