"""What each keyword of a build brought: its share of the target, how far its candidates came, and why it is short."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.db import Database, candidates, jobs
from app.db.candidates import SearchCount
from app.db.rows import PASSED_FETCH, Job, Search
from app.domain import ImageState, Reason
from app.formatting import clipped, listing, number
from app.job_states import JobKind
from app.quotas import fair_shares
from app.spec import JobSpec

__all__ = ["NOT_NEEDED", "KeywordFigures", "keyword_figures", "load_keywords"]

MOST_REASONS = 3

NOT_NEEDED = frozenset({Reason.NOT_REQUESTED, Reason.OVER_TARGET})
"""Reasons of images that the target did not need."""


@dataclass(frozen=True, slots=True)
class KeywordFigures:
    """The figures of one keyword, its synonyms included.

    Attributes:
        wanted: its fair share of the target; it may give more where another keyword is short.
        found: candidates that its sources named.
        fetched: images that came.
        why_short: why fewer than wanted were kept; None if they were, or the job has not ended.
    """

    keyword: str
    wanted: int
    found: int
    fetched: int
    kept: int
    why_short: str | None = None

    def words(self) -> str:
        """``red panda: 3 kept, 3 wanted, 50 found, 5 fetched``."""
        figures = f"{number(self.kept)} kept, {number(self.wanted)} wanted, {number(self.found)} found, {number(self.fetched)} fetched"
        return f"{clipped(self.keyword, 40)}: {figures}" + (f"; {self.why_short}" if self.why_short else "")


def keyword_figures(
    spec: JobSpec, searches: Sequence[Search], counts: Sequence[SearchCount], *, is_final: bool = True
) -> list[KeywordFigures]:
    """Return the figures of each keyword of a build, in its order.

    Args:
        searches: of the dataset.
        counts: its images by search.
        is_final: the job has ended, or is about to.
    """
    if not spec.keywords:
        return []
    groups = candidates.by_keyword(searches, spec.keywords)
    shares = fair_shares(spec.max_images or 0, [None] * len(groups))
    return [
        _figures(str(keyword), wanted, group, counts, is_final) for (keyword, group), wanted in zip(groups.items(), shares, strict=True)
    ]


def _figures(keyword: str, wanted: int, group: Sequence[Search], counts: Sequence[SearchCount], is_final: bool) -> KeywordFigures:
    ids = {search.id for search in group}
    own = [count for count in counts if count.search_id in ids]
    kept = sum(count.count for count in own if count.state is ImageState.KEPT)
    return KeywordFigures(
        keyword=keyword,
        wanted=wanted,
        found=sum(search.found for search in group),
        fetched=sum(count.count for count in own if count.state in PASSED_FETCH and count.reason is not Reason.LICENCE),
        kept=kept,
        why_short="; ".join(_causes(group, own)) or None if is_final and kept < wanted else None,
    )


def _causes(group: Sequence[Search], counts: Sequence[SearchCount]) -> Iterator[str]:
    """Why a keyword is short: what its sources said, that they have no more, and what became of the candidates."""
    found = sum(search.found for search in group)
    notes = [f"{search.source}: {clipped(search.note, 100)}" for search in group if search.note]
    yield from notes
    if not notes and all(search.is_exhausted for search in group):
        yield "every source was searched to its end" if found else "nothing was found"
    reasons: Counter[str] = Counter()
    for count in counts:
        if count.reason is not None and count.reason not in NOT_NEEDED and count.state is not ImageState.KEPT:
            reasons[count.reason.value] += count.count
    known = found - sum(search.new + search.bad for search in group)
    if known > 0:
        reasons["found before"] = known
    if reasons:
        yield listing(dict(reasons.most_common()), most=MOST_REASONS)


async def load_keywords(db: Database, job: Job) -> list[KeywordFigures]:
    """Return the figures of each keyword of a build; none for a list, or a job of another kind."""
    if job.kind is not JobKind.BUILD or not job.spec.get("keywords"):
        return []
    searches = await jobs.searches_of_dataset(db, job.dataset_id)
    async with db.read() as connection:
        counts = await candidates.counts_by_search(connection, job.dataset_id)
    return keyword_figures(JobSpec(**job.spec), searches, counts, is_final=job.is_final)
