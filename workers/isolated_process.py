"""``python -m workers.isolated_process``: runs one quarantined unit, with a request on standard input and an answer on standard output.

The worker that started it (:mod:`workers.quarantine`) holds the claim. A job's error is sent back to it, because it decides on retries.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from typing import Any

from opentelemetry import trace

from app.job_states import UnitKind
from app.jobs import event_log
from app.observability import tracing
from app.process_setup import set_parent_death_signal
from app.queue import JOB_NAMES
from app.resources import open_resources, open_worker_resources
from app.settings import load_settings
from logging_setup import get_logger
from logging_setup.config import configure
from workers import builder, validator
from workers.leases import Leases
from workers.quarantine import STARTED
from workers.unit import JobContext

__all__ = ["main"]

log = get_logger(__name__)
tracer = trace.get_tracer(__name__)

JOBS = {name: getattr(module, name).__wrapped__ for module in (builder, validator) for name in module.__all__}
"""The job functions without their decorator: its rules apply in the worker that reads the answer."""


async def _run(request: Mapping[str, Any]) -> None:
    settings = load_settings(request["settings"])
    configure(settings.log.level, settings.log.format, str(settings.log.file) if settings.log.file else None)
    async with open_resources(settings) as resources, open_worker_resources(settings, resources.queue) as worker_resources:
        leases = Leases(resources.db, owner=request["worker"], lease_s=settings.jobs.lease_s)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leases.drain)
        ctx = JobContext(resources, worker_resources, leases, request["worker"], epoch=request["epoch"])
        async with event_log.recording(resources.db):
            name, ids = JOB_NAMES[UnitKind(request["kind"])], request["ids"]
            traced, fields = request["traced"], {"job": name, "run": request["run"], "worker": ctx.worker_id, "alone": True} | ids
            parent = tracing.parent_context(traced.get("traceparent"))
            with (
                tracer.start_as_current_span(f"{name} alone", parent, attributes=fields),
                log.contextualize(**fields | traced | tracing.carried()),
            ):
                await _run_job(ctx, leases, name, ids)


async def _run_job(ctx: JobContext, leases: Leases, name: str, ids: Mapping[str, str]) -> None:
    sys.stdout.buffer.write(STARTED)
    sys.stdout.flush()
    renewing = asyncio.create_task(leases.run())
    try:
        await JOBS[name](ctx, **ids)
    finally:
        renewing.cancel()


def main() -> None:
    """Run one unit. The exit code is 0 whatever the job raised, as long as this process lives."""
    answer: dict[str, str | None] = {"error": None}
    request = json.load(sys.stdin)
    set_parent_death_signal(request["parent"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        asyncio.run(_run(request))
    except Exception as error:  # noqa: BLE001 - the border between two processes
        answer = {"error": type(error).__name__, "message": str(error)}
    json.dump(answer, sys.stdout)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
