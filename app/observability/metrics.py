"""The metrics of downloads, jobs, decoders, database and store; HTTP requests are counted in :mod:`app.web.metrics`.

Names end in their unit; times are in seconds, sizes in bytes.

Label values come from the closed lists in `labels`; a value from outside (a status, a cause) is passed through `Label.known` first.
"""

from app.observability import labels
from app.observability.registry import Label, counter, documented, gauge, histogram, read_at_scrape
from logging_setup.config import dropped_lines

RUN_BUCKETS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
LAG_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_REASONS = "the [reasons](reasons.md)"
_reason = Label("reason", (labels.NO_REASON, *labels.REASONS), description=f"{_REASONS}, or `none`")
_kind = Label("kind", labels.QUEUES)
_mode = Label("mode", labels.DB_MODES)
_function = Label("function", labels.FUNCTIONS)
storage_operation = Label("operation", labels.STORAGE_OPERATIONS)
status_class = Label("status_class", labels.STATUS_CLASSES)
wait_cause = Label("cause", labels.WAIT_CAUSES)

# Downloads

downloads = counter(
    "pictrawl_downloads",
    "URLs whose download ended, counted when the outcome is on their row. Deferred: tried again later. Refused: never requested.",
    Label("outcome", labels.DOWNLOAD_OUTCOMES),
    _reason,
)
attempts = counter(
    "pictrawl_download_attempts",
    "Requests for images, by their number for their URL in its job and by outcome.",
    Label("attempt", labels.ATTEMPTS),
    Label("outcome", ("ok", *labels.REASONS), description=f"`ok`, or one of {_REASONS}"),
)
responses = counter("pictrawl_download_responses", "Requests for images, by class of the HTTP status.", status_class)
retried_urls = counter(
    "pictrawl_download_retried_urls",
    "URLs that took more than one request: the image came, all attempts failed, or a permanent error ended it.",
    Label("result", labels.RETRY_RESULTS),
)
wait_seconds = counter(
    "pictrawl_download_wait_seconds",
    "Seconds that URLs waited: backoff, Retry-After, or until their host was open and had a free place.",
    wait_cause,
)
waits = counter("pictrawl_download_waits", "How often URLs waited.", wait_cause)
received_bytes = counter("pictrawl_download_bytes", "Bytes of downloaded images.")
attempt_seconds = histogram(
    "pictrawl_download_attempt_duration_seconds",
    "Time of one request for an image, from connecting to its outcome.",
    Label("outcome", ("ok", "failed")),
)
IN_FLIGHT = read_at_scrape("gauge", "pictrawl_downloads_in_flight", "Requests to origins in flight.")
WAITING = read_at_scrape("gauge", "pictrawl_downloads_waiting", "URLs that wait until their host is open and has a free place.")
HOSTS_AWAY = read_at_scrape(
    "gauge", "pictrawl_hosts_away", "Hosts that get no requests now: after a Retry-After, or because they do not answer."
)

# Jobs

validated = counter(
    "pictrawl_images_validated",
    "Validated images, by verdict.",
    Label("verdict", labels.VERDICTS, description=f"`valid`, or one of {_REASONS}"),
)
runs = counter(
    "pictrawl_job_runs",
    "Runs of job functions by outcome; `not_claimed` found nothing to do, `alone` ran in quarantine.",
    _function,
    Label("outcome", labels.RUN_OUTCOMES),
)
run_seconds = histogram(
    "pictrawl_job_run_duration_seconds",
    "Time of one run of a job function, without runs that claimed nothing.",
    _function,
    buckets=RUN_BUCKETS_S,
)
jobs_ended = counter("pictrawl_jobs_ended", "Jobs whose end was recorded by this process.", Label("state", labels.JOB_STATES))
units_moved = counter("pictrawl_sweep_moved", "Units that sweeps returned, sent or closed.", Label("what", labels.SWEEP_MOVES))
leases_expired = counter("pictrawl_leases_expired", "Expired leases found by sweeps: the worker died, hung or was cut off.")
units_quarantined = counter("pictrawl_units_quarantined", "Units quarantined because their workers died too often.")
SLOTS = read_at_scrape("gauge", "pictrawl_worker_slots", "Units that this process may run at once.", _kind)
RUNNING = read_at_scrape("gauge", "pictrawl_worker_running", "Units that this process runs.", _kind)

# Decoder processes

DECODERS = read_at_scrape("gauge", "pictrawl_decoders", "Most decoder processes at once.")
DECODERS_ALIVE = read_at_scrape("gauge", "pictrawl_decoders_alive", "Running decoder processes.")
DECODERS_BUSY = read_at_scrape("gauge", "pictrawl_decoder_images_in_hand", "Images being decoded.")
DECODER_RESTARTS = read_at_scrape(
    "counter", "pictrawl_decoder_restarts", "Decoder processes replaced: dead, too slow, recycled or interrupted."
)
DECODER_CRASHES = read_at_scrape("counter", "pictrawl_decoder_crashes", "Images whose decoder died or ran out of memory.")
DECODER_TIMEOUTS = read_at_scrape("counter", "pictrawl_decoder_timeouts", "Images that took more CPU than `validate.deadline_s` to decode.")

# The process

event_loop_lag = histogram("pictrawl_event_loop_lag_seconds", "How late the event loop ran, four times a second.", buckets=LAG_BUCKETS_S)
event_loop_lag_max = gauge("pictrawl_event_loop_lag_max_seconds", "Maximum lag of the event loop within the last minute.")
transaction_seconds = histogram(
    "pictrawl_database_transaction_duration_seconds", "Time of one transaction, without the wait for its connection.", _mode
)
connection_wait_seconds = histogram(
    "pictrawl_database_connection_wait_seconds", "Wait for a connection; on SQLite also for the turn to write.", _mode
)
database_errors = counter(
    "pictrawl_database_errors",
    "Transactions that failed because of the database: it cannot be reached or used, its disk is full, or another error of its own.",
    Label("fault", labels.DB_FAULTS),
    _mode,
)
storage_seconds = histogram(
    "pictrawl_storage_operation_duration_seconds",
    "Time of one operation of the store, without listings, which take as long as their reader.",
    storage_operation,
)
storage_errors = counter(
    "pictrawl_storage_errors", "Operations of the store that failed: disk full, bucket not reachable.", storage_operation
)
gauge("pictrawl_log_lines_dropped", "Log lines lost because a sink failed.").set_function(dropped_lines)

FAMILIES = tuple(documented)
"""In the order of the reference."""
