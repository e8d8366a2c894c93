"""THE job mechanism. Every job function is decorated with :func:`job`; none has a try/except or a retry of its own.

=============================================  ==========================================================================
What escapes from a job                        What happens
=============================================  ==========================================================================
MemoryError, DatabaseConnectionError           the unit is released for 60 s, arq's ``Retry`` redelivers it, up to 3 times
… a fourth time, MemoryError                   the unit is dead, with the error on its row
… a fourth time, DatabaseConnectionError       the delivery ends; the sweeper sends the unit again once the database answers
StorageError, QueueUnavailableError            our own fault: released for 60 s, nothing counted
CancelledError (deploy, shutdown)              released at once, nothing counted
anything else                                  the unit is dead, with the error on its row
=============================================  ==========================================================================
"""

import asyncio
import functools
import gc
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Concatenate, ParamSpec

from arq import Retry

import errors
from app.db import units
from app.domain import TRACED, UnitState
from errors import INFRASTRUCTURE
from logging_setup import get_logger, spans
from workers.counting import Run
from workers.unit import Context, Isolated, Stopped, StopReason, Unclaimed, pass_on

__all__ = ["INFRASTRUCTURE", "JOBS", "job"]

log = get_logger(__name__)

OWN_FAULT_DELAY_S = 60.0
"""Seconds a unit rests after a fault of ours: long enough to free a disk, short enough to notice."""

Ids = ParamSpec("Ids")
JobFunction = Callable[Concatenate[Context, Ids], Awaitable[None]]

JOBS: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {}
"""Every decorated function by its name; the worker registers these."""


def job(*, retry_on: tuple[type[BaseException], ...]) -> Callable[[JobFunction[Ids]], Callable[..., Coroutine[Any, Any, None]]]:
    """Make a function a job: bind the log context, retry ``retry_on`` through arq, and settle the unit whatever happens."""

    def decorate(function: JobFunction[Ids]) -> Callable[..., Coroutine[Any, Any, None]]:
        @functools.wraps(function)
        async def run(ctx: dict[str, Any], *args: Ids.args, **ids: Ids.kwargs) -> None:
            context: Context = ctx["context"].for_run(ctx.get("job_try", 1), str(ids.get("unit_id", "")))
            traced = {name: str(ids.pop(name)) for name in TRACED if name in ids}
            fields = {"job": function.__name__, "run": context.run, "worker": context.worker_id} | ids
            with _span(fields, traced.get("traceparent")) as span, log.contextualize(**fields | traced | dict(span.carried())):
                await _settled(context, functools.partial(function, context, *args, **ids), retry_on)

        run.retry_on = retry_on  # type: ignore[attr-defined]
        JOBS[function.__name__] = run
        return run

    return decorate


def _span(fields: Mapping[str, Any], parent: str | None) -> spans.Span:
    """The span of one run; a cron, which has no unit and comes every few seconds, has none."""
    return spans.span(fields["job"], kind="consumer", parent=parent, **fields) if "unit_id" in fields else spans.NOTHING


async def _settled(ctx: Context, call: functools.partial[Awaitable[None]], retry_on: tuple[type[BaseException], ...]) -> None:
    with Run(call.func.__name__) as run:
        try:
            await call()
        except Unclaimed:
            run.ends("not_claimed")
            log.debug("unit.not_claimed")
        except Isolated:
            run.ends("alone")
            await pass_on(ctx)
        except Stopped as stopped:
            run.ends("stopped")
            await _after_stop(ctx, stopped.reason)
        except units.LeaseLost:
            run.ends("lease_lost")
            log.warning("unit.lease_lost")
        except retry_on as error:
            await _retry_or_give_up(ctx, run, error)
        except (errors.StorageError, errors.QueueUnavailableError) as error:
            run.ends("rested", error)
            await _rest(ctx, error)
        except asyncio.CancelledError:
            run.ends("interrupted")
            log.info("unit.interrupted")
            await asyncio.shield(_release(ctx))
            raise
        except Exception as error:  # noqa: BLE001 - the border: a bug or a permanent error ends the unit, never the worker
            run.ends("dead", error)
            log.opt(exception=error).error("unit.dead", error_type=type(error).__name__, error=str(error))
            await _bury(ctx, error)
        else:
            if ctx.run > 1 or (ctx.work is not None and ctx.work.unit.error):
                await _clear_failures(ctx)


async def _after_stop(ctx: Context, reason: StopReason) -> None:
    log.info("unit.stopped", reason=reason.value)
    spans.current().set(reason=reason.value)
    if reason is StopReason.CANCELLED and ctx.work is not None:
        await _quietly(ctx.work.end_as(UnitState.CANCELLED))


async def _retry_or_give_up(ctx: Context, run: Run, error: BaseException) -> None:
    """The job layer's only retry."""
    settings = ctx.settings.jobs
    if isinstance(error, MemoryError):
        gc.collect()
    failures = await _count_failure(ctx)
    name = type(error).__name__
    if failures <= settings.retries:
        run.ends("retried", error)
        log.warning("job.retry", error_type=name, error=str(error), retry=failures, of=settings.retries, wait_s=settings.retry_delay_s)
        await _release(ctx, delay_s=settings.retry_delay_s, error=f"{name}: {error}")
        raise Retry(defer=settings.retry_delay_s) from error
    run.ends("dead" if isinstance(error, MemoryError) else "exhausted", error)
    log.opt(exception=error).error("job.retries_exhausted", error_type=name, error=str(error), retries=settings.retries)
    if isinstance(error, MemoryError):
        await _bury(ctx, error)
    else:
        await _release(ctx, delay_s=settings.retry_delay_s, error=f"{name}: {error}")
    await _clear_failures(ctx)
    raise error


async def _rest(ctx: Context, error: errors.PictrawlError) -> None:
    log.error("unit.rests", error_type=type(error).__name__, error=str(error), wait_s=OWN_FAULT_DELAY_S)
    if ctx.work is not None and not ctx.work.is_settled:
        await _quietly(ctx.work.release(delay_s=OWN_FAULT_DELAY_S, error=str(error), waiting_for=str(error)))


async def _release(ctx: Context, *, delay_s: float = 0.0, error: str | None = None) -> None:
    if ctx.work is not None and not ctx.work.is_settled:
        await _quietly(ctx.work.release(delay_s=delay_s, error=error))


async def _bury(ctx: Context, error: BaseException) -> None:
    if ctx.work is not None and not ctx.work.is_settled:
        await _quietly(ctx.work.end_as(UnitState.DEAD, f"{type(error).__name__}: {error}"))


async def _quietly(step: Awaitable[None]) -> None:
    """Settle the unit where the database still answers; where not, its lease runs out and the sweeper settles it."""
    try:
        await step
    except (MemoryError, errors.DatabaseConnectionError, errors.StorageError, units.LeaseLost) as error:
        log.warning("unit.left_to_sweeper", error_type=type(error).__name__)


async def _count_failure(ctx: Context) -> int:
    """The count lives in Redis: it must outlive a database that is down, and losing it only adds retries."""
    if not ctx.unit_id:
        return 1
    try:
        return await ctx.queue.count_failure(ctx.unit_id)
    except errors.QueueUnavailableError:
        return 1


async def _clear_failures(ctx: Context) -> None:
    if ctx.unit_id:
        try:
            await ctx.queue.clear_failures(ctx.unit_id)
        except errors.QueueUnavailableError:
            log.debug("queue.unavailable")
