"""The result of a request as the values that callers get."""

import hashlib

import errors
from downloader import conditional, content, foreign
from downloader.fetch_state import FetchState
from downloader.models import (
    Fetched,
    FetchFailed,
    NotModified,
)
from downloader.request import Reply

__all__ = ["describe_no_json", "failed_result", "fetched_result", "not_modified_result"]


def describe_no_json(url: str, reply: Reply) -> str:
    """Say what came in the place of JSON, and from where."""
    asked, answered = errors.without_secrets(url), errors.without_secrets(reply.url)
    found = foreign.describe(reply.body[: foreign.HEAD_BYTES]) or f"{len(reply.body)} bytes"
    words = "JSON that is cut off or broken" if found == "JSON" else f"{found}, no JSON"
    return f"{asked} answered with {words}{f', after a redirect to {answered}' if answered != asked else ''}"


def fetched_result(state: FetchState, reply: Reply) -> Fetched:
    """Return the result of a request that brought bytes."""
    return Fetched(
        request=state.request,
        body=reply.body,
        sha256=hashlib.sha256(reply.body).hexdigest(),
        media_type=content.sniff(reply.body[:64]) or "",
        status=reply.status,
        final_url=reply.url,
        attempts=state.attempts,
        headers=reply.headers,
        decisions=state.decisions(),
        validators=conditional.validators_of(reply.headers, reply.url),
    )


def not_modified_result(state: FetchState, reply: Reply) -> NotModified:
    """Return the result of a conditional request that the origin answered with 304."""
    return NotModified(
        request=state.request, status=reply.status, final_url=reply.url, attempts=state.attempts, decisions=state.decisions()
    )


def failed_result(state: FetchState, error: errors.PictrawlError) -> FetchFailed:
    """Return the result of a request that failed."""
    return FetchFailed(
        request=state.request,
        reason=error.slug,
        error=type(error).__name__,
        message=error.message,
        attempts=state.attempts,
        status=error.status if error.status is not None else state.status,
        final_url=state.url,
        retry_after_s=error.retry_after_s,
        evidence=error.evidence,
        decisions=state.decisions(),
    )
