"""The rows that the query modules return, as plain values."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from app.domain import ImageState, Reason
from app.job_states import FINAL_JOB_STATES, TRACED, DesiredState, JobKind, JobState, UnitKind, UnitState

__all__ = [
    "NO_LIST",
    "ApiKey",
    "Dataset",
    "DatasetCheck",
    "Event",
    "Export",
    "Funnel",
    "Job",
    "LabelCount",
    "ListFigures",
    "NewUnit",
    "PageOf",
    "Search",
    "SourceCount",
    "Unit",
    "WorkerRow",
    "as_unit",
]


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageOf(Generic[T]):
    """One page of a list; ``next_cursor`` is ``None`` on the last page."""

    items: list[T]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset of one user."""

    id: str
    user_id: str
    name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Job:
    """A job; ``spec`` is the JSON of :class:`app.spec.JobSpec` for a build, the options otherwise.

    ``short_classes`` are the classes with few images or none, known at its end: ``label``, ``candidates``, ``kept``, ``reasons``.
    """

    id: str
    user_id: str
    dataset_id: str
    kind: JobKind
    state: JobState
    desired_state: DesiredState
    stage: str | None
    spec: Mapping[str, Any]
    target: int | None
    min_images: int
    priority: int
    open_units: int
    rounds: int
    shortfall: Mapping[str, Any] | None
    error: str | None
    waiting_for: str | None
    request_id: str | None
    created_at: float
    started_at: float | None
    finished_at: float | None
    traceparent: str | None = None
    short_classes: Sequence[Mapping[str, Any]] | None = None

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.state in FINAL_JOB_STATES

    @property
    def traced(self) -> dict[str, str]:
        """The fields of its log lines that say where it comes from."""
        return {name: value for name in TRACED if (value := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class NewUnit:
    """A unit of work to insert. ``payload`` holds ids; ``not_before`` is Unix seconds, ``None`` for now."""

    kind: UnitKind
    payload: Mapping[str, Any] = field(default_factory=dict)
    not_before: float | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of work. Its ``epoch`` fences every write made for it. ``job`` is set by a claim, as of that time."""

    id: str
    job_id: str
    kind: UnitKind
    state: UnitState
    payload: Mapping[str, Any]
    epoch: int
    crashes: int
    not_before: float = 0.0
    error: str | None = None
    job: Job | None = None


def as_unit(row: Any) -> Unit:
    """Read a unit from a row of its table."""
    return Unit(
        id=row.id,
        job_id=row.job_id,
        kind=UnitKind(row.kind),
        state=UnitState(row.state),
        payload=row.payload,
        epoch=row.epoch,
        crashes=row.crashes,
        not_before=row.not_before,
        error=row.error,
    )


@dataclass(frozen=True, slots=True)
class Search:
    """A search for one keyword in one source, or the reading of one list.

    Attributes:
        requests: to the source, with an outcome.
        retries: those of them that repeated a request.
        root_keyword: the keyword of the job that it is for, if that is another one: this is a synonym of it.
        qid: the Wikidata item of the keyword, where it is known.
    """

    id: str
    job_id: str
    source: str
    keyword: str
    label: str | None
    cursor: str | None
    is_exhausted: bool
    found: int
    new: int
    bad: int
    note: str | None
    requests: int = 0
    retries: int = 0
    root_keyword: str | None = None
    qid: str | None = None

    def keyword_among(self, keywords: Sequence[str]) -> str | None:
        """The keyword of its job that it is for; the first of them where that was not recorded; None for a list."""
        asked = self.root_keyword or self.keyword
        return asked if asked in keywords else next(iter(keywords), None)


@dataclass(frozen=True, slots=True)
class ListFigures:
    """The rows of a dataset's list; all 0 without a list.

    Attributes:
        rows_read: all rows so far; ``rows_read = distinct_urls + merged_rows + bad_lines``.
        bad_lines: rows without a usable URL.
    """

    rows_read: int = 0
    distinct_urls: int = 0
    bad_lines: int = 0

    @property
    def merged_rows(self) -> int:
        """Rows that name a URL of an earlier row."""
        return self.rows_read - self.distinct_urls - self.bad_lines


NO_LIST = ListFigures()


@dataclass(frozen=True, slots=True)
class Export:
    """An export; ``prefix`` is its place in the store."""

    id: str
    user_id: str
    dataset_id: str
    job_id: str
    format: str
    storage_tier: str
    state: str
    prefix: str | None
    samples: int | None
    size_bytes: int | None
    report: Mapping[str, Any] | None
    problems: list[str] | None
    error: str | None
    created_at: float
    verified_at: float | None


@dataclass(frozen=True, slots=True)
class DatasetCheck:
    """A check that a user requested, with its report."""

    id: str
    user_id: str
    dataset_id: str
    job_id: str
    export_id: str | None
    kind: str
    options: Mapping[str, Any]
    report: Mapping[str, Any] | None
    created_at: float


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a job's event log."""

    id: int
    job_id: str
    at: float
    level: str
    event: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker process and its last heartbeat."""

    id: str
    kind: str
    host: str
    pid: int
    version: str
    slots: int
    running: int
    loop_lag_s: float
    started_at: float
    beat_at: float


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret."""

    id: str
    user_id: str
    name: str
    created_at: float
    revoked_at: float | None
    last_used_at: float | None


@dataclass(frozen=True, slots=True)
class SourceCount:
    """Number of images of one source in one state with one reason."""

    source: str
    state: ImageState
    reason: Reason | None
    count: int


@dataclass(frozen=True, slots=True)
class LabelCount:
    """Number of images of one label, or without one from one search, in one state with one reason."""

    label: str | None
    search_id: str | None
    state: ImageState
    reason: Reason | None
    count: int


PASSED_FETCH = frozenset({ImageState.FETCHED, ImageState.VALID, ImageState.KEPT, ImageState.REJECTED, ImageState.DUPLICATE})
PASSED_CHECKS = frozenset({ImageState.VALID, ImageState.KEPT, ImageState.DUPLICATE})

NOT_UNIQUE = frozenset({Reason.PLACEHOLDER, Reason.LABEL_CONFLICT})
"""Reasons of rejected images that passed the checks."""


@dataclass(frozen=True, slots=True)
class Funnel:
    """The funnel of a dataset: how many candidates reached each stage.

    Attributes:
        attempts: requests of a job for images, with an outcome; ``retried`` URLs took more than one, and ``recovered`` of them came.
        lost: requests that may have been sent: their process died before an outcome.
        search_requests: to the sources; ``search_retries`` of them repeated one.
        reused: fetched ones whose bytes were stored before, without a request; ``not_modified`` after a 304.
    """

    counts: tuple[SourceCount, ...]
    attempts: int = 0
    retried: int = 0
    recovered: int = 0
    rows: ListFigures = NO_LIST
    lost: int = 0
    search_requests: int = 0
    search_retries: int = 0
    reused: int = 0
    not_modified: int = 0

    def _sum(self, states: frozenset[ImageState], rejected: Collection[Reason] = ()) -> int:
        """Count the rows in these states, and the rejected ones with these reasons."""
        return sum(c.count for c in self.counts if c.state in states or (c.state is ImageState.REJECTED and c.reason in rejected))

    @property
    def rows_read(self) -> int:
        """Rows of the list."""
        return self.rows.rows_read

    @property
    def distinct_urls(self) -> int:
        """Different URLs among them."""
        return self.rows.distinct_urls

    @property
    def merged_rows(self) -> int:
        """Rows that name the URL of an earlier row."""
        return self.rows.merged_rows

    @property
    def label_conflicts(self) -> int:
        """Images whose URL or picture has several labels, kept or not."""
        return sum(count.count for count in self.counts if count.reason is Reason.LABEL_CONFLICT)

    @property
    def candidates(self) -> int:
        """All images."""
        return sum(c.count for c in self.counts)

    @property
    def spare(self) -> int:
        """Rows that are fetched only if the target needs them."""
        return self._sum(frozenset({ImageState.SPARE}))

    @property
    def requested(self) -> int:
        """The other ones, which are fetched, but for those that are refused."""
        return self.candidates - self.spare - self.refused

    @property
    def refused(self) -> int:
        """Rows whose licences the job does not take: most of them are decided, and counted, as if there had been no request."""
        return sum(count.count for count in self.counts if count.reason is Reason.LICENCE)

    @property
    def fetched(self) -> int:
        """Rows that were fetched."""
        return self._sum(PASSED_FETCH) - self.refused

    @property
    def valid(self) -> int:
        """Rows that passed validation."""
        return self._sum(PASSED_CHECKS, NOT_UNIQUE | {Reason.OVER_TARGET})

    @property
    def unique(self) -> int:
        """Valid rows that are no duplicates, placeholders or label conflicts."""
        return self._sum(frozenset({ImageState.VALID, ImageState.KEPT}), {Reason.OVER_TARGET})

    @property
    def kept(self) -> int:
        """Rows that are kept."""
        return self._sum(frozenset({ImageState.KEPT}))

    @property
    def open(self) -> int:
        """Rows without a final state."""
        return self._sum(frozenset({ImageState.PENDING, ImageState.DEFERRED, ImageState.FETCHED}))

    @property
    def waits_only(self) -> bool:
        """Whether all open rows are deferred."""
        deferred = self._sum(frozenset({ImageState.DEFERRED}))
        return 0 < deferred == self.open

    @property
    def reasons(self) -> dict[str, int]:
        """Rows that were dropped, by reason, most frequent first."""
        table: dict[str, int] = {}
        for count in self.counts:
            if count.reason is not None and count.state not in (ImageState.DEFERRED, ImageState.KEPT):
                table[count.reason.value] = table.get(count.reason.value, 0) + count.count
        return dict(sorted(table.items(), key=lambda item: (-item[1], item[0])))

    def by_source(self) -> dict[str, dict[str, int]]:
        """Counts of each state by source."""
        table: dict[str, dict[str, int]] = {}
        for count in self.counts:
            states = table.setdefault(count.source, {})
            states[count.state.value] = states.get(count.state.value, 0) + count.count
        return table
