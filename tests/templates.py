"""Databases with the newest schema, copied instead of migrated: the migrations themselves have tests of their own."""

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
atexit.register(_FOLDER.cleanup)  # left to itself, it warns


def sqlite_like_new(path: Path) -> str:
    """Put a SQLite database with the newest schema at ``path`` and return its URL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_sqlite_template(), path)
    return f"sqlite+aiosqlite:///{path}"


@functools.cache
def _sqlite_template() -> Path:
    path = Path(_FOLDER.name) / "template.db"
    _migrate(f"sqlite+aiosqlite:///{path}")
    return path


def postgres_like_new(server: PostgresServer, name: str) -> str:
    """Make a PostgreSQL database with the newest schema and return its URL."""
    return server.create_database(name, template=_postgres_template(server))


@functools.cache
def _postgres_template(server: PostgresServer) -> str:
    _migrate(server.create_database("template_pictrawl"))
    return "template_pictrawl"


def _migrate(url: str) -> None:
    """In a thread with an event loop of its own: whoever asks may stand in one."""
    worker = threading.Thread(target=lambda: asyncio.run(_upgrade(url)))
    worker.start()
    worker.join()


async def _upgrade(url: str) -> None:
    db = Database(url)
    try:
        await schema.upgrade(db)
    finally:
        await db.close()
