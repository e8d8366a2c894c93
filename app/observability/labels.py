"""The closed lists that labels take their values from. What is in none of them is counted as ``other``: no text of a user's, no URL, no
host and no id ever becomes a label.
"""

from app.domain import JobState, Reason, UnitKind, UnitState

__all__ = [
    "ATTEMPTS",
    "DB_FAULTS",
    "DB_MODES",
    "DOWNLOADS",
    "FUNCTIONS",
    "JOB_STATES",
    "LAST_ATTEMPT",
    "MOVES",
    "NO_REASON",
    "OTHER",
    "PARTS",
    "QUEUES",
    "REASONS",
    "RESULTS",
    "RUNS",
    "STATUSES",
    "STORAGE",
    "UNIT_KINDS",
    "UNIT_STATES",
    "VERDICTS",
    "WAITS",
    "number_of",
    "status_class",
]

OTHER = "other"
NO_REASON = "none"

LAST_ATTEMPT = 4
"""Attempts beyond are counted with this one: the label stays bounded whatever the settings say."""

REASONS = tuple(reason.value for reason in Reason)
VERDICTS = ("valid", *REASONS)
DOWNLOADS = ("ok", "failed", "deferred")
ATTEMPTS = (*(str(number) for number in range(1, LAST_ATTEMPT)), f"{LAST_ATTEMPT}+")
STATUSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
RESULTS = ("recovered", "exhausted", "refused")
WAITS = ("backoff", "retry_after", "host_gate")
RUNS = ("done", "alone", "retried", "exhausted", "dead", "rested", "stopped", "lease_lost", "interrupted", "not_claimed")
MOVES = ("expired", "quarantined", "unsent", "sent", "finalized")
DB_MODES = ("read", "write")
DB_FAULTS = ("connection", "storage", "other")
STORAGE = ("put", "get", "head", "delete", "list", "fetch", "publish")
PARTS = ("database", "queue")
QUEUES = ("builder", "validator")
JOB_STATES = tuple(state.value for state in JobState)
UNIT_KINDS = tuple(kind.value for kind in UnitKind)
UNIT_STATES = tuple(state.value for state in UnitState)
FUNCTIONS = (
    "create_crawl_job",
    "generate_keywords",
    "discover_images",
    "process_chunk",
    "compress_chunk",
    "generate_labels",
    "export_dataset",
    "finalize_crawl_job",
    "validate_chunk",
    "check_duplicates",
    "check_integrity",
    "verify_export",
    "sweep",
    "clean_up",
)
"""The job functions; a test holds this list against those that there are."""


def number_of(attempt: int) -> str:
    """An attempt's number as a label."""
    return ATTEMPTS[min(max(attempt, 1), LAST_ATTEMPT) - 1]


def status_class(status: int | None) -> str:
    """``2xx`` and so on; ``none`` where there was no answer."""
    return "none" if status is None else f"{status // 100}xx"
