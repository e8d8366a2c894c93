"""``pictrawl serve``: the API, until a signal."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Annotated

import typer

from app import web
from app.cli import exit_codes
from app.cli.holder import claim_workspace, open_workspace
from app.cli.options import Cli
from app.cli.pages import LOOPBACK, cannot_listen, origin_of
from app.cli.runner import log_what_is_not_checked, open_job_resources
from app.cli.session import Interrupts, configure_logging, run
from app.cli.settings import load_settings
from app.jobs.dispatch import dispatch_requests
from app.queue import SERVICE_RETRIES
from app.resources import Resources
from app.settings import Settings
from app.workspace import Workspace
from logging_setup import get_logger
from workers.worker_pool import run_workers

__all__ = ["serve"]

log = get_logger(__name__)

TAKE_S = 0.5
"""Seconds between two tries to take a workspace on which another process works."""


REACHED_AT = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - from where this machine reaches a server that listens everywhere


def serve(
    cli: Cli,
    host: Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, metavar="PORT", help="Port; 0 picks a free one (8080).")] = None,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Only the API; workers run elsewhere.")] = False,
) -> int:
    """Serve the API.

    On the embedded default the workers run in the same process, and do the work of every command on its workspace.
    """
    given = {"serve.host": host, "serve.port": port}
    settings = load_settings(cli, {name: value for name, value in given.items() if value is not None})
    configure_logging(cli, settings)
    return run(_serve(cli, settings, with_worker=not no_worker))


async def _serve(cli: Cli, settings: Settings, *, with_worker: bool) -> int:
    workspace = open_workspace(settings, "serve", all_jobs=True)
    if with_worker:
        log_what_is_not_checked(settings)
    async with AsyncExitStack() as stack:
        interrupts = stack.enter_context(Interrupts(_log_stopping))
        if workspace is not None:
            stack.callback(workspace.release)
        is_free = with_worker and workspace is not None and workspace.take()
        resources = await stack.enter_async_context(open_job_resources(settings, queue_retries=SERVICE_RETRIES, workspace=workspace))
        if workspace is not None and is_free:
            await stack.enter_async_context(_working(resources, workspace))
        elif workspace is not None and with_worker:
            await stack.enter_async_context(_standing_by(resources, workspace, interrupts.stopped))

        host = settings.serve.host

        def started(port: int) -> None:
            url = origin_of(host, port)
            if workspace is not None:
                stack.enter_context(workspace.serving(origin_of(REACHED_AT.get(host, host), port)))
            cli.result(f"serving on {url}", {"url": url, "port": port}, brief=url)

        try:
            code = await web.serve(resources, host, settings.serve.port, stop=interrupts.stopped, started=started)
        except OSError as error:
            raise cannot_listen(host, settings.serve.port, error) or error from error
    return exit_codes.SERVER if code else exit_codes.OK


@asynccontextmanager
async def _working(resources: Resources, workspace: Workspace) -> AsyncIterator[None]:
    """The workers of a workspace that this process holds."""
    await claim_workspace(resources)
    async with run_workers(resources), dispatch_requests(resources, workspace):
        yield


@asynccontextmanager
async def _standing_by(resources: Resources, workspace: Workspace, stop: asyncio.Event) -> AsyncIterator[None]:
    """Work once the process that holds the workspace has ended; until then it does the work of the API too.

    An error of the workers ends the server.
    """
    log.warning("serve.standing_by", holder=str(workspace.find_holder()), hint="it does the work until it ends; then this server does")
    task = asyncio.create_task(_work_when_free(resources, workspace, stop))
    task.add_done_callback(lambda _: stop.set())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _work_when_free(resources: Resources, workspace: Workspace, stop: asyncio.Event) -> None:
    while not workspace.take():
        with suppress(TimeoutError):
            async with asyncio.timeout(TAKE_S):
                await stop.wait()
                return
    log.info("serve.took_over")
    async with _working(resources, workspace):
        await asyncio.get_running_loop().create_future()  # until it is cancelled


def _log_stopping() -> None:
    log.info("serve.stopping", hint="requests and units in flight are finished; Ctrl-C again stops now, and nothing is lost")
