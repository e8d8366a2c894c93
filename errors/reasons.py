"""The closed list of reasons why an image is not in a dataset, and the evidence text stored with a reason.

The slugs are contract: rows, API, CLI and metrics use them.
"""

from enum import StrEnum
from typing import Final

__all__ = ["EVIDENCE_CHARS", "Reason", "as_evidence"]

EVIDENCE_CHARS: Final = 300
"""Maximum length of evidence: enough for a header line, or a robots.txt rule with its line number."""


class Reason(StrEnum):
    """Why one image was not kept. A slug never changes its meaning; new ones may be added."""

    # answers of the origin
    HTTP_400 = "http_400"
    HTTP_401 = "http_401"
    HTTP_403 = "http_403"
    HTTP_404 = "http_404"
    HTTP_410 = "http_410"
    HTTP_451 = "http_451"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    RATE_LIMITED = "rate_limited"
    SERVICE_UNAVAILABLE = "service_unavailable"
    RETRY_AFTER_OVER_CAP = "retry_after_over_cap"
    # connecting to the origin
    TIMEOUT = "timeout"
    NETWORK = "network"
    TRUNCATED_BODY = "truncated_body"
    DNS_NOT_FOUND = "dns_not_found"
    TLS = "tls"
    HOST_UNAVAILABLE = "host_unavailable"
    RETRY_BUDGET = "retry_budget"
    INTERRUPTED = "interrupted"
    # refused by our rules or the site's
    BLOCKED_ADDRESS = "blocked_address"
    PROXY_REFUSED = "proxy_refused"
    INVALID_URL = "invalid_url"
    REDIRECT = "redirect"
    TOO_LARGE = "too_large"
    EMPTY_BODY = "empty_body"
    PROTOCOL = "protocol"
    NOT_AN_IMAGE = "not_an_image"
    ROBOTS = "robots"
    OPT_OUT = "opt_out"
    CONTACT_REQUIRED = "contact_required"
    # reading a folder
    UNREADABLE = "unreadable"
    # found by validation
    POISON = "poison"
    CORRUPT = "corrupt"
    DECODER_CRASH = "decoder_crash"
    TOO_SMALL = "too_small"
    TOO_MANY_PIXELS = "too_many_pixels"
    ASPECT = "aspect"
    LOW_INFORMATION = "low_information"
    BLURRY = "blurry"
    EXPOSURE = "exposure"
    ANIMATED = "animated"
    FORMAT = "format"
    # decided over the whole dataset
    DUPLICATE_EXACT = "duplicate_exact"
    DUPLICATE_NEAR = "duplicate_near"
    LABEL_CONFLICT = "label_conflict"
    PLACEHOLDER = "placeholder"
    LICENCE = "licence"
    NOT_SELECTED = "not_selected"
    REJECTED_BY_REVIEWER = "rejected_by_reviewer"
    OVER_TARGET = "over_target"
    NOT_REQUESTED = "not_requested"
    CANCELLED = "cancelled"
    CHANGED = "changed"
    TOMBSTONED = "tombstoned"


def as_evidence(text: str, limit: int = EVIDENCE_CHARS) -> str:
    """Return untrusted text in one line: unprintable characters (controls, bidi marks, surrogates) escaped, at most ``limit`` characters.

    Total and idempotent.
    """
    if len(text) > limit or not text.isprintable():
        escaped = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text[:limit])
        return escaped[: limit - 1] + "…" if len(escaped) > limit or len(text) > limit else escaped
    return text
