"""``pictrawl db``: the database's schema."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.cli.options import Cli
from app.cli.session import configure_logging, require_workspace, run, workspace_of
from app.cli.settings import load_settings
from app.db import Database, schema
from app.settings import Settings

__all__ = ["current", "upgrade"]


@asynccontextmanager
async def _open(cli: Cli, settings: Settings, *, create: bool) -> AsyncIterator[Database]:
    """Open the database with whatever schema it has."""
    configure_logging(cli, settings, default="WARNING")
    if not create:
        require_workspace(settings)
    db = Database(settings.database_url, pool_size=1)
    try:
        yield db
    finally:
        await db.close()


def upgrade(cli: Cli) -> int:
    """Bring the database to the newest schema."""
    return run(_upgrade(cli))


async def _upgrade(cli: Cli) -> int:
    settings = load_settings(cli)
    workspace = workspace_of(settings)
    async with _open(cli, settings, create=True) as db:
        before = await schema.current(db)
        revision = await schema.upgrade(db, in_use_by=workspace.find_holder() if workspace is not None else None)
    text = f"{revision}, as before" if before == revision else f"{before or 'nothing'} > {revision}"
    cli.result(f"schema {text}", {"before": before, "revision": revision}, brief=revision)
    return 0


def current(cli: Cli) -> int:
    """Show the schema, and the newest that this version knows."""
    return run(_current(cli))


async def _current(cli: Cli) -> int:
    async with _open(cli, load_settings(cli), create=False) as db:
        revision = await schema.current(db)
    newest = schema.head()
    text = "the newest" if revision == newest else f"the newest is {newest}: pictrawl db upgrade"
    cli.result(f"schema {revision or 'none'}, {text}", {"revision": revision, "newest": newest}, brief=str(revision))
    return 0
