"""``pictrawl db``: the database's schema."""

from collections.abc import Callable

from app.cli.state import Cli

__all__ = ["COMMANDS"]


def upgrade(cli: Cli) -> int:
    """Bring the database to the newest schema."""
    from app.cli.session import run

    return run(_upgrade(cli))


async def _upgrade(cli: Cli) -> int:
    from app.cli.session import log_to
    from app.db import Database, schema

    settings = cli.settings()
    log_to(cli, settings, default="WARNING")
    db = Database(settings.database_url, pool_size=1)
    try:
        before = await schema.current(db)
        revision = await schema.upgrade(db)
    finally:
        await db.close()
    words = f"{revision}, as before" if before == revision else f"{before or 'nothing'} > {revision}"
    cli.result(f"schema {words}", {"before": before, "revision": revision}, brief=revision)
    return 0


def current(cli: Cli) -> int:
    """Show the schema, and the newest this version knows."""
    from app.cli.session import run

    return run(_current(cli))


async def _current(cli: Cli) -> int:
    from app.cli.session import log_to, require_workspace
    from app.db import Database, schema

    settings = cli.settings()
    log_to(cli, settings, default="WARNING")
    require_workspace(settings)
    db = Database(settings.database_url, pool_size=1)
    try:
        revision = await schema.current(db)
    finally:
        await db.close()
    newest = schema.head()
    words = "the newest" if revision == newest else f"the newest is {newest}: pictrawl db upgrade"
    cli.result(f"schema {revision or 'none'}, {words}", {"revision": revision, "newest": newest}, brief=str(revision))
    return 0


COMMANDS: dict[str, Callable[..., int]] = {"upgrade": upgrade, "current": current}
