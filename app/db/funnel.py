"""How many candidates of a dataset reached each stage."""

from collections.abc import Collection
from dataclasses import dataclass

from app.db.rows import NO_LIST, ListFigures
from app.domain import ImageState, Reason

__all__ = ["NOT_UNIQUE", "PASSED_CHECKS", "PASSED_FETCH", "Funnel", "LabelCount", "SourceCount"]


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

NOT_UNIQUE = frozenset({Reason.PLACEHOLDER, Reason.LABEL_CONFLICT, Reason.NOT_SELECTED, Reason.REJECTED_BY_REVIEWER})
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
    def other_forms(self) -> int:
        """Rows of a rebuild that are kept in another form than the lock has."""
        return sum(c.count for c in self.counts if c.state is ImageState.KEPT and c.reason is Reason.CHANGED)

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
