"""One look at a job: its row, its counts, and the hosts that keep it waiting."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from app.db import Database, images, jobs
from app.db.rows import Funnel, Job
from downloader import HostSnapshot

__all__ = ["Hosts", "Snapshot", "look"]

Hosts = Callable[[], Sequence[HostSnapshot]]
"""Who is in use or in trouble, as this process sees it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job at one moment.

    Attributes:
        at: monotonic seconds.
        now: Unix seconds, for the hosts' not-before times.
        elapsed_s: since the job was made.
    """

    job: Job
    funnel: Funnel
    hosts: Sequence[HostSnapshot] = ()
    at: float = field(default_factory=time.monotonic)
    now: float = field(default_factory=time.time)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the job was made, or that it took."""
        return (self.job.finished_at or self.now) - self.job.created_at

    @property
    def good(self) -> int:
        """Images that are in, or will be unless the dataset as a whole decides otherwise."""
        return self.funnel.unique

    @property
    def settled(self) -> int:
        """Candidates whose fate is known."""
        return self.funnel.candidates - self.funnel.open

    @property
    def stage(self) -> str:
        """Where the job stands, in a word or two."""
        if self.job.stage and not self.job.is_final:
            return f"{self.job.state} ({self.job.stage})"
        return self.job.state.value


async def look(db: Database, job_id: str, hosts: Hosts) -> Snapshot:
    """Take a snapshot."""
    job = await jobs.get(db, job_id)
    funnel = Funnel(await images.counts(db, dataset_id=job.dataset_id))
    return Snapshot(job, funnel, tuple(hosts()))
