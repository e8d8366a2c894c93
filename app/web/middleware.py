"""Middleware of every request: request id, log line, metrics, body limit, and a 500 problem for a bug."""

import re
import time
from collections.abc import MutableMapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import errors
from app.db import new_id
from app.observability import tracing
from app.web.api import problems
from app.web.metrics import Metrics
from logging_setup import get_logger

__all__ = ["BodyLimit", "Frame"]

log = get_logger(__name__)
tracer = trace.get_tracer(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context 3.2.2, version 00's four fields; later versions may append more, which is left out."""

QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines: their lines are DEBUG."""

QUIET_ROUTES = frozenset({"/v1/images/{image_id}/thumbnail"})
"""Asked hundreds of times by one page. Their lines are DEBUG too, unless something is wrong, and so are those of parts of pages that their
scripts load again and again."""

CLIENT_LEFT = 499
"""Status in logs and figures of a request whose client left before the answer (as nginx counts it)."""


class Frame:
    """The outermost layer: request id, log context, one log line, metrics, and the 500 for an exception that nothing handled."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope = dict(scope)  # the server keeps its own scope, in which the method stays HEAD
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        headers = Headers(scope=scope)
        state["request_id"] = request_id_of(headers)
        caller = traceparent_of(headers)
        exchange = Exchange(scope, send)
        began = time.perf_counter()
        with _span(scope, caller.get("traceparent")) as span:
            traced = {**caller, **tracing.carried()}
            state.update(traced)
            with log.contextualize(request_id=state["request_id"], **traced):
                try:
                    await self._answer(exchange, receive)
                finally:
                    self._note(exchange, time.perf_counter() - began)
                    _finish(span, exchange)

    async def _answer(self, exchange: "Exchange", receive: Receive) -> None:
        scope = exchange.scope
        if scope["method"] == "HEAD":  # RFC 9110 9.3.2: the headers of a GET; routes that stream look at the flag and stop there
            scope["state"]["is_head"] = True
            scope["method"] = "GET"
        try:
            await self.app(scope, receive, exchange.send)
        except Exception as error:  # noqa: BLE001 - the border: a bug fails one request; its message goes to the log only
            if exchange.status is not None and isinstance(error.__cause__, errors.PictrawlError):  # Starlette's, of a handled error
                cause = error.__cause__
                log.error("http.broken_off", error_type=type(cause).__name__, error=cause.message)  # the server closes the connection
                return
            log.opt(exception=error).error("http.failed", error_type=type(error).__name__)
            if exchange.status is None:
                refusal = problems.Refusal("internal", "The log has the cause under this request_id.")
                await problems.respond(scope, refusal)(scope, receive, exchange.send)

    def _note(self, exchange: "Exchange", seconds: float) -> None:
        scope, status = exchange.scope, exchange.status or CLIENT_LEFT
        route = _route_of(scope)
        self.metrics.note_request(exchange.method, route, status, seconds, is_stream=exchange.is_stream)
        if not exchange.is_stream:
            is_part = exchange.method == "GET" and "hx-request" in Headers(scope=scope)
            is_quiet = scope["path"] in QUIET_PATHS or ((is_part or route in QUIET_ROUTES) and status < 500)
            level = "DEBUG" if is_quiet else "INFO"
            fields = {"user_id": scope["state"].get("user_id"), "method": exchange.method, "route": route, "status": status}
            log.bind(**fields).log(level, "http.request", duration_ms=round(seconds * 1000, 1))


def _route_of(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", None) or "unmatched"


def _span(scope: Scope, traceparent: str | None) -> AbstractContextManager[Span]:
    """The span of the request, with the attribute names of OpenTelemetry and without the query. Health checks and scrapes have none."""
    if scope["path"] in QUIET_PATHS:
        return nullcontext(trace.INVALID_SPAN)
    attributes = {"http.request.method": scope["method"], "url.path": scope["path"], "url.scheme": scope.get("scheme", "http")}
    attributes["request_id"] = scope["state"]["request_id"]
    return tracer.start_as_current_span(scope["method"], tracing.parent_context(traceparent), SpanKind.SERVER, attributes)


def _finish(span: Span, exchange: "Exchange") -> None:
    route, status = _route_of(exchange.scope), exchange.status or CLIENT_LEFT
    span.update_name(f"{exchange.method} {route}")
    span.set_attributes({"http.route": route, "http.response.status_code": status})
    if status >= 500:
        span.set_attribute("error.type", str(status))
    if user_id := exchange.scope["state"].get("user_id"):
        span.set_attribute("user_id", user_id)


class Exchange:
    """Records the status of a response and adds the headers of every response."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.status: int | None = None
        self.is_stream = False
        self._send = send

    async def send(self, message: Message) -> None:
        """Forward an ASGI message."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.scope["state"]["request_id"]
            headers.setdefault("X-Content-Type-Options", "nosniff")
            headers.setdefault("Cache-Control", "no-store")
            self.is_stream = headers.get("content-type", "").startswith("text/event-stream")
        await self._send(message)


def request_id_of(headers: Headers) -> str:
    """Return the client's X-Request-ID where it is valid in a log line and a header, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else new_id("req")


def traceparent_of(headers: Headers) -> dict[str, str]:
    """Return the caller's traceparent as a log field; empty where there is none, several, or a malformed one."""
    given = headers.getlist("traceparent")
    found = _TRACEPARENT.match(given[0]) if len(given) == 1 else None
    if found is None or given[0][found.end() :][:1] not in ("", "-") or (given[0].startswith("00") and found.end() != len(given[0])):
        return {}
    return {"traceparent": found.group()}


_LONGER = "compress a list (.gz, .zst), or run pictrawl build --urls FILE, which takes one of any length."


class BodyLimit:
    """Refuses a body above the limit, at once where its length is announced, else while it is read."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdecimal() and int(announced[:20]) > self.max_bytes:
            await problems.respond(scope, self._refusal())(scope, receive, send)
            return
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.max_bytes:
                raise self._refusal()
            return message

        await self.app(scope, limited, send)

    def _refusal(self) -> problems.Refusal:
        return problems.Refusal(
            "payload-too-large",
            f"A body may have {self.max_bytes:,} bytes at most (serve.max_body_bytes); {_LONGER}",
            headers={"Connection": "close"},
        )
