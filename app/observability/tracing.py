"""Tracing: where a trace comes from and goes to, and the set-up of OpenTelemetry's SDK for a process.

Spans are made with the API of OpenTelemetry (``trace.get_tracer(__name__)``), which does nothing until `exporting` installs the SDK.
The SDK and its exporter (extra ``otel``, 0.4 s to import) are imported only where tracing is enabled.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import errors
from app.settings import TraceSettings
from logging_setup import get_logger

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter  # noqa: TID251 - a type only

__all__ = ["FLUSH_S", "carried", "exporting", "parent_context", "traces_url"]

log = get_logger(__name__)

FLUSH_S = 3.0
"""Seconds for the last spans when a process ends: the collector may be away."""

TRACES_PATH = "/v1/traces"
"""Path for traces, unless the endpoint has a path of its own (OTLP 1.0, OTLP/HTTP request)."""

_propagator = TraceContextTextMapPropagator()
_started = False


def parent_context(traceparent: str | None) -> context.Context:
    """Return the context for a span below a span of another process; the current context if there is no valid ``traceparent``."""
    current = context.get_current()
    return _propagator.extract({"traceparent": traceparent}, current) if traceparent else current


def carried(fallback: str | None = None) -> dict[str, str]:
    """Return what a message carries so that its receiver's spans are below the current one: its ``traceparent``, or ``fallback``."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, trace.set_span_in_context(trace.get_current_span(), context.Context()))
    traceparent = carrier.get("traceparent") or fallback
    return {"traceparent": traceparent} if traceparent else {}


@asynccontextmanager
async def exporting(settings: TraceSettings, *, version: str = "", exporter: "SpanExporter | None" = None) -> AsyncIterator[None]:
    """Record spans and export them while the body runs, if the settings say so. Only the outermost call of a process acts.

    Args:
        settings: the section ``trace``.
        version: version of the service.
        exporter: replaces OTLP to the endpoint.

    Raises:
        errors.ConfigurationError: the extra is not installed, or a standard OTEL_ variable has an unusable value.
    """
    global _started
    if not settings.enabled or _started:
        yield
        return
    stop = _start(settings, version, exporter)
    _started = True
    try:
        yield
    finally:
        _started = False
        await asyncio.shield(_flush(stop))


def _start(settings: TraceSettings, version: str, exporter: "SpanExporter | None") -> Callable[[], None]:
    try:
        from app.observability import tracing_sdk
    except ImportError as error:
        raise errors.ConfigurationError(f"trace.enabled needs {error.name}; install pictrawl[otel], or set it to false") from error
    try:
        sender = exporter or tracing_sdk.otlp_exporter(traces_url(settings.endpoint))
        return tracing_sdk.start(sender, settings, version)
    except (ValueError, RuntimeError, OSError) as error:  # from OTEL_ variables
        raise errors.ConfigurationError(f"trace.enabled: OpenTelemetry cannot be set up: {error}") from error


def traces_url(endpoint: str) -> str | None:
    """Return the URL for spans. An endpoint without a path is a collector's root; without an endpoint OTEL_EXPORTER_OTLP_* decide."""
    if not endpoint:
        return None
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + TRACES_PATH


async def _flush(stop: Callable[[], None]) -> None:
    """Stop in a daemon thread that nobody joins: the SDK itself waits up to 30 s, and a thread of an executor would block the exit."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        stop()
        try:
            loop.call_soon_threadsafe(stopped.set)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    threading.Thread(target=run, name="trace-flush", daemon=True).start()
    try:
        async with asyncio.timeout(FLUSH_S):
            await stopped.wait()
    except TimeoutError:
        log.warning("trace.not_flushed", wait_s=FLUSH_S)
