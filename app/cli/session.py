"""From a synchronous command to the asynchronous core: the event loop, the log, the database, the resources."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from app.cli.failures import Refused
from app.cli.state import Cli

if TYPE_CHECKING:
    from app.db import Database
    from app.queue import ArqQueue
    from app.resources import Resources
    from app.settings import Settings
    from logging_setup.sinks import Stream

__all__ = ["asked_once", "changing", "database_file", "log_to", "opened", "reading", "require_workspace", "run", "send_due"]

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a command's body on the fastest event loop there is."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(coroutine)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


def log_to(cli: Cli, settings: "Settings", *, default: str | None = None, stream: "Stream | None" = None) -> None:
    """Set the log up. ``default`` is the level where nobody chose one: a person at a terminal reads the display instead."""
    from app.settings import origins
    from logging_setup.config import configure

    level = settings.log.level
    if default is not None and origins(settings, cli.flags())["log.level"][1] == "default":
        level = default  # type: ignore[assignment]
    configure(level, settings.log.format, str(settings.log.file) if settings.log.file else None, stream)


def database_file(settings: "Settings") -> Path | None:
    """The embedded database's file; ``None`` where the database is a server's."""
    scheme, _, rest = settings.database_url.partition(":///")
    return Path(rest) if scheme.startswith("sqlite") else None


def require_workspace(settings: "Settings") -> None:
    """Refuse to make a workspace for a command that only works on what is in one.

    Raises:
        Refused: there is none.
    """
    path = database_file(settings)
    if path is not None and not path.exists():
        raise Refused(f"there is no workspace at {path.parent}", "pictrawl build makes one; name another with --workspace")


@asynccontextmanager
async def reading(cli: Cli, settings: "Settings", *, make: bool = False) -> AsyncIterator["Database"]:
    """Open the database alone, for commands that change nothing but rows. No workspace is made, unless ``make``."""
    from app.db import Database, revision

    log_to(cli, settings, default="WARNING")
    if not make:
        require_workspace(settings)
    db = Database(settings.database_url, pool_size=2)
    try:
        # a workspace is brought up to date on the way; a fleet's database only by whoever looks after it
        await (revision.bring_up(db) if db.is_sqlite else revision.require_newest(db))
        yield db
    finally:
        await db.close()


@asynccontextmanager
async def changing(cli: Cli, settings: "Settings") -> AsyncIterator["Database"]:
    """Open the database as :func:`reading` does, and write into jobs' logs what is done to them."""
    from app.jobs.event_log import recording

    async with reading(cli, settings) as db, recording(db):
        yield db


@asynccontextmanager
async def opened(settings: "Settings") -> AsyncIterator["Resources"]:
    """Open database, store and queue. Redis is asked first: where it does not answer, no folder is made."""
    from app.resources import make_queue, open_resources

    queue = await make_queue(settings)
    try:
        async with open_resources(settings, queue=queue) as resources:
            yield resources
    finally:
        await queue.close()


@asynccontextmanager
async def asked_once(settings: "Settings") -> AsyncIterator["ArqQueue"]:
    """A fleet's queue for a command that can do without it: one try, in place of the several that a worker makes.

    Raises:
        errors.QueueUnavailableError: nobody answers.
    """
    from app.queue import redis_queue

    queue = await redis_queue(settings.queue.url.get_secret_value(), retries=0)
    try:
        yield queue
    finally:
        await queue.close()


async def send_due(cli: Cli, settings: "Settings") -> None:
    """Send what is due to a fleet's workers at once. Where the queue does not answer, their next sweep sends it."""
    import errors
    from app.jobs import submit
    from app.resources import open_resources

    try:
        async with asked_once(settings) as queue, open_resources(settings, queue=queue) as resources:
            await submit.wake(resources)
    except (errors.QueueUnavailableError, errors.StorageError) as error:
        cli.note(f"not sent yet, a worker does that: {error}")
