"""What runs in the process of a unit in quarantine, ``python -m workers.isolated_process``: an order on standard input, one job, an answer.

The worker that started it holds the claim and judges how it ends; a job's error goes back to it, so that one place decides on retries.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from typing import Any

from app.domain import UnitKind
from app.jobs import event_log
from app.process_setup import set_parent_death_signal
from app.queue import JOB_NAMES
from app.resources import open_resources, open_workshop
from app.settings import load_settings
from logging_setup import get_logger, spans
from logging_setup.config import configure
from workers import builder, validator
from workers.leases import Leases
from workers.quarantine import BEGAN
from workers.unit import Context

__all__ = ["main"]

log = get_logger(__name__)

JOBS = {name: getattr(module, name).__wrapped__ for module in (builder, validator) for name in module.__all__}
"""The jobs as their authors wrote them, without the decorator's rules: those apply where the answer goes."""


async def _run(order: Mapping[str, Any]) -> None:
    settings = load_settings(order["settings"])
    configure(settings.log.level, settings.log.format, str(settings.log.file) if settings.log.file else None)
    async with open_resources(settings) as resources, open_workshop(settings, resources.queue) as workshop:
        leases = Leases(resources.db, owner=order["worker"], lease_s=settings.jobs.lease_s)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leases.drain)
        ctx = Context(resources, workshop, leases, order["worker"], epoch=order["epoch"])
        async with event_log.recording(resources.db):
            name, ids = JOB_NAMES[UnitKind(order["kind"])], order["ids"]
            traced, fields = order["traced"], {"job": name, "run": order["run"], "worker": ctx.worker_id, "alone": True} | ids
            with (
                spans.span(f"{name} alone", parent=traced.get("traceparent"), **fields) as span,
                log.contextualize(**fields | traced | dict(span.carried())),
            ):
                await _work(ctx, leases, name, ids)


async def _work(ctx: Context, leases: Leases, name: str, ids: Mapping[str, str]) -> None:
    sys.stdout.buffer.write(BEGAN)
    sys.stdout.flush()
    keeping = asyncio.create_task(leases.keep())
    try:
        await JOBS[name](ctx, **ids)
    finally:
        keeping.cancel()


def main() -> None:
    """Run one unit; exit with 0 whatever came of it, as long as this process lives."""
    answer: dict[str, str | None] = {"error": None}
    order = json.load(sys.stdin)
    set_parent_death_signal(order["parent"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        asyncio.run(_run(order))
    except Exception as error:  # noqa: BLE001 - the border between two processes
        answer = {"error": type(error).__name__, "message": str(error)}
    json.dump(answer, sys.stdout)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
