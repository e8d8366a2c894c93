"""Spans of a URL and of its requests, named by OpenTelemetry's semantic conventions for HTTP where those have a name.

No trace header is sent: origins are strangers.
"""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import SpanKind

import errors
from downloader.models import Deferred, FetchFailed, FetchRequest, NotModified, Outcome
from downloader.url_guard import Target

__all__ = ["SAMPLE_BY", "add_wait", "request_span", "set_status", "traced_fetch"]

tracer = trace.get_tracer(__name__)

SAMPLE_BY: Final = "pictrawl.sample_by"
"""Attribute that holds the whole URL when its span starts. The sampler decides by it and removes it."""


async def traced_fetch(request: FetchRequest, fetch: Callable[[], Coroutine[Any, Any, Outcome]]) -> Outcome:
    """Fetch inside a span that covers all attempts of the URL and the waits between them."""
    with tracer.start_as_current_span("fetch", attributes={SAMPLE_BY: request.url}) as span:
        outcome = await fetch()
        if span.is_recording():
            span.set_attributes({"url.full": errors.without_secrets(request.url), **_attributes_of(request, outcome)})
        return outcome


def _attributes_of(request: FetchRequest, outcome: Outcome) -> dict[str, str | int]:
    attempts: dict[str, str | int] = {"attempts": request.attempts_made + len(outcome.attempts)}
    if isinstance(outcome, FetchFailed):
        return attempts | {"outcome": "failed", "reason": outcome.reason.value, "error.type": outcome.error}
    if isinstance(outcome, Deferred):
        return attempts | {"outcome": "deferred", "reason": outcome.reason.value}
    if isinstance(outcome, NotModified):
        return attempts | {"outcome": "not_modified"}
    return attempts | {"outcome": "ok", "size_bytes": len(outcome.body)}


@contextmanager
def request_span(method: str, target: Target, *, sent: int, queued_s: float) -> Iterator[None]:
    """The span of one request.

    Args:
        method: the HTTP method.
        target: the URL and its host.
        sent: requests sent for the same URL before: redirects, and earlier attempts.
        queued_s: seconds it has waited for a slot at its host.
    """
    with tracer.start_as_current_span(method, kind=SpanKind.CLIENT) as span:
        if span.is_recording():
            span.set_attributes(
                {
                    "http.request.method": method,
                    "server.address": target.host,
                    "server.port": target.port,
                    "url.full": errors.without_secrets(target.url),
                    "url.scheme": target.scheme,
                    "queued_s": round(queued_s, 3),
                }
            )
            if sent:
                span.set_attribute("http.request.resend_count", sent)
        yield


def set_status(status: int) -> None:
    """Set the status of the reply on the current request's span."""
    trace.get_current_span().set_attribute("http.response.status_code", status)


def add_wait(wait_s: float, cause: str) -> None:
    """Add the wait before the next attempt to the span around the attempts."""
    trace.get_current_span().add_event("retry.wait", {"wait_s": round(wait_s, 3), "wait_cause": cause})
