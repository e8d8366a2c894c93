"""The rows that the query modules return, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from app.job_states import FINAL_JOB_STATES, TRACED, DesiredState, JobKind, JobState, UnitKind, UnitState

__all__ = [
    "NO_LIST",
    "ApiKey",
    "Dataset",
    "DatasetCheck",
    "DerivedImage",
    "Event",
    "Export",
    "Job",
    "ListFigures",
    "NewUnit",
    "PageOf",
    "Review",
    "Search",
    "Unit",
    "Version",
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
class Review:
    """What a person decided about an image.

    Attributes:
        user_id: who; None where it came with a lock.
        batch_id: decisions made at once share it; None where it came with its image from another version or a lock.
        action: a `app.domain.ReviewAction`.
        before, after: columns of the image that it changed.
        undoes: the decision that this one takes back; ``undone_by`` is the one that took this one back.
    """

    id: int
    dataset_id: str
    image_id: int
    user_id: str | None
    batch_id: str | None
    action: str
    note: str | None
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    undoes: int | None
    undone_by: int | None
    created_at: float


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset of one user. It is a version of all datasets of its lineage, whose id is that of the first of them."""

    id: str
    user_id: str
    name: str
    created_at: float
    lineage_id: str


@dataclass(frozen=True, slots=True)
class Version:
    """What a dataset was at some time; the newest one of a dataset says what it is.

    Attributes:
        kind: what made it: ``build``, ``update``, ``into``, ``merge``, ``rebuild``, ``review``, or a job that changed the dataset in place.
        parent_id: the version that ``changes`` compares it with.
        changes: JSON of what `counts` and `merged` return.
        major, minor, patch: as Croissant counts: records removed or changed, records added, the same records in another form.
        digest: over all kept images, whatever the order in which they came.
        provenance: JSON of :class:`app.exports.provenance.Provenance`, the facts for the papers of its exports.
    """

    id: str
    dataset_id: str
    lineage_id: str
    parent_id: str | None
    job_id: str | None
    kind: str
    major: int
    minor: int
    patch: int
    digest: str
    images: int
    size_bytes: int
    changes: Mapping[str, Any] | None
    provenance: Mapping[str, Any] | None
    created_at: float

    @property
    def number(self) -> str:
        """As it is written: ``1.2.0``."""
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def counts(self) -> dict[str, int] | None:
        """Images by how they differ from the version before; None for the first."""
        return None if self.changes is None else {kind: value for kind, value in self.changes.items() if kind != "merged"}

    @property
    def merged(self) -> list[str]:
        """Names and versions of the datasets that a merge made it of."""
        return list((self.changes or {}).get("merged", ()))


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
        qid, category: the Wikidata item of the keyword and its category on Wikimedia Commons, where they are known.
        not_expanded: why other names of the keyword, which were asked for, could not be looked up.
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
    category: str | None = None
    not_expanded: str | None = None

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
    """An export of a version of a dataset; ``prefix`` is its place in the store, ``options`` what was asked for besides its format.

    Attributes:
        destination: the URL that it is sent to, if any.
        delivery: how it is to be sent there (``overwrite``, ``private``), how far that is (``files``, ``size_bytes``, of ``all_files`` and
            ``all_bytes``), and where it is to be seen (``url``).
        delivered_at: when all of it was there.
    """

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
    version: str | None = None
    options: Mapping[str, Any] | None = None
    destination: str | None = None
    delivery: Mapping[str, Any] | None = None
    delivered_at: float | None = None

    @property
    def is_undelivered(self) -> bool:
        """Whether it is whole in the store and not yet at its destination."""
        return self.state == "ready" and self.destination is not None and self.delivered_at is None


@dataclass(frozen=True, slots=True)
class DerivedImage:
    """What a recipe made of stored bytes: ``recipe`` is its digest, the rest are the columns of a form."""

    source_sha256: str
    recipe: str
    out_sha256: str
    out_media_type: str
    out_size_bytes: int
    out_width: int
    out_height: int
    changes: str | None = None


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
    """A worker process and its last heartbeat.

    Attributes:
        hosts: the hosts that its downloader asks or waits for, as fields of `downloader.HostSnapshot`.
    """

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
    hosts: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret."""

    id: str
    user_id: str
    name: str
    created_at: float
    revoked_at: float | None
    last_used_at: float | None
