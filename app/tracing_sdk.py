"""Spans of OpenTelemetry's SDK. The only module that imports it; itself imported only where tracing is enabled."""

import os
import zlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_SERVICE_NAME
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from logging_setup import get_logger, redact, spans
from logging_setup.redact import redact_value

__all__ = ["SdkTracer", "make_provider", "otlp_exporter"]

log = get_logger(__name__)

_KINDS: Final = {name: trace.SpanKind[name.upper()] for name in ("internal", "server", "client", "producer", "consumer")}
_LEFT_OUT: Final = contexts.create_key("pictrawl-left-out")
_UNSET: Final = trace.Status()
_PROPAGATOR: Final = TraceContextTextMapPropagator()


def otlp_exporter(url: str | None) -> SpanExporter:
    """OTLP over HTTP. Headers, certificates, compression, timeout, and the URL where none is given, are those of OTEL_EXPORTER_OTLP_*."""
    return OTLPSpanExporter(endpoint=url)


def make_provider(exporter: SpanExporter, service_name: str, version: str, ratio: float | None) -> TracerProvider:
    """A provider that sends from a thread of its own, out of a bounded queue (OTEL_BSP_*): spans that find it full are lost.

    Args:
        ratio: share of the traces begun here; those of a caller are as the caller decided. None leaves it to OTEL_TRACES_SAMPLER.
    """
    name = service_name or os.environ.get(OTEL_SERVICE_NAME) or "pictrawl"
    resource = Resource.create({SERVICE_NAME: name, SERVICE_VERSION: version})
    sampler = None if ratio is None else ParentBased(TraceIdRatioBased(ratio))
    provider = TracerProvider(sampler, resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_Told(exporter)))
    return provider


class _Told(SpanExporter):
    """Another exporter whose failures are one line, and whose recovery is one more: the SDK's own are several for each batch."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
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


class SdkTracer:
    """A :class:`logging_setup.spans.Tracer` over an SDK's one.

    Args:
        share: of the spans that are one of very many.
    """

    def __init__(self, tracer: trace.Tracer, share: float) -> None:
        self._tracer = tracer
        self._share = share

    def span(self, name: str, kind: spans.Kind, parent: str | None, share_by: str | None, attributes: Mapping[str, Any]) -> spans.Span:
        """A span below ``parent``, or else below the current one; below one that the sampler left out there is none."""
        here = contexts.get_current()
        if _LEFT_OUT in here:
            return spans.NOTHING
        if share_by is not None and not _is_in_share(share_by, self._share):
            return _LeftOut()
        if not parent and _is_dropped(here):
            return spans.NOTHING
        if parent:
            here = _PROPAGATOR.extract({"traceparent": parent}, here)
        return _Entered(self._tracer, name, kind, here, _clean(attributes))

    def current(self) -> spans.Span:
        """The current one, whoever began it."""
        here = contexts.get_current()
        if _LEFT_OUT in here:
            return spans.NOTHING
        found = trace.get_current_span(here)
        return _Recorded(found) if found.get_span_context().is_valid else spans.NOTHING


class _Recorded(spans.Span):
    """A span of the SDK's."""

    __slots__ = ("_span",)

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, **attributes: Any) -> None:
        if self._span.is_recording():
            self._span.set_attributes(_clean(attributes))

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def event(self, name: str, **attributes: Any) -> None:
        if self._span.is_recording():
            self._span.add_event(name, _clean(attributes))

    def fail(self, error: BaseException) -> None:
        """The first error told stays. Without its traceback, which the log has: it would hold the texts of all errors before this one."""
        if not self._span.is_recording() or getattr(self._span, "status", _UNSET).status_code is trace.StatusCode.ERROR:
            return
        name, message = type(error).__name__, redact(str(error))
        self._span.set_attribute("error.type", name)
        self._span.set_status(trace.StatusCode.ERROR, message)
        self._span.add_event("exception", {"exception.type": name, "exception.message": message})

    def carried(self) -> Mapping[str, str]:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, trace.set_span_in_context(self._span, contexts.Context()))
        carrier.pop("tracestate", None)
        return carrier


class _Entered(_Recorded):
    """A span that begins and ends with a ``with`` block; an exception that leaves it is what it failed of."""

    __slots__ = ("_attributes", "_here", "_kind", "_name", "_token", "_tracer")

    def __init__(self, tracer: trace.Tracer, name: str, kind: spans.Kind, here: contexts.Context, attributes: dict[str, Any]) -> None:
        self._tracer, self._name, self._kind, self._here, self._attributes = tracer, name, kind, here, attributes

    def __enter__(self) -> Self:
        self._span = self._tracer.start_span(self._name, self._here, _KINDS[self._kind], self._attributes)
        self._token = contexts.attach(trace.set_span_in_context(self._span, self._here))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        contexts.detach(self._token)
        if isinstance(error, Exception):  # a cancellation is no failure
            self.fail(error)
        self._span.end()


class _LeftOut(spans.Span):
    """Nothing is recorded inside."""

    __slots__ = ("_token",)

    def __enter__(self) -> Self:
        self._token = contexts.attach(contexts.set_value(_LEFT_OUT, True))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        contexts.detach(self._token)


def _is_dropped(here: contexts.Context) -> bool:
    span = trace.get_current_span(here)
    return not span.is_recording() and span.get_span_context().is_valid


def _is_in_share(text: str, share: float) -> bool:
    return share >= 1 or zlib.crc32(text.encode("utf-8", "replace")) < share * 2**32


def _clean(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as a log line's fields are, in the types that OpenTelemetry knows."""
    return {name: _plain(redact_value(name, value)) for name, value in attributes.items() if value is not None}


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)
