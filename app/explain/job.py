"""A job's history: time by stage and host, what it waits for, what failed, and which commands show more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.db import Database, attempts, deferred, jobs, units
from app.db.attempts import HostTime
from app.db.deferred import DeferredImages
from app.db.rows import NO_LIST, Job, ListFigures, Unit
from app.db.units import StageTime
from app.explain.image import ExplanationLine
from app.formatting import clipped, count, duration, listing, number
from app.job_states import NO_WORKER, DesiredState

__all__ = ["JobHistory", "explain_job", "lost_words", "search_words"]

HOSTS_SHOWN = 10
"""Maximum number of hosts shown, the slowest first."""


@dataclass(frozen=True, slots=True)
class JobHistory:
    """A job with its times and failures.

    Attributes:
        now: the database's clock, Unix seconds.
        hosts: time by host, the largest first; seconds are summed over requests, which overlap.
        failures: requests that failed, by reason.
        made: number of requests with an outcome; ``lost`` more may have been sent by processes that died.
        retried: URLs with more than one request; of these ``recovered`` succeeded and ``exhausted`` failed.
        work: units by kind and state.
        rows: the rows of the list of its dataset.
        search_requests: to the sources; ``search_retries`` of them repeated one.
    """

    job: Job
    now: float
    stages: Sequence[StageTime]
    hosts: Sequence[HostTime]
    failures: Mapping[str, int]
    made: int
    retried: int
    recovered: int
    exhausted: int
    deferred: Sequence[DeferredImages]
    troubled: Sequence[Unit]
    work: Mapping[tuple[str, str], int]
    rows: ListFigures = NO_LIST
    lost: int = 0
    search_requests: int = 0
    search_retries: int = 0

    @property
    def waited_s(self) -> float:
        """Seconds between the job's creation and the start of its first unit."""
        return max(0.0, (self.job.started_at or self.job.finished_at or self.now) - self.job.created_at)

    @property
    def costly_hosts(self) -> Sequence[HostTime]:
        """The hosts that are shown."""
        return self.hosts[:HOSTS_SHOWN]

    def slow(self) -> list[ExplanationLine]:
        """Where the job's time went."""
        lines = [ExplanationLine("waited", f"{duration(self.waited_s)} for a worker", self.job.created_at)] if self.waited_s >= 1 else []
        lines += [ExplanationLine("stage", self._stage(stage), stage.began_at) for stage in self.stages]
        lines += [ExplanationLine("host", _host_words(host)) for host in self.costly_hosts]
        if len(self.hosts) > HOSTS_SHOWN:
            lines.append(ExplanationLine("host", f"and {count(len(self.hosts) - HOSTS_SHOWN, 'more host')} with less time each"))
        if self.failures:
            lines.append(ExplanationLine("failures", f"of {count(self.made, 'request')}: {listing(self.failures)}"))
        if self.retried:
            lines.append(ExplanationLine("retries", self._retry_words()))
        if self.lost:
            lines.append(ExplanationLine("requests", lost_words(self.lost)))
        if self.search_retries:
            lines.append(ExplanationLine("searches", search_words(self.search_requests, self.search_retries)))
        return lines + [ExplanationLine("unit", _unit_words(unit)) for unit in self.troubled]

    def _retry_words(self) -> str:
        if not self.recovered:
            return f"no retry brought an image; {count(self.exhausted, 'URL')} failed"
        return f"{count(self.retried, 'URL')} retried: {number(self.recovered)} succeeded, {number(self.exhausted)} failed"

    def _stage(self, stage: StageTime) -> str:
        ended = stage.ended_at if stage.ended_at is not None else self.job.finished_at or self.now
        open_units = f", {number(stage.open)} not done" if stage.open else ""
        began = max(0.0, stage.began_at - self.job.created_at)
        return (
            f"{stage.kind:<10} {duration(ended - stage.began_at):>6}, from {duration(began)} on, {count(stage.units, 'unit')}{open_units}"
        )

    def waits(self) -> list[str]:
        """What the job waits for now; empty once it has ended."""
        job = self.job
        if job.is_final:
            return []
        if job.desired_state is DesiredState.PAUSED:
            return ["it is paused"]
        found = [clipped(job.waiting_for, 200)] if job.waiting_for else []
        if job.waiting_for == NO_WORKER:
            found = ["a worker: no process works on it"]
        found += [self._deferred_words(item) for item in self.deferred]
        by_state: dict[str, int] = {}
        for (_, state), value in self.work.items():
            by_state[state] = by_state.get(state, 0) + value
        if not by_state.get("running") and (by_state.get("pending") or by_state.get("queued")) and not found:
            found.append("its turn: none of its units is running yet")
        return found

    def _deferred_words(self, item: DeferredImages) -> str:
        first, last = max(0.0, item.first_at - self.now), max(0.0, item.last_at - self.now)
        due = f"for {duration(first)}" if duration(first) == duration(last) else f"for {duration(first)} to {duration(last)}"
        return f"{count(item.images, 'image')} deferred {due}: {clipped(item.reason, 24)}"

    def next_commands(self) -> list[str]:
        """Commands that show more."""
        job_id = self.job.id
        found = [f"pictrawl jobs logs {job_id} --level warning"] if self.retried or self.troubled else []
        worst = next((host for host in self.hosts if host.failed), None)
        if worst is not None:
            found.append(f"pictrawl jobs logs {job_id} --host {clipped(worst.host, 255)}")
        if any(unit.state.value == "dead" for unit in self.troubled):
            found.append(f"pictrawl dead ls --job {job_id}")
        if self.failures:
            found.append(f"pictrawl images ls --job {job_id} --reason {next(iter(self.failures))}")
        return found


def lost_words(lost: int) -> str:
    """Say how many requests have no outcome."""
    return f"up to {count(lost, 'request')} more may have been sent: reserved when a process died"


def search_words(requests: int, retries: int) -> str:
    """Say how many requests of searches were retries."""
    return f"searches: {count(requests, 'request')}, {number(retries)} of them retries"


def _host_words(host: HostTime) -> str:
    failed = f", {number(host.failed)} failed" if host.failed else ""
    waits = {"queued": host.queued_s, "backoff": host.backoff_s, "Retry-After": host.retry_after_s}
    waited = ", ".join(f"{duration(value)} {cause}" for cause, value in waits.items() if value >= 0.5)
    return f"{clipped(host.host, 80)}: {count(host.requests, 'request')}{failed}, {duration(host.took_s)} in requests" + (
        f"; waits: {waited}" if waited else ""
    )


def _unit_words(unit: Unit) -> str:
    crashed = f", {count(unit.crashes, 'crash')}".replace("crashs", "crashes") if unit.crashes else ""
    return f"{unit.kind.value} is {unit.state.value}{crashed}: {clipped(unit.error or 'no error recorded', 200)}"


async def explain_job(db: Database, job_id: str, *, user_id: str | None = None) -> JobHistory:
    """Read the history of a job.

    Raises:
        errors.NotFoundError: no such job, or it belongs to another user.
    """
    job = await jobs.get(db, job_id, user_id=user_id)
    made, retried, recovered = await attempts.retry_figures(db, job_id)
    search_requests, search_retries = await jobs.search_figures(db, job_id)
    return JobHistory(
        job=job,
        now=await db.now(),
        stages=await units.stage_times(db, job_id),
        hosts=await attempts.host_times(db, job_id),
        failures=await attempts.failures_by_reason(db, job_id),
        made=made,
        retried=retried,
        recovered=recovered,
        exhausted=await attempts.count_exhausted(db, job_id),
        deferred=await deferred.deferred_by_reason(db, job_id),
        troubled=await units.troubled_units(db, job_id),
        work=await units.counts(db, job_id),
        rows=await jobs.list_figures(db, job.dataset_id),
        lost=await attempts.count_lost(db, job_id),
        search_requests=search_requests,
        search_retries=search_retries,
    )
