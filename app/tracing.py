"""OpenTelemetry behind the seam of :mod:`logging_setup.spans`: provider, sampler, exporter. Imported SDK and all only where it is enabled.

The provider is ours alone, never the process's global one: other libraries that look for that one stay silent.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import errors
from app.settings import TraceSettings
from logging_setup import get_logger, spans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["FLUSH_S", "started"]

log = get_logger(__name__)

FLUSH_S = 3.0
"""Seconds that a process which ends gives its last spans; the collector may be away, and whoever ends it waits."""

TRACES_PATH = "/v1/traces"
"""Where a collector takes traces, unless the endpoint names a path of its own (OTLP 1.0, OTLP/HTTP request)."""


@asynccontextmanager
async def started(settings: TraceSettings, *, version: str = "", exporter: "SpanExporter | None" = None) -> AsyncIterator[None]:
    """Make spans for the body's time and send them, where the settings say so; the outermost call of a process does it.

    Args:
        exporter: instead of OTLP to the endpoint.

    Raises:
        errors.ConfigurationError: the extra is not installed, or a standard OTEL_ variable has a value that cannot be used.
    """
    if not settings.enabled or spans.is_on():
        yield
        return
    provider, tracer = _build(settings, version, exporter)
    spans.install(tracer)
    try:
        yield
    finally:
        spans.install(None)
        await asyncio.shield(_flushed(provider))


def _build(settings: TraceSettings, version: str, exporter: "SpanExporter | None") -> "tuple[TracerProvider, spans.Tracer]":
    try:
        from app.tracing_sdk import SdkTracer, make_provider, otlp_exporter
    except ImportError as error:
        raise errors.ConfigurationError(f"trace.enabled needs {error.name}; install pictrawl[otel], or set it to false") from error
    try:
        sender = exporter or otlp_exporter(traces_url(settings.endpoint))
        provider = make_provider(sender, settings.service_name, version, settings.sample_ratio)
    except (ValueError, RuntimeError, OSError) as error:  # of OTEL_ variables
        raise errors.ConfigurationError(f"trace.enabled: OpenTelemetry cannot be set up: {error}") from error
    return provider, SdkTracer(provider.get_tracer("pictrawl", version), settings.url_ratio)


def traces_url(endpoint: str) -> str | None:
    """Where spans go: an endpoint without a path is a collector's root; no endpoint leaves it to OTEL_EXPORTER_OTLP_*."""
    if not endpoint:
        return None
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + TRACES_PATH


async def _flushed(provider: "TracerProvider") -> None:
    """In a thread that nobody has to wait for: the SDK's own limit is 30 s, and an executor's thread would hold the process."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def flush() -> None:
        provider.shutdown()
        _told(loop, done)

    threading.Thread(target=flush, name="trace-flush", daemon=True).start()
    try:
        async with asyncio.timeout(FLUSH_S):
            await done.wait()
    except TimeoutError:
        log.warning("trace.not_flushed", wait_s=FLUSH_S)


def _told(loop: asyncio.AbstractEventLoop, done: asyncio.Event) -> Any:
    try:
        loop.call_soon_threadsafe(done.set)
    except RuntimeError:  # the loop is closed: nobody waits any more
        return
