"""What each keyword of a build brought: its share of the target, how far its candidates came, and why it is short."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.db import Database, candidates, jobs
from app.db.candidates import SearchCount
from app.db.funnel import PASSED_FETCH
from app.db.rows import Job, Search
from app.domain import ImageState, Reason
from app.formatting import clipped, count, listing, number
from app.job_states import JobKind
from app.spec import JobSpec

__all__ = ["NOT_NEEDED", "KeywordFigures", "SourceFigures", "keyword_figures", "load_keywords", "total_by_source"]

MOST_REASONS = 3

NOT_NEEDED = frozenset({Reason.NOT_REQUESTED, Reason.OVER_TARGET})
"""Reasons of images that the target did not need."""


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """What one source brought for a keyword, by all of its searches.

    Attributes:
        found: results that it named.
        known: those of them that the dataset had before, by URL or as the same picture from another source.
        unusable: results of which no image could be read.
        reasons: why the others are not in the dataset, most frequent first.
        ended: why it gives no more, in words; None where it has more.
    """

    source: str
    found: int = 0
    known: int = 0
    unusable: int = 0
    kept: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    ended: str | None = None

    def words(self) -> str:
        """``wikimedia: 12 results, 9 refused by licence``, or what the source said."""
        reasons = dict(self.reasons)
        refused = reasons.pop(Reason.LICENCE.value, 0)
        is_noted = self.ended not in (None, SEARCHED)
        parts = [count(self.found, "result")] if self.found or not is_noted else []
        parts += [str(self.ended)] if is_noted else []
        parts += [f"{number(refused)} refused by licence"] if refused else []
        parts += [f"{number(self.known)} found before"] if self.known else []
        parts += [f"{number(self.unusable)} unusable"] if self.unusable else []
        parts += [listing(reasons, most=MOST_REASONS)] if reasons else []
        return f"{self.source}: {', '.join(parts)}"


SEARCHED = "it was searched to its end"
"""How a search ends of which the source has no more to say."""


@dataclass(frozen=True, slots=True)
class KeywordFigures:
    """The figures of one keyword, its synonyms included.

    Attributes:
        wanted: its own number, or its fair share of the target; it may give more than its share where another keyword is short.
        found: candidates that its sources named.
        fetched: images that came.
        why_short: why fewer than wanted were kept; None if they were, or the job has not ended.
        label: the class of its images.
        not_expanded: why it was searched for without the other names that were asked for.
        sources: in the order in which they are asked.
    """

    keyword: str
    wanted: int
    found: int
    fetched: int
    kept: int
    why_short: str | None = None
    label: str | None = None
    not_expanded: str | None = None
    sources: Sequence[SourceFigures] = ()

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
    shares = spec.quota.shares([None] * len(groups)) if spec.quota else [0] * len(groups)
    by_search: dict[str | None, list[SearchCount]] = {}
    for item in counts:
        by_search.setdefault(item.search_id, []).append(item)
    found = []
    for (keyword, group), wanted in zip(groups.items(), shares, strict=True):
        figures = _figures(str(keyword), wanted, group, by_search, is_final)
        found.append(replace(figures, label=spec.label or spec.keyword_labels.get(figures.keyword)))
    return found


def _figures(
    keyword: str, wanted: int, group: Sequence[Search], by_search: Mapping[str | None, Sequence[SearchCount]], is_final: bool
) -> KeywordFigures:
    by_source: dict[str, list[Search]] = {}
    for search in group:
        by_source.setdefault(search.source, []).append(search)
    own = [item for search in group for item in by_search.get(search.id, ())]
    sources = [
        _source_figures(name, its, [item for search in its for item in by_search.get(search.id, ())]) for name, its in by_source.items()
    ]
    kept = sum(item.kept for item in sources)
    return KeywordFigures(
        keyword=keyword,
        wanted=wanted,
        found=sum(item.found for item in sources),
        fetched=sum(item.count for item in own if item.state in PASSED_FETCH and item.reason is not Reason.LICENCE),
        kept=kept,
        why_short="; ".join(_causes(sources)) or None if is_final and kept < wanted else None,
        not_expanded=next((search.not_expanded for search in group if search.not_expanded), None),
        sources=sources,
    )


def total_by_source(keywords: Sequence[KeywordFigures]) -> list[SourceFigures]:
    """Return the figures of each source over all keywords; of one that found nothing also what it said."""
    groups: dict[str, list[SourceFigures]] = {}
    for keyword in keywords:
        for figures in keyword.sources:
            groups.setdefault(figures.source, []).append(figures)
    totals = []
    for source, members in groups.items():
        reasons: Counter[str] = Counter()
        for one in members:
            reasons.update(one.reasons)
        counts = {name: sum(getattr(one, name) for one in members) for name in ("found", "known", "unusable", "kept")}
        said = dict.fromkeys(one.ended for one in members if one.ended) if not counts["found"] else {}
        totals.append(SourceFigures(source, reasons=dict(reasons.most_common()), ended="; ".join(said) or None, **counts))
    return totals


def _source_figures(source: str, searches: Sequence[Search], counts: Sequence[SearchCount]) -> SourceFigures:
    found = sum(search.found for search in searches)
    notes = dict.fromkeys(clipped(search.note, 100) for search in searches if search.note)
    reasons: Counter[str] = Counter()
    for item in counts:
        if item.reason is not None and item.reason not in NOT_NEEDED and item.state is not ImageState.KEPT:
            reasons[item.reason.value] += item.count
    return SourceFigures(
        source=source,
        found=found,
        known=max(0, found - sum(search.new + search.bad for search in searches)),
        unusable=sum(search.bad for search in searches),
        kept=sum(item.count for item in counts if item.state is ImageState.KEPT),
        reasons=dict(reasons.most_common()),
        ended="; ".join(notes) or (SEARCHED if all(search.is_exhausted for search in searches) else None),
    )


def _causes(sources: Sequence[SourceFigures]) -> Iterator[str]:
    """Why a keyword is short: what its sources said, that they have no more, and what became of the candidates."""
    if len(sources) > 1:
        yield from (item.words() for item in sources)
        return
    for only in sources:
        if only.ended == SEARCHED:
            yield "every source was searched to its end" if only.found else "nothing was found"
        elif only.ended:
            yield f"{only.source}: {only.ended}"
        reasons = Counter(only.reasons) + Counter({"found before": only.known})
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
