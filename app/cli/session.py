"""What a command runs in: the event loop, the log, signals, the database alone. Imports no worker."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import uvloop

from app.cli import exit_codes
from app.cli.failures import UsageError
from app.cli.options import Cli
from app.cli.settings import settings_flags
from app.db import Database, fleet, schema
from app.jobs.event_log import recording
from app.settings import Settings, origins
from app.workspace import Holder, Workspace
from logging_setup.config import configure
from logging_setup.sinks import Stream

__all__ = [
    "Interrupts",
    "configure_logging",
    "database_file",
    "is_embedded",
    "open_database",
    "require_workspace",
    "run",
    "warn_without_workers",
    "workspace_of",
]

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a command's body on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


def configure_logging(cli: Cli, settings: Settings, *, default: str | None = None, stream: Stream | None = None) -> None:
    """Set up the log.

    Args:
        default: the level where the user chose none, of a command for people: unless a format was chosen, its lines are text, short
            without ``-v``. A service has no default: its lines are for machines where nobody watches.
    """
    level: str = settings.log.level
    form = settings.log.format
    if default is not None:
        form = "pretty" if form == "auto" else form
        if origins(settings, settings_flags(cli))["log.level"][1] == "default":
            level = "ERROR" if cli.quiet else default
    file = str(settings.log.file) if settings.log.file else None
    configure(level, form, file, stream, ids=default is None or cli.verbose > 0)


def is_embedded(settings: Settings) -> bool:
    """Whether this process runs the workers itself, instead of a fleet on Redis."""
    return settings.queue.backend == "embedded"


def database_file(settings: Settings) -> Path | None:
    """The embedded database's file; ``None`` where the database is a server's."""
    scheme, _, rest = settings.database_url.partition(":///")
    return Path(rest) if scheme.startswith("sqlite") else None


def require_workspace(settings: Settings) -> None:
    """For commands that must not create a workspace.

    Raises:
        UsageError: there is none.
    """
    path = database_file(settings)
    if path is not None and not path.exists():
        raise UsageError(f"there is no workspace at {path.parent}", "pictrawl build makes one; name another with --workspace")


@asynccontextmanager
async def open_database(cli: Cli, settings: Settings, *, create: bool = False, record: bool = False) -> AsyncIterator[Database]:
    """Open the database alone, for commands that need no queue and no store.

    Args:
        create: make the workspace where there is none.
        record: write log lines of jobs to their event log, for commands that change jobs.
    """
    configure_logging(cli, settings, default="WARNING")
    if not create:
        require_workspace(settings)
    async with AsyncExitStack() as stack:
        db = Database(settings.database_url, pool_size=2)
        stack.push_async_callback(db.close)
        # an embedded database is migrated on the way; a server's only by `pictrawl db upgrade`
        workspace = workspace_of(settings)
        in_use_by = workspace.find_holder() if workspace is not None else None
        await (schema.upgrade(db, in_use_by=in_use_by) if db.is_sqlite else schema.require_current(db))
        if record:
            await stack.enter_async_context(recording(db))
        yield db


def workspace_of(settings: Settings, me: Holder | None = None) -> Workspace | None:
    """The workspace of the embedded queue, by default for a command that does not work on it; ``None`` with a fleet."""
    return Workspace(settings.workspace.path, me or Holder(os.getpid(), "")) if is_embedded(settings) else None


async def warn_without_workers(cli: Cli, settings: Settings, db: Database) -> None:
    """Warn where a job would wait because no worker is alive."""
    workspace = workspace_of(settings)
    if workspace is not None and workspace.find_holder() is None:
        cli.warn("no process works on this workspace: the job waits", "start `pictrawl serve`, or continue it with `pictrawl resume`")
    elif workspace is None and not await fleet.workers(db, fresh_s=fleet.BEAT_FRESH_S):
        cli.warn("no worker is alive: the job waits until one is", "start `pictrawl worker all` or `pictrawl serve`")


class Interrupts:
    """Ctrl-C and SIGTERM: the first ends the run in order, the second at once. Nothing is lost either way.

    Args:
        on_first: called at the first signal.
        on_second: called at the second, just before the process ends.
    """

    def __init__(self, on_first: Callable[[], None] = lambda: None, on_second: Callable[[], None] = lambda: None) -> None:
        self.stopped = asyncio.Event()
        self.signal: int | None = None
        self.on_first = on_first
        self.on_second = on_second

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._receive, number)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    @property
    def code(self) -> int | None:
        """The exit code of an interrupted run, ``None`` where there was no signal."""
        return None if self.signal is None else exit_codes.SIGNALLED + self.signal

    async def wait(self, seconds: float) -> bool:
        """Wait for this time or until the first signal; return whether there was one."""
        if not self.stopped.is_set():
            waiter = asyncio.ensure_future(self.stopped.wait())
            await asyncio.wait([waiter], timeout=seconds)
            waiter.cancel()
        return self.stopped.is_set()

    def _receive(self, number: int) -> None:
        if self.signal is not None:
            self.on_second()
            _exit_at_once(exit_codes.SIGNALLED + number)
        self.signal = number
        self.stopped.set()
        self.on_first()


def _exit_at_once(code: int) -> None:
    """End without draining: the database holds all that matters, and decoder processes die with their parent."""
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h\n")  # a live display hides the cursor
    sys.stderr.flush()
    os._exit(code)
