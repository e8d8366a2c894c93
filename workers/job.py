"""THE job mechanism: the :func:`job` decorator and :func:`claim`. No job function has a try/except or a retry of its own.

=============================================  ==========================================================================
Exception that leaves the job function         What the decorator does
=============================================  ==========================================================================
MemoryError, DatabaseConnectionError           releases the unit for 60 s; arq's ``Retry`` redelivers it, up to 3 times
… a fourth time, MemoryError                   marks the unit dead, with the error on its row
… a fourth time, DatabaseConnectionError       ends the delivery; the sweeper sends the unit again once the database answers
StorageError, ProxyError, QueueUnavailableError releases the unit for 60 s and counts no failure
CancelledError (deploy, shutdown)              releases the unit at once and counts no failure
any other                                      marks the unit dead, with the error on its row
=============================================  ==========================================================================
"""

import asyncio
import functools
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self

from arq import Retry
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode

import errors
from app.db import jobs, units
from app.db.rows import Unit
from app.job_states import TRACED, UnitState
from app.observability import metrics, tracing
from errors import INFRASTRUCTURE
from logging_setup import get_logger
from workers import quarantine
from workers.unit import ClaimedUnit, JobContext, RanIsolated, Stopped, StopReason, Unclaimed

__all__ = ["INFRASTRUCTURE", "JOBS", "RunRecorder", "claim", "job"]

log = get_logger(__name__)
tracer = trace.get_tracer(__name__)

OWN_FAULT_DELAY_S = 60.0
"""Seconds before a unit runs again after a StorageError or QueueUnavailableError: long enough to free a disk, short enough to notice."""

Ids = ParamSpec("Ids")
JobFunction = Callable[Concatenate[JobContext, Ids], Awaitable[None]]

JOBS: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {}
"""Every decorated function by its name; the worker registers these with arq."""


def job(*, retry_on: tuple[type[BaseException], ...]) -> Callable[[JobFunction[Ids]], Callable[..., Coroutine[Any, Any, None]]]:
    """Make a function a job: bind the log context, retry ``retry_on`` through arq, and settle the unit whatever happens."""

    def decorate(function: JobFunction[Ids]) -> Callable[..., Coroutine[Any, Any, None]]:
        @functools.wraps(function)
        async def run(ctx: dict[str, Any], *args: Ids.args, **ids: Ids.kwargs) -> None:
            context: JobContext = ctx["context"].for_run(ctx.get("job_try", 1), str(ids.get("unit_id", "")))
            traced = {name: str(ids.pop(name)) for name in TRACED if name in ids}
            fields = {"job": function.__name__, "run": context.run, "worker": context.worker_id} | ids
            with _run_span(fields, traced.get("traceparent")), log.contextualize(**fields | traced | tracing.carried()):
                await _run_and_settle(context, functools.partial(function, context, *args, **ids), retry_on)

        run.retry_on = retry_on  # type: ignore[attr-defined]
        JOBS[function.__name__] = run
        return run

    return decorate


@asynccontextmanager
async def claim(ctx: JobContext, unit_id: str) -> AsyncIterator[ClaimedUnit]:
    """Claim a unit for the body's time; it is finished afterwards unless the body has settled it.

    Raises:
        Unclaimed: the unit is claimed by another worker, finished, or not due.
        RanIsolated: the unit was in quarantine and is settled; the body did not run.
        Stopped: the job was cancelled, or the lease lost, while the body ran.
    """
    unit = ClaimedUnit(ctx, await _claim_row(ctx, unit_id))
    ctx.unit = unit
    try:
        ctx.leases.add(unit)
        if unit.is_quarantined and not unit.is_isolated:
            await quarantine.run_isolated(unit)
            raise RanIsolated(unit_id)
        if unit.job.waiting_for:
            await jobs.wait_for(ctx.db, unit.job.id, None)
        yield unit
        if not unit.is_settled:
            await unit.finish()
    except asyncio.CancelledError:
        if unit.consume_own_cancel() and unit.stop_reason is not None:
            raise Stopped(unit.stop_reason) from None
        raise
    finally:
        ctx.leases.remove(unit)
    await ctx.dispatch_next()


async def _claim_row(ctx: JobContext, unit_id: str) -> Unit:
    if ctx.epoch is not None:
        return await units.adopt(ctx.db, unit_id, ctx.epoch)
    row = await units.claim(ctx.db, unit_id, owner=ctx.worker_id, lease_s=ctx.settings.jobs.lease_s)
    if row is None:
        raise Unclaimed(unit_id)
    return row


def _run_span(fields: Mapping[str, Any], traceparent: str | None) -> AbstractContextManager[Span]:
    """The span of one run; its outcome and error are set by `RunRecorder`. Crons have none: they have no unit and run every few seconds."""
    if "unit_id" not in fields:
        return nullcontext(trace.INVALID_SPAN)
    return tracer.start_as_current_span(
        fields["job"],
        tracing.parent_context(traceparent),
        SpanKind.CONSUMER,
        dict(fields),
        record_exception=False,
        set_status_on_exception=False,
    )


class RunRecorder:
    """Sets the outcome of one run of a job function on its span and in the metrics, when the run ends."""

    __slots__ = ("_error", "_function", "_outcome", "_span", "_started_at")

    def __init__(self, function: str) -> None:
        self._function = function
        self._span = trace.get_current_span()
        self._started_at = time.perf_counter()
        self._outcome = "done"
        self._error: BaseException | None = None

    def set_outcome(self, outcome: str, error: BaseException | None = None) -> None:
        """Set an outcome other than ``done``.

        Args:
            outcome: one of :data:`app.observability.labels.RUN_OUTCOMES`.
            error: what ended the run.
        """
        self._outcome, self._error = outcome, error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._span.set_attribute("outcome", self._outcome)
        if self._error is not None:
            self._span.record_exception(self._error)
            self._span.set_status(StatusCode.ERROR, str(self._error))
        metrics.runs.labels(self._function, self._outcome).inc()
        if self._outcome != "not_claimed":
            metrics.run_seconds.labels(self._function).observe(time.perf_counter() - self._started_at)


async def _run_and_settle(ctx: JobContext, call: functools.partial[Awaitable[None]], retry_on: tuple[type[BaseException], ...]) -> None:
    with RunRecorder(call.func.__name__) as run:
        try:
            await call()
        except Unclaimed:
            run.set_outcome("not_claimed")
            log.debug("unit.not_claimed")
        except RanIsolated:
            run.set_outcome("alone")
            await ctx.dispatch_next()
        except Stopped as stopped:
            run.set_outcome("stopped")
            await _after_stop(ctx, stopped.reason)
        except units.LeaseLost:
            run.set_outcome("lease_lost")
            log.warning("unit.lease_lost")
        except retry_on as error:
            await _retry_or_give_up(ctx, run, error)
        except (errors.StorageError, errors.ProxyError, errors.QueueUnavailableError) as error:
            run.set_outcome("rested", error)
            await _backoff(ctx, error)
        except asyncio.CancelledError:
            run.set_outcome("interrupted")
            log.info("unit.interrupted")
            await asyncio.shield(_release(ctx))
            raise
        except Exception as error:  # noqa: BLE001 - the border: a bug or a permanent error ends the unit, never the worker
            run.set_outcome("dead", error)
            log.opt(exception=error).error("unit.dead", error_type=type(error).__name__, error=str(error))
            await _mark_dead(ctx, error)
        else:
            if ctx.run > 1 or (ctx.unit is not None and ctx.unit.row.error):
                await _clear_failures(ctx)


async def _after_stop(ctx: JobContext, reason: StopReason) -> None:
    log.info("unit.stopped", reason=reason.value)
    trace.get_current_span().set_attribute("reason", reason.value)
    if reason is StopReason.CANCELLED and ctx.unit is not None:
        await _settle_if_possible(ctx.unit.end_as(UnitState.CANCELLED))


async def _retry_or_give_up(ctx: JobContext, run: RunRecorder, error: BaseException) -> None:
    """The job layer's only retry."""
    settings = ctx.settings.jobs
    if isinstance(error, MemoryError):
        gc.collect()
    failures = await _count_failure(ctx)
    name = type(error).__name__
    if failures <= settings.retries:
        run.set_outcome("retried", error)
        log.warning("job.retry", error_type=name, error=str(error), retry=failures, of=settings.retries, wait_s=settings.retry_delay_s)
        await _release(ctx, delay_s=settings.retry_delay_s, error=f"{name}: {error}")
        raise Retry(defer=settings.retry_delay_s) from error
    run.set_outcome("dead" if isinstance(error, MemoryError) else "exhausted", error)
    log.opt(exception=error).error("job.retries_exhausted", error_type=name, error=str(error), retries=settings.retries)
    if isinstance(error, MemoryError):
        await _mark_dead(ctx, error)
    else:
        await _release(ctx, delay_s=settings.retry_delay_s, error=f"{name}: {error}")
    await _clear_failures(ctx)
    raise error


async def _backoff(ctx: JobContext, error: errors.PictrawlError) -> None:
    log.error("unit.rests", error_type=type(error).__name__, error=str(error), wait_s=OWN_FAULT_DELAY_S)
    if ctx.unit is not None and not ctx.unit.is_settled:
        waiting_for = f"{_what_failed(error)}; retried in {OWN_FAULT_DELAY_S:.0f} s"
        await _settle_if_possible(ctx.unit.release(delay_s=OWN_FAULT_DELAY_S, error=str(error), waiting_for=waiting_for))


def _what_failed(error: errors.PictrawlError) -> str:
    if isinstance(error, errors.ProxyError):
        return f"{error}, see `pictrawl doctor --only network`"
    return f"{'the queue' if isinstance(error, errors.QueueUnavailableError) else 'storage'} failed ({error})"


async def _release(ctx: JobContext, *, delay_s: float = 0.0, error: str | None = None) -> None:
    if ctx.unit is not None and not ctx.unit.is_settled:
        await _settle_if_possible(ctx.unit.release(delay_s=delay_s, error=error))


async def _mark_dead(ctx: JobContext, error: BaseException) -> None:
    if ctx.unit is not None and not ctx.unit.is_settled:
        await _settle_if_possible(ctx.unit.end_as(UnitState.DEAD, f"{type(error).__name__}: {error}"))


async def _settle_if_possible(step: Awaitable[None]) -> None:
    """Settle the unit if the database answers. Otherwise its lease runs out and the sweeper settles it."""
    try:
        await step
    except (MemoryError, errors.DatabaseConnectionError, errors.StorageError, units.LeaseLost) as error:
        log.warning("unit.left_to_sweeper", error_type=type(error).__name__)


async def _count_failure(ctx: JobContext) -> int:
    """Count a failure in Redis, which outlives a database outage. A lost count only allows more retries."""
    if not ctx.unit_id:
        return 1
    try:
        return await ctx.queue.count_failure(ctx.unit_id)
    except errors.QueueUnavailableError:
        return 1


async def _clear_failures(ctx: JobContext) -> None:
    if ctx.unit_id:
        try:
            await ctx.queue.clear_failures(ctx.unit_id)
        except errors.QueueUnavailableError:
            log.debug("queue.unavailable")
