"""What the spans of a URL and of its requests say; names are those of OpenTelemetry's semantic conventions for HTTP where it has any.

No header goes out for them: an origin is a stranger, and is told nothing of our traces.
"""

from collections.abc import Callable, Coroutine
from typing import Any

import errors
from downloader.guard import Target
from downloader.records import Deferred, FetchFailed, FetchRequest, Outcome
from logging_setup import spans

__all__ = ["answered", "request_span", "told", "waits"]


def told(request: FetchRequest, fetch: Callable[[], Coroutine[Any, Any, Outcome]]) -> Coroutine[Any, Any, Outcome]:
    """Fetch inside a span: all attempts of one URL, with the waits between them and what it came to."""
    return _told(request, fetch) if spans.is_on() else fetch()


async def _told(request: FetchRequest, fetch: Callable[[], Coroutine[Any, Any, Outcome]]) -> Outcome:
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
    """The span of one request that is about to go out.

    Args:
        sent: requests that went out for the same URL before: redirects, and earlier attempts.
        queued_s: seconds it has waited for a place at its host.
    """
    if not spans.is_on():
        return spans.NOTHING
    told: dict[str, Any] = {
        "http.request.method": method,
        "http.request.resend_count": sent or None,
        "server.address": target.host,
        "server.port": target.port,
        "url.full": errors.without_secrets(target.url),
        "url.scheme": target.scheme,
    }
    return spans.span(method, kind="client", queued_s=round(queued_s, 3), **told)


def answered(status: int) -> None:
    """Put a reply's status on the request's span."""
    spans.current().set(**{"http.response.status_code": status})


def waits(wait_s: float, cause: str) -> None:
    """Put a wait before the next attempt on the span around the attempts."""
    spans.current().event("retry.wait", wait_s=round(wait_s, 3), wait_cause=cause)
