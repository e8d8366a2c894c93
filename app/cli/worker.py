"""``pictrawl worker``: a worker process, until a signal."""

from contextlib import AsyncExitStack
from typing import Annotated, Literal

import typer

from app.cli import exit_codes
from app.cli.failures import UsageError
from app.cli.holder import claim_workspace, in_use, open_workspace
from app.cli.options import Cli
from app.cli.runner import log_what_is_not_checked, open_job_resources
from app.cli.session import configure_logging, is_embedded, run
from app.cli.settings import load_settings
from app.jobs.dispatch import dispatch_requests
from app.queue import SERVICE_RETRIES
from app.settings import Settings
from workers.worker_pool import is_alive, kinds_of, serve_until_signalled

__all__ = ["worker"]

Kind = Literal["builder", "validator", "all"]


def worker(
    cli: Cli,
    kind: Annotated[Kind, typer.Argument(metavar="builder|validator|all", help="Which queue to serve.")] = "all",
    check: Annotated[bool, typer.Option("--check", help="Only check whether a worker of this machine is alive.")] = False,
) -> int:
    """Run a worker until SIGTERM.

    Requests in flight are finished before it ends.
    """
    if check:
        alive = is_alive()
        cli.result("alive" if alive else "no worker of this machine had a heartbeat lately", {"alive": alive})
        return exit_codes.OK if alive else exit_codes.ENVIRONMENT
    settings = load_settings(cli)
    configure_logging(cli, settings)
    return run(_work(settings, kind))


async def _work(settings: Settings, kind: Kind) -> int:
    if is_embedded(settings) and kind != "all":
        raise UsageError(f"a {kind} alone would never see its jobs: the embedded queue lives in one process", "use `worker all`, or Redis")
    workspace = open_workspace(settings, "worker all", all_jobs=True)
    if kind != "validator":  # which requests nothing
        log_what_is_not_checked(settings)
    async with AsyncExitStack() as stack:
        if workspace is not None:
            if not workspace.take():
                raise in_use(workspace)
            stack.callback(workspace.release)
        resources = await stack.enter_async_context(open_job_resources(settings, queue_retries=SERVICE_RETRIES, workspace=workspace))
        if workspace is not None:
            await claim_workspace(resources)
            await stack.enter_async_context(dispatch_requests(resources, workspace))
        return await serve_until_signalled(resources, kinds_of(kind))
