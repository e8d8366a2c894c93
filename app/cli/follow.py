"""Following a job: snapshots of its row, its counts and the hosts it waits for, until it ends or the user interrupts."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import errors
from app.cli import exit_codes
from app.cli.failures import UsageError
from app.cli.session import Interrupts
from app.db import Database, datasets, deferred, images, jobs
from app.db.deferred import DeferredHost
from app.db.funnel import Funnel
from app.db.rows import Export, Job
from app.formatting import count, number, size
from app.job_states import JobKind, JobState
from app.jobs.attendance import is_unattended, mark_unattended
from app.workspace import Workspace
from downloader import HostSnapshot

__all__ = ["Hosts", "Snapshot", "follow_job", "take_snapshot"]

T = TypeVar("T")

SNAPSHOT_S = 0.25
"""Seconds between two snapshots; after a slow one ten times as long as it took."""

END_POLL_S = 0.05
"""Seconds between two reads of the job's row while it is about to end."""

PATIENCE_S = 60.0
"""Seconds that the database may be unavailable before following ends with an error."""

Hosts = Callable[[], Sequence[HostSnapshot]]
"""Returns the hosts that this process uses, and the state of each."""


STEPS = {
    "duplicates": "comparing",
    "labels": "labelling",
    "compress": "re-encoding",
    "export": "exporting",
    "verify": "reading back",
    "integrity": "checking the bytes of",
    "validation": "validating",
}
"""What a job does to its images, by stage of a build or kind of another job."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job at one moment.

    Attributes:
        at: monotonic seconds.
        now: Unix seconds, for the hosts' not-before times.
        waits: the hosts that deferred images wait for, the longest wait first; empty while anything else is left to do.
        export: what the job writes at the moment.
    """

    job: Job
    funnel: Funnel
    hosts: Sequence[HostSnapshot] = ()
    waits: Sequence[DeferredHost] = ()
    export: Export | None = None
    at: float = field(default_factory=time.monotonic)
    now: float = field(default_factory=time.time)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the job was made, or that it took."""
        return (self.job.finished_at or self.now) - self.job.created_at

    @property
    def good(self) -> int:
        """Images that are kept, or will be unless deduplication or the target drops them."""
        return self.funnel.unique

    @property
    def settled(self) -> int:
        """Candidates with an outcome."""
        return self.funnel.requested - self.funnel.open

    @property
    def doing(self) -> str:
        """What is done to the images of the dataset, and to how many it was; empty while a build gathers them."""
        step = self.job.stage or "" if self.is_build else self.job.kind.value
        if self.export is not None and self.export.state == "written":
            step = "verify"
        if self.export is not None and self.export.is_undelivered and not self.job.is_final:
            return _sending(self.export)
        if step not in STEPS or self.job.is_final:
            return ""
        written = self.export.samples if self.export is not None and step == "export" else None
        return f"{STEPS[step]} {f'{number(written)} of ' if written else ''}{count(self.funnel.kept or self.good, 'image')}"

    @property
    def is_build(self) -> bool:
        """Whether it gathers images; other jobs work on those that are there."""
        return self.job.kind is JobKind.BUILD

    @property
    def stage(self) -> str:
        """The job's state, with its stage while it runs; while no process works on it, that."""
        if is_unattended(self.job):
            return "waiting for a worker"
        if self.job.stage and not self.job.is_final:
            return f"{self.job.state} ({self.job.stage})"
        return self.job.state.value


def _sending(export: Export) -> str:
    """``sending 12 of 40 files, 3.1 of 8.0 MB, to s3://bucket/set``."""
    figures = export.delivery or {}
    if "all_files" not in figures:
        return f"sending to {export.destination}"
    files = f"{number(figures['files'])} of {count(figures['all_files'], 'file')}"
    return f"sending {files}, {size(figures['size_bytes'])} of {size(figures['all_bytes'])}, to {export.destination}"


async def take_snapshot(db: Database, job_id: str, hosts: Hosts, workspace: Workspace | None) -> Snapshot:
    """Read the job and its counts."""
    (job,) = await mark_unattended(db, workspace, [await jobs.get(db, job_id)])
    funnel = Funnel(await images.counts(db, dataset_id=job.dataset_id))
    waits = await deferred.deferred_hosts(db, job_id) if funnel.waits_only and not job.is_final else ()
    exports = await datasets.exports_of_job(db, job_id, with_report=False) if _is_exporting(job) else ()
    return Snapshot(job, funnel, tuple(hosts()), waits, next(iter(exports), None))


def _is_exporting(job: Job) -> bool:
    return not job.is_final and (job.kind is JobKind.EXPORT or job.stage == "export")


async def follow_job(
    db: Database,
    job_id: str,
    show: Callable[[Snapshot], None],
    interrupts: Interrupts,
    *,
    hosts: Hosts = lambda: (),
    loops: Sequence[asyncio.Task[None]] = (),
    workspace: Workspace | None = None,
    is_over: Callable[[], Awaitable[bool]] | None = None,
) -> Snapshot:
    """Show snapshots of a job until it has ended or the user interrupts; return the last one.

    Args:
        loops: the poll loops of this process's workers.
        workspace: of the embedded queue; ``None`` with a fleet.
        is_over: asked after each snapshot whether to stop following a job that has not ended.

    Raises:
        errors.DatabaseConnectionError: the database was away for too long.
        UsageError: a poll loop ended.
    """
    while True:
        began = time.monotonic()
        snapshot = await _read_despite_outage(lambda: take_snapshot(db, job_id, hosts, workspace), interrupts)
        show(snapshot)
        if snapshot.job.is_final:
            return snapshot
        if is_over is not None and await _read_despite_outage(is_over, interrupts):
            return snapshot
        dead = [task.get_name() for task in loops if task.done()]
        if dead:
            hint = "the log says why; `pictrawl resume` continues from here"
            raise UsageError(f"the worker's {dead[0]} loop died", hint, code=exit_codes.BUG)
        if await _wait_for_next(db, snapshot, interrupts, wait_s=max(SNAPSHOT_S, 10 * (time.monotonic() - began))):
            return snapshot


async def _wait_for_next(db: Database, snapshot: Snapshot, interrupts: Interrupts, *, wait_s: float) -> bool:
    """Wait for this time or until the job has ended; return whether the user interrupted."""
    due = time.monotonic() + wait_s
    poll_s = END_POLL_S if snapshot.job.state is JobState.FINALIZING else SNAPSHOT_S
    while (left_s := due - time.monotonic()) > 0:
        if await interrupts.wait(min(poll_s, left_s)):
            return True
        if left_s > poll_s and (await _read_despite_outage(lambda: jobs.get(db, snapshot.job.id), interrupts)).is_final:
            return False
    return False


async def _read_despite_outage(read: Callable[[], Awaitable[T]], interrupts: Interrupts) -> T:
    """Read, and try again for a while where the database is away."""
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await read()
        except errors.DatabaseConnectionError:
            if time.monotonic() > give_up_at or await interrupts.wait(1.0):
                raise
