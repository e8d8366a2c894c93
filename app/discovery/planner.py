"""What a build would cost, from what its sources say they have: results, calls of their APIs, time at their limits, bytes. Pure arithmetic.

Asking is done in :mod:`app.discovery.survey`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.discovery.renditions import ASPECT
from app.discovery.sources.rate_limits import RateLimit
from app.discovery.sources.source import SourceInfo
from app.quotas import Quota, Supply, plan_searches

__all__ = [
    "BYTES_BASIS",
    "Plan",
    "SearchPlan",
    "SourcePlan",
    "Step",
    "Survey",
    "calls_for",
    "expected_bytes",
    "make_plan",
    "reachable",
    "seconds_for",
]

BYTES_PER_PIXEL = 0.25
"""Of a JPEG photograph of quality 80 to 90."""

ORIGINAL_BYTES = 3_000_000
BYTES_BASIS = "0.25 bytes a pixel of a 3:2 JPEG photograph, 3 MB for an original; no source was asked"

UNDECLARED_S = 1.0
"""Seconds of a call where a source declares no limit; searches are serial."""


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a search, in the order of reading.

    Attributes:
        results: in it.
        is_divided: it is too deep and read in smaller parts, which follow; finding that out takes one call.
        is_counted: the source said so; else it is what is left of a larger part.
    """

    results: int
    is_divided: bool = False
    is_counted: bool = True


@dataclass(frozen=True, slots=True)
class Survey:
    """What a source says of one search.

    Attributes:
        total: results that it has, of licences that are taken where it can be asked for these; None where it does not say.
        of_any_licence: results of whatever licence; None where that was not asked.
        steps: its parts in the order of reading; empty where nothing is known.
        problem: why the source did not answer, in words.
    """

    total: int | None = None
    of_any_licence: int | None = None
    steps: Sequence[Step] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """One keyword in one source.

    Attributes:
        results: that the source has, of whatever licence; None where it does not say.
        allowed: those whose licences are taken; None where the source cannot be asked.
        reachable: results that a search gets to, by parts where it is too deep; of allowed licences where these can be asked for.
        candidates: that a first round asks for.
        calls: of the API for these.
    """

    keyword: str
    label: str
    source: str
    results: int | None
    allowed: int | None
    reachable: int | None
    candidates: int
    calls: int
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """All searches in one source; ``limits`` are those that were reckoned with."""

    source: str
    calls: int
    seconds: float
    limits: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A build that was not made.

    Attributes:
        target: images that are wanted.
        candidates: that the first round fetches; later ones fetch what is missing.
        reachable: results in all, where known; a picture that two sources have counts twice.
        seconds: of the slowest source; sources are asked side by side.
        in_the_way: what keeps the build from all that was asked for.
        requests: that the plan took.
    """

    target: int
    candidates: int
    reachable: int
    calls: int
    seconds: float
    size_bytes: int
    searches: Sequence[SearchPlan]
    sources: Sequence[SourcePlan]
    in_the_way: Sequence[str] = ()
    requests: int = 0
    bytes_basis: str = field(default=BYTES_BASIS)


def reachable(survey: Survey, depth: int | None) -> int | None:
    """Return how many results a search gets to; None where nothing is known."""
    if survey.total is None:
        return None
    return sum(_within(step, depth) for step in survey.steps if not step.is_divided)


def _within(step: Step, depth: int | None) -> int:
    return min(step.results, depth) if depth is not None and step.is_counted else step.results


def calls_for(survey: Survey, candidates: int, info: SourceInfo) -> int:
    """Return how many calls it takes to read so many candidates, or all that are reachable."""
    if not candidates:
        return 0
    if survey.total is None:
        return math.ceil(candidates / info.page_size) + candidates * info.calls_per_result
    calls, left = 0, candidates
    for step in survey.steps:
        if left <= 0:
            break
        if step.is_divided:
            calls += 1
            continue
        pages = max(1, math.ceil(min(_within(step, info.depth), left) / info.page_size))
        read = min(_within(step, info.depth), pages * info.page_size)
        calls += pages + read * info.calls_per_result
        left -= read
    return calls


def seconds_for(calls: int, limits: Sequence[RateLimit]) -> float:
    """Return how long so many calls take: the first ones of a span are sent at once, the next span waits."""
    if not calls:
        return 0.0
    if not limits:
        return calls * UNDECLARED_S
    return max((calls - 1) // limit.requests * float(limit.seconds) for limit in limits)


def expected_bytes(images: int, side_px: int | None) -> int:
    """Return the bytes of so many images whose shorter side is about ``side_px``; of originals without one."""
    each = ORIGINAL_BYTES if side_px is None else min(ORIGINAL_BYTES, BYTES_PER_PIXEL * side_px * side_px * ASPECT)
    return round(images * each)


Surveys = Mapping[tuple[str, str], Survey]
"""By keyword and source."""


def make_plan(
    quota: Quota,
    keywords: Sequence[str],
    surveys: Surveys,
    infos: Mapping[str, SourceInfo],
    limits: Mapping[str, Sequence[RateLimit]],
    *,
    side_px: int | None = None,
) -> Plan:
    """Divide the target as a build does, and add up what its first round takes.

    Args:
        surveys: of the searches that can be made.
        infos, limits: of their sources.
    """
    supplies = [
        Supply(searches={_key(keyword, name): reachable(surveys[keyword, name], info.depth) for name, info in infos.items()} or {"": 0})
        for keyword in keywords
    ]
    wants = plan_searches(quota, supplies)
    searches = [
        _search_plan(keyword, label, surveys[keyword, name], info, wants.get(_key(keyword, name), 0))
        for keyword, label in zip(keywords, quota.labels, strict=True)
        for name, info in infos.items()
    ]
    sources = [_source_plan(info, limits[name], searches) for name, info in infos.items()]
    return Plan(
        target=quota.total,
        candidates=sum(item.candidates for item in searches),
        reachable=sum(item.reachable or 0 for item in searches),
        calls=sum(item.calls for item in searches),
        seconds=max((item.seconds for item in sources), default=0.0),
        size_bytes=expected_bytes(sum(item.candidates for item in searches), side_px),
        searches=searches,
        sources=sources,
        in_the_way=[*_shortages(quota, supplies, keywords), *_problems(searches)],
    )


def _key(keyword: str, source: str) -> str:
    return f"{source}\n{keyword}"


def _search_plan(keyword: str, label: str, survey: Survey, info: SourceInfo, candidates: int) -> SearchPlan:
    return SearchPlan(
        keyword=keyword,
        label=label,
        source=info.name,
        results=survey.total if survey.of_any_licence is None else survey.of_any_licence,
        allowed=survey.total if survey.of_any_licence is not None else None,
        reachable=reachable(survey, info.depth),
        candidates=candidates,
        calls=calls_for(survey, candidates, info),
        problem=survey.problem,
    )


def _source_plan(info: SourceInfo, limits: Sequence[RateLimit], searches: Sequence[SearchPlan]) -> SourcePlan:
    own = [item for item in searches if item.source == info.name]
    calls = sum(item.calls for item in own)
    capped = sum(1 for item in own if None not in (item.reachable, item.results) and (item.reachable or 0) < _askable(item))
    notes = [f"{capped} of {len(own)} searches end before their last result, at {info.depth} each"] if capped else []
    if any(item.allowed is None and item.results for item in own):
        notes.append("it cannot be asked by licence; what the licence gate leaves is known only when results come")
    if not limits and calls:
        notes.append(f"it declares no limit; reckoned with {UNDECLARED_S:g} s a call")
    return SourcePlan(info.name, calls, seconds_for(calls, limits), tuple(map(str, limits)), tuple(notes))


def _askable(item: SearchPlan) -> int:
    return (item.results if item.allowed is None else item.allowed) or 0


def _shortages(quota: Quota, supplies: Sequence[Supply], keywords: Sequence[str]) -> list[str]:
    """The keywords whose sources have less than their share, even if every result became an image."""
    shares = quota.shares([None] * len(keywords))
    return [
        f"{keyword}: {share} wanted, {supply.limit} reachable"
        for keyword, share, supply in zip(keywords, shares, supplies, strict=True)
        if supply.limit is not None and supply.limit < share
    ]


def _problems(searches: Sequence[SearchPlan]) -> list[str]:
    """What sources answered instead of a count, each once, with the number of searches."""
    found: dict[str, int] = {}
    for item in searches:
        if item.problem:
            words = f"{item.source}: {item.problem}"
            found[words] = found.get(words, 0) + 1
    return [f"{words} ({number} searches)" if number > 1 else words for words, number in found.items()]
