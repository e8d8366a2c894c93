"""Kinds and states of jobs and of their units of work. Plain values without I/O.

A *job* is what a user asks for, split into *units*, which workers claim. The values of an image's life are in :mod:`app.domain`.
"""

from enum import StrEnum

__all__ = [
    "ACTIVE_JOB_STATES",
    "FINAL_JOB_STATES",
    "GATHERING",
    "NO_WORKER",
    "OPEN_UNIT_STATES",
    "TRACED",
    "WAITING_UNIT_STATES",
    "WORKED_ON",
    "CheckKind",
    "DesiredState",
    "JobKind",
    "JobState",
    "UnitKind",
    "UnitState",
]

TRACED = ("request_id", "traceparent")
"""Fields that say where a job comes from: the API request, and the trace (W3C Trace Context). They travel through the queue with the ids,
so that log lines carry them before the database is read."""


class JobKind(StrEnum):
    """What a job does. A build makes a dataset; every other kind works on an existing one."""

    BUILD = "build"
    EXPORT = "export"
    VERIFY = "verify"
    INTEGRITY = "integrity"
    DUPLICATES = "duplicates"
    VALIDATION = "validation"


class JobState(StrEnum):
    """State of a job.

    ``pending -> planning -> running <-> paused -> finalizing``, then one of the final states. ``finalizing`` goes back to ``running``
    when more candidates are needed.

    - ``succeeded``: the target was met. ``partial``: the dataset has fewer images than asked for.
    - ``failed``: a unit died, or no image was kept. ``cancelled``: by the user.
    """

    PENDING = "pending"
    PLANNING = "planning"
    RUNNING = "running"
    PAUSED = "paused"
    FINALIZING = "finalizing"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DesiredState(StrEnum):
    """What the user wants of a job: that it runs, pauses, ends at once, or (a build) ends with the images that it has."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    FINISHED = "finished"


WORKED_ON = (DesiredState.RUNNING, DesiredState.FINISHED)
"""Desired states of the jobs whose units are sent to workers."""

NO_WORKER = "a worker"
"""What a job waits for (``waiting_for``) while no process works on it."""

FINAL_JOB_STATES = frozenset({JobState.SUCCEEDED, JobState.PARTIAL, JobState.FAILED, JobState.CANCELLED})
ACTIVE_JOB_STATES = frozenset(JobState) - FINAL_JOB_STATES


class UnitState(StrEnum):
    """State of a unit of work.

    ``pending -> queued -> running``, then ``done``, ``dead`` (an error that is not retried) or ``cancelled``. A released unit is
    ``pending`` again. A unit whose workers crashed too often is ``quarantined`` and runs alone.
    """

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"


WAITING_UNIT_STATES = (UnitState.PENDING, UnitState.QUEUED, UnitState.QUARANTINED)
OPEN_UNIT_STATES = (*WAITING_UNIT_STATES, UnitState.RUNNING)
"""States of the units that a job counts as open; the job moves on when none is left."""


class UnitKind(StrEnum):
    """Kind of a unit of work; each job function claims units of one kind."""

    PLAN = "plan"
    KEYWORDS = "keywords"
    SEARCH = "search"
    FETCH = "fetch"
    COMPRESS = "compress"
    LABELS = "labels"
    EXPORT = "export"
    FINALIZE = "finalize"
    VALIDATE = "validate"
    DUPLICATES = "duplicates"
    INTEGRITY = "integrity"
    VERIFY = "verify"
    PUBLISH = "publish"

    @property
    def queue(self) -> str:
        """The queue of the worker that runs it: ``validator`` for validation and checks, ``builder`` for the rest."""
        return "validator" if self in VALIDATOR_KINDS else "builder"


VALIDATOR_KINDS = frozenset({UnitKind.VALIDATE, UnitKind.DUPLICATES, UnitKind.INTEGRITY, UnitKind.VERIFY})
GATHERING = frozenset({UnitKind.SEARCH, UnitKind.FETCH})
"""Units that ask for more, for minutes: those of a build that shall finish early stop."""


class CheckKind(StrEnum):
    """A check of a finished dataset that a user can request."""

    INTEGRITY = "integrity"
    DUPLICATES = "duplicates"
    VALIDATION = "validation"
