"""Spans of a URL and of its requests, named by OpenTelemetry's semantic conventions for HTTP where those have a name.

No trace header is sent: origins are strangers.
"""

from collections.abc import Callable, Coroutine
from typing import Any

import errors
from downloader.models import Deferred, FetchFailed, FetchRequest, Outcome
from downloader.url_guard import Target
from logging_setup import spans

__all__ = ["add_wait", "request_span", "set_status", "traced_fetch"]


def traced_fetch(request: FetchRequest, fetch: Callable[[], Coroutine[Any, Any, Outcome]]) -> Coroutine[Any, Any, Outcome]:
    """Fetch inside a span that covers all attempts of the URL and the waits between them."""
    return _traced(request, fetch) if spans.is_on() else fetch()


async def _traced(request: FetchRequest, fetch: Callable[[], Coroutine[Any, Any, Outcome]]) -> Outcome:
    where: dict[str, Any] = {"url.full": errors.without_secrets(request.url)}
    with spans.span("fetch", share_by=request.url, **where) as span:
        outcome = await fetch()
        span.set(attempts=request.attempts_made + len(outcome.attempts))
        if isinstance(outcome, FetchFailed):
            span.set(outcome="failed", reason=outcome.reason.value, **{"error.type": outcome.error})
        elif isinstance(outcome, Deferred):
            span.set(outcome="deferred", reason=outcome.reason.value)
        else:
            span.set(outcome="ok", size_bytes=len(outcome.body))
        return outcome


def request_span(method: str, target: Target, *, sent: int, queued_s: float) -> spans.Span:
    """Return the span of one request.

    Args:
        sent: requests sent for the same URL before: redirects, and earlier attempts.
        queued_s: seconds it has waited for a slot at its host.
    """
    if not spans.is_on():
        return spans.NOTHING
    attributes: dict[str, Any] = {
        "http.request.method": method,
        "http.request.resend_count": sent or None,
        "server.address": target.host,
        "server.port": target.port,
        "url.full": errors.without_secrets(target.url),
        "url.scheme": target.scheme,
    }
    return spans.span(method, kind="client", queued_s=round(queued_s, 3), **attributes)


def set_status(status: int) -> None:
    """Set the status of the reply on the current request's span."""
    spans.current().set(**{"http.response.status_code": status})


def add_wait(wait_s: float, cause: str) -> None:
    """Add the wait before the next attempt to the span around the attempts."""
    spans.current().event("retry.wait", wait_s=round(wait_s, 3), wait_cause=cause)
