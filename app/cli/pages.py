"""The pages of a workspace for the time of one command (``--ui``), and where they are. Imported by ``serve`` and for ``--ui`` only."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Final

from app import web
from app.cli import exit_codes
from app.cli.failures import UsageError
from app.cli.options import Cli
from app.resources import Resources

__all__ = ["LOOPBACK", "cannot_listen", "origin_of", "serve_pages"]

LOOPBACK: Final = "127.0.0.1"


def origin_of(host: str, port: int) -> str:
    """The URL of a server, as in ``http://[::1]:8080``."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def cannot_listen(host: str, port: int, error: OSError) -> UsageError | None:
    """The error of an address that cannot be had; ``None`` for any other error."""
    if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
        return None
    return UsageError(f"cannot listen on {host}:{port}: {error.strerror}", "--port 0 picks a free one", code=exit_codes.SERVER)


@asynccontextmanager
async def serve_pages(cli: Cli, resources: Resources, port: int) -> AsyncIterator[str]:
    """Serve the pages on loopback for the body's time; yield their URL. With an API key in force they ask for it.

    Raises:
        UsageError: the port is taken.
    """
    stop = asyncio.Event()
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(web.serve(resources, LOOPBACK, port, stop=stop, started=started.set_result))
    await asyncio.wait({serving, started}, return_when=asyncio.FIRST_COMPLETED)
    if not started.done():
        try:
            await serving
        except OSError as error:
            raise cannot_listen(LOOPBACK, port, error) or error from error
    url = origin_of(LOOPBACK, started.result())
    try:
        with nullcontext() if resources.workspace is None else resources.workspace.serving(url):
            yield url
    finally:
        stop.set()
        await serving
        cli.note(f"the pages at {url} have ended with this command; `pictrawl serve{cli.workspace_options}` shows them again")
