"""The catalogue of events: each with one sentence that says what has happened. Complete and without stale entries, by the audit's rules.

`docs/reference/events.md` is made from it and from the calls in the code, which know level, module and fields. To add an event: one line,
in `JOBS` where it is said within a job's context (it then carries ``job_id``), else in `PROCESSES`; then ``python -m app.cli.reference``.
"""

from collections.abc import Mapping
from typing import Final

__all__ = ["CATALOGUE", "JOBS", "PROCESSES"]

JOBS: Final[Mapping[str, str]] = {
    "chunk.compressed": "a chunk was resized or re-encoded",
    "chunk.fetched": "a chunk was fetched as far as it could be; `deferred` URLs come back",
    "chunk.validated": "a chunk was decoded and judged",
    "dataset.compared": "duplicates were looked for over the whole dataset",
    "dataset.labelled": "what is kept got its label and its split",
    "dataset.reread": "stored objects were compared with their digests; ERROR where one differs",
    "decoder.bug": "a bug in a decoder process; its image failed as `decoder_crash`",
    "decoder.remark": "a decoder's library has something to say of an image",
    "download.fetched": "one request brought an image",
    "download.retry": "one request failed and will be made again after `wait_s`",
    "export.classes_absent": "some splits lack images of some classes",
    "export.verified": "an export was read back; ERROR where something is wrong with it",
    "export.written": "an export is in the store and waits for its verification",
    "host.away": "a host takes no connections, or refuses everything: its URLs are deferred for `wait_s`",
    "host.paced": "a host refused: its URLs are spaced from now on",
    "image.judged": "one image was validated; `reason` is empty for a valid one",
    "image.poison": "an image killed the process that worked at it alone",
    "job.accepted": "a job is on record",
    "job.ended": "a job has ended, and why images are missing",
    "job.planning": "what a build was asked for",
    "job.retries_exhausted": "the job layer gave up on this delivery",
    "job.retry": "the job layer runs a unit again after `wait_s`",
    "job.revived": "`pictrawl resume` let a job that failed go on, with so many dead units",
    "job.stage": "no unit is open: this stage comes next",
    "job.steered": "somebody paused, resumed or cancelled a job",
    "job.wants_more": "the target is missed: another round of the sources",
    "keywords.expanded": "Wikidata knows a keyword by these names too",
    "keywords.not_expanded": "Wikidata was of no help; the keyword itself is searched",
    "list.bad_line": "a line of a list cannot be used; the first 100 are logged, all are counted",
    "outcomes.not_written": "the database did not take outcomes; they are kept and tried again",
    "quarantine.began": "a unit whose workers died runs in a process of its own",
    "quarantine.ended": "that process has seen the unit through",
    "queue.unavailable": "Redis is away; the rows stay pending and are sent later",
    "robots.unreachable": "a host answers robots.txt with a server error; it rests",
    "search.page": "a page of a source, or of a list, became rows",
    "source.gave_up": "a search goes on without this source",
    "source.pauses": "a source asks for patience; the search comes back",
    "unit.dead": "a unit will not run again by itself",
    "unit.discarded": "somebody gave a dead unit up; so many images failed as `cancelled` with it",
    "unit.interrupted": "a unit was cut off by a shutdown and given back",
    "unit.lease_lost": "a successor has this unit; nothing was written",
    "unit.left_to_sweeper": "a unit could not be settled; its lease runs out",
    "unit.not_claimed": "a message for a unit that is taken, done or not due",
    "unit.quarantined": "a unit's workers died too often; it will run alone",
    "unit.rests": "a fault of ours: the unit comes back after `wait_s`",
    "unit.retried": "somebody put a dead unit back to work; `error` is what it had died of",
    "unit.stopped": "a unit stopped because its job was cancelled, or its lease lost",
    "unit.taken_back": "a unit's lease ran out; `crashes` says whether its worker died",
}
"""Said in a job's context, by a worker or by whoever steers the job: `pictrawl jobs logs` shows those of INFO and above."""

PROCESSES: Final[Mapping[str, str]] = {
    "cleaned_up": "what nothing points to was removed",
    "finaliser.failed": "an exception where nobody can catch it",
    "hosts.shared": "Redis answers again: what is known of hosts is the fleet's once more",
    "hosts.unshared": "Redis is away: this worker keeps to the limits per host by itself",
    "http.failed": "a bug answered with 500; the traceback is here",
    "http.refused": "a request was refused for a fault of ours, such as a database that is away",
    "http.request": "an API request was answered; DEBUG for health and metrics",
    "leases.not_renewed": "the database did not answer a renewal",
    "metrics.listening": "a process answers scrapes there",
    "metrics.not_listening": "its port for scrapes cannot be had; it works without",
    "process.crashed": "an exception ended the process",
    "python.warning": "Python or a library warns",
    "queue.poll_failed": "Redis did not answer a poll; the worker goes on polling",
    "ready.part_away": "a part that readiness asks for is away",
    "serve.started": "the API listens",
    "serve.stopped": "the API has ended",
    "serve.stopping": "a signal asked the server to end",
    "sse.database_away": "an event stream waits for the database",
    "sweep.failed": "the sweep at a worker's start did not work; the next one comes",
    "sweep.moved": "the sweeper brought back what was lost",
    "thread.crashed": "an exception ended a thread",
    "trace.exported_again": "the collector takes spans again; so many were lost meanwhile",
    "trace.lost": "a process ends, and so many spans were not taken",
    "trace.not_exported": "the collector does not take spans; said once, until it does again",
    "trace.not_flushed": "a process ended without its last spans",
    "worker.gave_up": "a loop died again and again; the process ends with 1, to be started anew",
    "worker.loop_died": "a loop of the worker died and is begun again",
    "worker.recycled": "a process has done what `jobs.recycle_after` or `jobs.recycle_rss_bytes` gives it to do",
    "worker.started": "a worker polls",
    "worker.stopped": "a worker has drained and ended",
}
"""Said by a process of itself, outside of any job."""

CATALOGUE: Final[Mapping[str, str]] = {**JOBS, **PROCESSES}
