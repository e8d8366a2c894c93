"""Everything that this process counts, each with what it says. Names end in their unit; times are seconds, sizes bytes."""

from collections.abc import Iterator

from app.observability import labels
from app.observability.instruments import Family, Label, Reading, Tally, Timer, read_always
from logging_setup.config import dropped_lines

__all__ = ["FAMILIES"]

LONG_S = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
LAG_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REASONS = "the [reasons](reasons.md)"

_reason = Label("reason", (labels.NO_REASON, *labels.REASONS), words=f"{REASONS}, or `none`")
_kind = Label("kind", labels.QUEUES)
_mode = Label("mode", labels.DB_MODES)

DOWNLOADS = Family(
    "pictrawl_downloads",
    "counter",
    "URLs whose download came to an end that is on its row; a deferred one comes back.",
    (Label("outcome", labels.DOWNLOADS), _reason),
)
ATTEMPTS = Family(
    "pictrawl_download_attempts",
    "counter",
    "Requests for images, by their number for their URL in its job and by outcome.",
    (Label("attempt", labels.ATTEMPTS), Label("outcome", ("ok", *labels.REASONS), words=f"`ok`, or one of {REASONS}")),
)
RESPONSES = Family(
    "pictrawl_download_responses",
    "counter",
    "Requests for images, by class of the status they got.",
    (Label("status_class", labels.STATUSES),),
)
RETRIED = Family(
    "pictrawl_download_retried_urls",
    "counter",
    "URLs that took more than one request: an image came, all attempts failed, or another answer ended it.",
    (Label("result", labels.RESULTS),),
)
WAIT_SECONDS = Family(
    "pictrawl_download_wait_seconds",
    "counter",
    "Seconds that URLs waited: after a failed request, as Retry-After said, or for their host to be open and have a free place.",
    (Label("cause", labels.WAITS),),
)
WAITS = Family("pictrawl_download_waits", "counter", "How often URLs waited.", (Label("cause", labels.WAITS),))
BYTES = Family("pictrawl_download_bytes", "counter", "Bytes of the images that came.")
LATENCY = Family(
    "pictrawl_download_attempt_duration_seconds",
    "histogram",
    "Time of one request for an image, from dial to verdict.",
    (Label("outcome", ("ok", "failed")),),
)
IN_FLIGHT = Family("pictrawl_downloads_in_flight", "gauge", "Requests to origins on the wire.")
WAITING = Family("pictrawl_downloads_waiting", "gauge", "URLs that wait for their host to be open or to have a free place.")
HOSTS_AWAY = Family("pictrawl_hosts_away", "gauge", "Hosts that are not to be asked now: they asked for patience, or do not answer.")

VALIDATED = Family(
    "pictrawl_images_validated",
    "counter",
    "Images that were judged, by verdict.",
    (Label("verdict", labels.VERDICTS, words=f"`valid`, or one of {REASONS}"),),
)

RUNS = Family(
    "pictrawl_job_runs",
    "counter",
    "Runs of job functions by how they ended; `not_claimed` found nothing to do, `alone` went through quarantine.",
    (Label("function", labels.FUNCTIONS), Label("outcome", labels.RUNS)),
)
RUN_SECONDS = Family(
    "pictrawl_job_run_duration_seconds",
    "histogram",
    "Time of one run of a job function, those that claimed nothing left out.",
    (Label("function", labels.FUNCTIONS),),
    LONG_S,
)
JOBS_ENDED = Family("pictrawl_jobs_ended", "counter", "Jobs that this process saw to their end.", (Label("state", labels.JOB_STATES),))
MOVED = Family("pictrawl_sweep_moved", "counter", "Units that sweeps brought back, sent, or closed.", (Label("what", labels.MOVES),))
EXPIRED = Family("pictrawl_leases_expired", "counter", "Leases that a sweep found run out, because their worker died, hung or was cut off.")
QUARANTINES = Family("pictrawl_units_quarantined", "counter", "Units that went into quarantine because their workers died too often.")

SLOTS = Family("pictrawl_worker_slots", "gauge", "Units that this process may run at once.", (_kind,))
RUNNING = Family("pictrawl_worker_running", "gauge", "Units that this process runs.", (_kind,))

DECODERS = Family("pictrawl_decoders", "gauge", "Decoder processes at most.")
DECODERS_ALIVE = Family("pictrawl_decoders_alive", "gauge", "Decoder processes that run.")
DECODERS_BUSY = Family("pictrawl_decoder_images_in_hand", "gauge", "Images that are being decoded.")
DECODER_RESTARTS = Family("pictrawl_decoder_restarts", "counter", "Decoder processes given up: dead, too slow, worn out or cut off.")
DECODER_CRASHES = Family("pictrawl_decoder_crashes", "counter", "Images whose decoder died or ran out of memory.")
DECODER_TIMEOUTS = Family("pictrawl_decoder_timeouts", "counter", "Images that took a decoder longer than `validate.deadline_s`.")

LAG = Family("pictrawl_event_loop_lag_seconds", "histogram", "How late the event loop was, four times a second.", buckets=LAG_S)
LAG_MAX = Family("pictrawl_event_loop_lag_max_seconds", "gauge", "How late the event loop was at most within the last minute.")

DB_SECONDS = Family(
    "pictrawl_database_transaction_duration_seconds", "histogram", "Time of one transaction, its connection already there.", (_mode,)
)
DB_WAIT_SECONDS = Family(
    "pictrawl_database_connection_wait_seconds",
    "histogram",
    "Wait for a connection; on SQLite for the turn to write, too.",
    (_mode,),
)
DB_ERRORS = Family(
    "pictrawl_database_errors",
    "counter",
    "Transactions that a fault of the database ended: it cannot be reached or used now, its disk is full, or anything else that it said.",
    (Label("fault", labels.DB_FAULTS), _mode),
)
STORAGE_SECONDS = Family(
    "pictrawl_storage_operation_duration_seconds",
    "histogram",
    "Time of one operation of the store; listings, which last as long as their reader, are left out.",
    (Label("operation", labels.STORAGE),),
)
STORAGE_ERRORS = Family(
    "pictrawl_storage_errors",
    "counter",
    "Operations of the store that failed for a fault of ours: disk full, bucket away.",
    (Label("operation", labels.STORAGE),),
)
LINES_DROPPED = Family("pictrawl_log_lines_dropped", "gauge", "Log lines no sink would take.")

FAMILIES = (
    *(DOWNLOADS, ATTEMPTS, RESPONSES, RETRIED, WAIT_SECONDS, WAITS, BYTES, LATENCY, IN_FLIGHT, WAITING, HOSTS_AWAY, VALIDATED),
    *(RUNS, RUN_SECONDS, JOBS_ENDED, MOVED, EXPIRED, QUARANTINES, SLOTS, RUNNING),
    *(DECODERS, DECODERS_ALIVE, DECODERS_BUSY, DECODER_RESTARTS, DECODER_CRASHES, DECODER_TIMEOUTS),
    *(LAG, LAG_MAX, DB_SECONDS, DB_WAIT_SECONDS, DB_ERRORS, STORAGE_SECONDS, STORAGE_ERRORS, LINES_DROPPED),
)
"""In the order of the reference."""

downloads, attempts, responses, retried = Tally(DOWNLOADS), Tally(ATTEMPTS), Tally(RESPONSES), Tally(RETRIED)
wait_seconds, waits, received_bytes, latency = Tally(WAIT_SECONDS), Tally(WAITS), Tally(BYTES), Timer(LATENCY)
validated, runs, run_seconds = Tally(VALIDATED), Tally(RUNS), Timer(RUN_SECONDS)
jobs_ended, moved, expired, quarantines = Tally(JOBS_ENDED), Tally(MOVED), Tally(EXPIRED), Tally(QUARANTINES)
lag = Timer(LAG)
db_seconds, db_wait_seconds, db_errors = Timer(DB_SECONDS), Timer(DB_WAIT_SECONDS), Tally(DB_ERRORS)
storage_seconds, storage_errors = Timer(STORAGE_SECONDS), Tally(STORAGE_ERRORS)


def _read_lines_dropped() -> Iterator[Reading]:
    yield LINES_DROPPED, (), dropped_lines()


read_always(_read_lines_dropped)
