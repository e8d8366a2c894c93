"""What a URL's run comes to: its trail, with a reply, an error or a deferral, as one of the three outcomes."""

import hashlib

import errors
from downloader import formats
from downloader.attempt import Reply
from downloader.decisions import RobotsVerdict
from downloader.records import Deferred, Fetched, FetchFailed
from downloader.trail import Trail
from downloader.visits import Deferral
from errors import Reason

__all__ = ["closed", "failed", "fetched", "put_off"]


def fetched(trail: Trail, reply: Reply) -> Fetched:
    """The bytes are here."""
    return Fetched(
        request=trail.request,
        body=reply.body,
        sha256=hashlib.sha256(reply.body).hexdigest(),
        media_type=formats.sniff(reply.body[:64]) or "",
        status=reply.status,
        final_url=reply.url,
        attempts=trail.attempts,
        headers=reply.headers,
        decisions=trail.manners.decisions(),
    )


def failed(trail: Trail, error: errors.PictrawlError) -> FetchFailed:
    """For good."""
    return FetchFailed(
        request=trail.request,
        reason=error.slug,
        error=type(error).__name__,
        message=error.message,
        attempts=trail.attempts,
        status=error.status if error.status is not None else trail.errand.status,
        final_url=trail.errand.url,
        retry_after_s=error.retry_after_s,
        evidence=error.evidence,
        decisions=trail.manners.decisions(),
    )


def put_off(trail: Trail, error: errors.PictrawlError, reason: Reason, until: float) -> Deferred:
    """Not now, after a request that failed."""
    return Deferred(
        request=trail.request,
        until=until,
        reason=reason,
        attempts=trail.attempts,
        status=error.status,
        retry_after_s=error.retry_after_s,
        decisions=trail.manners.decisions(),
    )


def closed(trail: Trail, why: Deferral) -> Deferred:
    """Not now: the host may not be asked."""
    decided = trail.manners.decisions()
    return Deferred(
        request=trail.request,
        until=why.until,
        reason=why.reason,
        attempts=trail.attempts,
        status=trail.errand.status,
        retry_after_s=why.retry_after_s,
        evidence=decided.hops[-1].evidence if decided.robots is RobotsVerdict.UNREACHABLE else None,
        decisions=decided,
    )
