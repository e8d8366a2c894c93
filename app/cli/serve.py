"""``pictrawl serve``: the API, until a signal."""

import errno
from contextlib import AsyncExitStack
from typing import Annotated

import typer

from app import web
from app.cli import exit_codes
from app.cli.failures import UsageError
from app.cli.options import Cli
from app.cli.runner import open_job_resources, take_workspace
from app.cli.session import Interrupts, configure_logging, is_embedded, run
from app.cli.settings import load_settings
from app.queue import SERVICE_RETRIES
from app.settings import Settings
from logging_setup import get_logger
from workers.worker_pool import run_workers

__all__ = ["serve"]

log = get_logger(__name__)


def serve(
    cli: Cli,
    host: Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, metavar="PORT", help="Port; 0 picks a free one (8080).")] = None,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Only the API; workers run elsewhere.")] = False,
) -> int:
    """Serve the API.

    On the embedded default the workers run in the same process.
    """
    given = {"serve.host": host, "serve.port": port}
    settings = load_settings(cli, {name: value for name, value in given.items() if value is not None})
    configure_logging(cli, settings)
    return run(_serve(cli, settings, with_worker=not no_worker))


async def _serve(cli: Cli, settings: Settings, *, with_worker: bool) -> int:
    async with AsyncExitStack() as stack:
        interrupts = stack.enter_context(Interrupts(_log_stopping))
        resources = await stack.enter_async_context(open_job_resources(settings, queue_retries=SERVICE_RETRIES))
        if with_worker and is_embedded(settings):
            await take_workspace(stack, settings, resources, "serve")
            await stack.enter_async_context(run_workers(resources))

        def started(port: int) -> None:
            url = f"http://{settings.serve.host}:{port}"
            cli.result(f"serving on {url}", {"url": url, "port": port}, brief=url)

        try:
            code = await web.serve(resources, settings.serve.host, settings.serve.port, stop=interrupts.stopped, started=started)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
                raise
            where = f"{settings.serve.host}:{settings.serve.port}"
            raise UsageError(f"cannot listen on {where}: {error.strerror}", "--port 0 picks a free one", code=exit_codes.SERVER) from error
    return exit_codes.SERVER if code else exit_codes.OK


def _log_stopping() -> None:
    log.info("serve.stopping", hint="requests and units in flight are finished; Ctrl-C again stops now, and nothing is lost")
