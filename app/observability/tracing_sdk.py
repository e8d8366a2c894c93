"""OpenTelemetry's SDK: provider, samplers and exporter. The only module that imports it, and imported only where tracing is enabled."""

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_SERVICE_NAME
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, Status, TraceState
from opentelemetry.util.types import Attributes

from app.settings import TraceSettings
from downloader.tracing import SAMPLE_BY
from logging_setup import get_logger, redact
from logging_setup.redact import redact_value

__all__ = ["otlp_exporter", "start"]

log = get_logger(__name__)

_EXCEPTION_FIELDS: Final = ("exception.type", "exception.message")
"""What is exported of an exception. Its stack trace is in the log; there it is redacted line by line."""


def otlp_exporter(url: str | None) -> SpanExporter:
    """OTLP over HTTP. Headers, certificates, compression, timeout, and the URL if none is given, come from OTEL_EXPORTER_OTLP_*."""
    return OTLPSpanExporter(endpoint=url)


def start(exporter: SpanExporter, settings: TraceSettings, version: str) -> Callable[[], None]:
    """Record and export spans from now on; return the function that stops it and exports the rest.

    Spans are exported by a thread from a bounded queue (OTEL_BSP_*). A span that finds it full is lost.
    """
    name = settings.service_name or os.environ.get(OTEL_SERVICE_NAME) or "pictrawl"
    ratio = settings.sample_ratio
    base = TracerProvider(shutdown_on_exit=False).sampler if ratio is None else ParentBased(TraceIdRatioBased(ratio))
    resource = Resource.create({SERVICE_NAME: name, SERVICE_VERSION: version})
    provider = TracerProvider(UrlSampler(base, settings.url_ratio), resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_SafeExporter(exporter)))
    if trace.get_tracer_provider() is not _global_provider:
        trace.set_tracer_provider(_global_provider)
    _global_provider.current = provider

    def stop() -> None:
        _global_provider.current = _OFF
        provider.shutdown()

    return stop


class UrlSampler(Sampler):
    """The sampler of the settings, and a ratio of its own for the spans of URLs: a job is one trace with very many of them.

    The same URL is always in or always out. Spans below an unsampled one are not sampled either, because the base is parent-based.
    """

    def __init__(self, base: Sampler, url_ratio: float) -> None:
        self._base, self._url_ratio = base, url_ratio

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide, and remove the URL to sample by from the attributes: it has its query."""
        rest = dict(attributes or {})
        url = rest.pop(SAMPLE_BY, None)
        sampler = self._base if url is None or _is_in_share(str(url), self._url_ratio) else ALWAYS_OFF
        return sampler.should_sample(parent_context, trace_id, name, kind, rest, links, trace_state)

    def get_description(self) -> str:
        """For the SDK's own texts."""
        return f"UrlSampler({self._base.get_description()}, {self._url_ratio})"


def _is_in_share(text: str, share: float) -> bool:
    return share >= 1 or zlib.crc32(text.encode("utf-8", "replace")) < share * 2**32


_OFF: Final = trace.NoOpTracerProvider()


class _GlobalProvider(trace.TracerProvider):
    """The global provider, which can be set once per process. It passes on to the provider of the current start, or to none."""

    def __init__(self) -> None:
        self.current: trace.TracerProvider = _OFF

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> trace.Tracer:
        """Return a tracer that follows `current`."""
        return _GlobalTracer(self, instrumenting_module_name)


class _GlobalTracer(trace.Tracer):
    def __init__(self, provider: _GlobalProvider, name: str) -> None:
        self._provider, self._name = provider, name
        self._source: trace.TracerProvider = _OFF
        self._tracer: trace.Tracer = trace.NoOpTracer()

    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        return self._current().start_span(*args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        return self._current().start_as_current_span(*args, **kwargs)

    def _current(self) -> trace.Tracer:
        if self._source is not self._provider.current:
            self._source = self._provider.current
            self._tracer = self._source.get_tracer(self._name)
        return self._tracer


_global_provider = _GlobalProvider()


class _SafeExporter(SpanExporter):
    """Redacts spans before another exporter sends them, and logs a failure once until exports work again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export([_redacted(span) for span in spans])
        if result is not SpanExportResult.SUCCESS:
            if not self._lost:
                log.warning("trace.not_exported", spans=len(spans))
            self._lost += len(spans)
        elif self._lost:
            log.info("trace.exported_again", lost=self._lost)
            self._lost = 0
        return result

    def shutdown(self) -> None:
        if self._lost:
            log.warning("trace.lost", lost=self._lost)
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _redacted(span: ReadableSpan) -> ReadableSpan:
    """Return the span with attributes redacted like the fields of a log line, and with ``error.type`` if an exception was recorded."""
    events = [_redacted_event(event) for event in span.events]
    failure = next((event.attributes for event in events if event.name == "exception"), None) or {}
    attributes = {"error.type": failure["exception.type"]} if failure.get("exception.type") else {}
    description = span.status.description
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes | _redacted_attributes(span.attributes),
        events=events,
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code, redact(description)) if description else span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _redacted_event(event: Event) -> Event:
    attributes = dict(event.attributes or {})
    if event.name == "exception":
        attributes = {name: attributes[name] for name in _EXCEPTION_FIELDS if name in attributes}
        attributes["exception.type"] = str(attributes.get("exception.type", "")).rpartition(".")[2]
    return Event(event.name, _redacted_attributes(attributes), event.timestamp)


def _redacted_attributes(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: redact_value(name, value) for name, value in (attributes or {}).items()}
