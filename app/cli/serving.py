"""``pictrawl serve`` and ``pictrawl worker``: the processes that stay."""

import errno
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.cli import codes
from app.cli.state import Cli

if TYPE_CHECKING:
    from app.resources import Resources
    from app.settings import Settings

__all__ = ["serve", "worker"]

Kind = Literal["builder", "validator", "all"]


def serve(
    cli: Cli,
    host: Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, metavar="PORT", help="Port; 0 picks a free one (8080).")] = None,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Only the API; workers run elsewhere.")] = False,
) -> int:
    """Serve the API and the dashboard.

    On the embedded default the workers run in the same process.
    """
    from app.cli.session import log_to, run

    given = {"serve.host": host, "serve.port": port}
    settings = cli.settings({name: value for name, value in given.items() if value is not None})
    log_to(cli, settings)
    return run(_serve(cli, settings, with_worker=not no_worker))


async def _serve(cli: Cli, settings: "Settings", *, with_worker: bool) -> int:
    from app import web
    from app.cli.failures import Refused
    from app.cli.interrupts import Interrupts
    from app.cli.session import opened
    from logging_setup import get_logger

    log = get_logger(__name__)
    async with AsyncExitStack() as stack:
        interrupts = stack.enter_context(Interrupts(lambda words: log.info("serve.stopping", hint=words)))
        resources = await stack.enter_async_context(opened(settings))
        if with_worker:
            await _employ(stack, settings, resources)

        def started(port: int) -> None:
            url = f"http://{settings.serve.host}:{port}"
            cli.result(f"serving on {url}", {"url": url, "port": port}, brief=url)

        try:
            code = await web.serve(resources, settings.serve.host, settings.serve.port, stop=interrupts.stopped, started=started)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
                raise
            where = f"{settings.serve.host}:{settings.serve.port}"
            raise Refused(f"cannot listen on {where}: {error.strerror}", "--port 0 picks a free one", code=codes.SERVER) from error
    return codes.SERVER if code else codes.OK


async def _employ(stack: AsyncExitStack, settings: "Settings", resources: "Resources") -> None:
    """Workers beside the API, where this process is all there is; with Redis they run elsewhere."""
    from app.cli.locking import is_embedded, working_alone
    from app.db import sweeping
    from workers.worker_pool import run_workers

    if is_embedded(settings):
        stack.enter_context(working_alone(settings, "serve"))
        await sweeping.end_leases(resources.db, max_crashes=settings.jobs.max_crashes)
        await stack.enter_async_context(run_workers(resources))


def worker(
    cli: Cli,
    kind: Annotated[Kind, typer.Argument(metavar="builder|validator|all", help="Which queue to serve.")] = "all",
    check: Annotated[bool, typer.Option("--check", help="Only tell whether a worker of this machine is alive.")] = False,
) -> int:
    """Run a worker until SIGTERM.

    What it has in hand by then is finished first.
    """
    if check:
        return _check(cli)
    from app.cli.session import log_to, run

    settings = cli.settings()
    log_to(cli, settings)
    return run(_work(settings, kind))


def _check(cli: Cli) -> int:
    from workers.worker_pool import is_alive

    alive = is_alive()
    cli.result("alive" if alive else "no worker of this machine showed a sign of life lately", {"alive": alive})
    return codes.OK if alive else codes.ENVIRONMENT


async def _work(settings: "Settings", kind: Kind) -> int:
    from app.cli.failures import Refused
    from app.cli.locking import is_embedded, working_alone
    from app.cli.session import opened
    from app.db import sweeping
    from workers.worker_pool import kinds_of, serve_until_signalled

    if is_embedded(settings) and kind != "all":
        raise Refused(f"a {kind} alone would never see its jobs: the embedded queue lives in one process", "use `worker all`, or Redis")
    async with AsyncExitStack() as stack:
        resources = await stack.enter_async_context(opened(settings))
        if is_embedded(settings):
            stack.enter_context(working_alone(settings, "worker all"))
            await sweeping.end_leases(resources.db, max_crashes=settings.jobs.max_crashes)
        return await serve_until_signalled(resources, kinds_of(kind))
