"""Databases with the newest schema, copied from a template instead of migrated. The migrations have their own tests."""

import asyncio
import atexit
import functools
import shutil
import tempfile
import threading
from pathlib import Path

from app.db import Database, schema
from tests.services import PostgresServer

__all__ = ["postgres_like_new", "sqlite_like_new"]

_FOLDER = tempfile.TemporaryDirectory(prefix="pictrawl-template-")
atexit.register(_FOLDER.cleanup)  # its finalizer would warn


def sqlite_like_new(path: Path) -> str:
    """Create a SQLite database with the newest schema at ``path`` and return its URL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_sqlite_template(), path)
    return f"sqlite+aiosqlite:///{path}"


@functools.cache
def _sqlite_template() -> Path:
    path = Path(_FOLDER.name) / "template.db"
    _migrate(f"sqlite+aiosqlite:///{path}")
    return path


def postgres_like_new(server: PostgresServer, name: str) -> str:
    """Create a PostgreSQL database with the newest schema and return its URL."""
    return server.create_database(name, template=_postgres_template(server))


@functools.cache
def _postgres_template(server: PostgresServer) -> str:
    _migrate(server.create_database("template_pictrawl"))
    return "template_pictrawl"


def _migrate(url: str) -> None:
    """Migrate in a thread with its own event loop: the caller may be in one."""
    worker = threading.Thread(target=lambda: asyncio.run(_upgrade(url)))
    worker.start()
    worker.join()


async def _upgrade(url: str) -> None:
    db = Database(url)
    try:
        await schema.upgrade(db)
    finally:
        await db.close()
