"""Where spans go in tests: a collector that takes OTLP over HTTP on loopback, hangs or refuses; or this process's memory."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.observability.tracing import exporting
from app.settings import TraceSettings

__all__ = ["Receiver", "Told", "receiving", "recording"]


@dataclass(frozen=True, slots=True)
class Told:
    """One span as it came over the wire."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    is_error: bool
    message: str
    attributes: Mapping[str, Any]
    events: tuple[tuple[str, Mapping[str, Any]], ...]
    service: str


@dataclass(slots=True)
class Receiver:
    """What has come, and how it is answered.

    Attributes:
        hold: while it is not set, no request gets its answer.
    """

    url: str
    status: int = 200
    spans: list[Told] = field(default_factory=list)
    requests: int = 0
    bodies: list[bytes] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)

    def named(self, name: str) -> list[Told]:
        """Spans of one name, in the order in which they came."""
        return [span for span in self.spans if span.name == name]

    def take(self, body: bytes) -> None:
        """Decode one request."""
        self.requests += 1
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = str(_values(resource.resource.attributes).get("service.name"))
            self.spans += [_told(span, service) for scope in resource.scope_spans for span in scope.spans]


def _told(span: Any, service: str) -> Told:
    return Told(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.kind,
        span.status.code == 2,
        span.status.message,
        _values(span.attributes),
        tuple((event.name, _values(event.attributes)) for event in span.events),
        service,
    )


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def receiving(*, status: int = 200, hangs: bool = False) -> Iterator[Receiver]:
    """A collector on a free port."""
    receiver = Receiver("", status)
    if not hangs:
        receiver.hold.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.hold.wait(60)
            if receiver.status == 200 and self.path == "/v1/traces":
                receiver.take(body)
            else:
                receiver.requests += 1
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield receiver
    finally:
        receiver.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()


@asynccontextmanager
async def recording(**settings: Any) -> AsyncIterator[Callable[[], list[ReadableSpan]]]:
    """Tracing on in this process for the body's time; afterwards, what was recorded, in the order in which it began."""
    exporter = InMemorySpanExporter()
    async with exporting(TraceSettings(enabled=True, **settings), exporter=exporter):
        yield lambda: sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
