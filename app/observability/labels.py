"""The closed lists of label values. Anything else is counted as ``other``: no text of a user, URL, host or id ever becomes a label."""

from app.domain import Reason
from app.job_states import JobState, UnitKind
from app.observability.registry import OTHER

NO_REASON = "none"

LAST_ATTEMPT = 4
"""Later attempts are counted with this one, so that the label is bounded whatever ``retry.attempts`` is."""

REASONS = tuple(reason.value for reason in Reason)
VERDICTS = ("valid", *REASONS)
DOWNLOAD_OUTCOMES = ("ok", "not_modified", "reused", "failed", "deferred", "refused")
ATTEMPTS = (*(str(number) for number in range(1, LAST_ATTEMPT)), f"{LAST_ATTEMPT}+")
STATUS_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
RETRY_RESULTS = ("recovered", "exhausted", "refused")
WAIT_CAUSES = ("backoff", "retry_after", "host_gate")
RUN_OUTCOMES = ("done", "alone", "retried", "exhausted", "dead", "rested", "stopped", "lease_lost", "interrupted", "not_claimed")
SWEEP_MOVES = ("expired", "quarantined", "unsent", "sent", "finalized")
DB_MODES = ("read", "write")
DB_FAULTS = ("connection", "storage", "other")
STORAGE_OPERATIONS = ("put", "get", "head", "delete", "list", "fetch", "publish")
PARTS = ("database", "queue")
QUEUES = ("builder", "validator")
JOB_STATES = tuple(state.value for state in JobState)
UNIT_KINDS = tuple(kind.value for kind in UnitKind)
FUNCTIONS = (
    "create_crawl_job",
    "generate_keywords",
    "discover_images",
    "process_chunk",
    "compress_chunk",
    "generate_labels",
    "export_dataset",
    "publish_export",
    "finalize_crawl_job",
    "validate_chunk",
    "check_duplicates",
    "check_integrity",
    "verify_export",
    "sweep",
    "clean_up",
)
"""The job functions. A test compares the list with the registered ones."""


def number_of(attempt: int) -> str:
    """Return the number of an attempt as a label value."""
    return ATTEMPTS[min(max(attempt, 1), LAST_ATTEMPT) - 1]


def status_class(status: int | None) -> str:
    """Return ``2xx`` and so on; ``none`` without a response, ``other`` for a status that HTTP does not have."""
    label = "none" if status is None else f"{status // 100}xx"
    return label if label in STATUS_CLASSES else OTHER
