"""Asks a source for the counts of a search and of the parts that it is read in. Reads no result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import errors
from app.discovery.planner import Step, Survey
from app.discovery.sources.source import Part, Query, Source

__all__ = ["MAX_COUNTS", "Surveyor"]

MAX_COUNTS = 100
"""Counts that one source is asked for; what is left of a search is then taken to be like the rest of it."""


@dataclass(slots=True)
class Surveyor:
    """Asks one source, with a budget of counts for all of its searches.

    Args:
        source: that is asked.
        in_words: says what an error of the source means.
        left: counts that may still be asked for.
    """

    source: Source
    in_words: Callable[[errors.PictrawlError], str] = str
    left: int = MAX_COUNTS
    asked: int = field(default=0, init=False)

    async def survey(self, queries: Sequence[Query]) -> list[Survey]:
        """Return what the source says of each query: first of all of them their totals, then of those that are too deep their parts.

        After an error that would meet every query, such as a key that is refused, no further one is asked.
        """
        totals: list[tuple[list[tuple[Part, int]], Survey]] = []
        for query in queries:
            failed = totals[-1][1].problem if totals else None
            totals.append(([], Survey(problem=failed)) if failed else await self._total(query))
        return [await self._refined(query, parts, survey) for query, (parts, survey) in zip(queries, totals, strict=True)]

    async def _total(self, query: Query) -> tuple[list[tuple[Part, int]], Survey]:
        if not self.left:
            return [], Survey()
        try:
            counted = [(part, await self._count(query, part)) for part in self.source.parts(query)]
            known = [(part, number) for part, number in counted if number is not None]
            if len(known) < len(counted):
                return [], Survey()
            total = sum(number for _, number in known)
            return known, Survey(total, await self._of_any_licence(query), [Step(number) for _, number in known])
        except (errors.TransientError, errors.PermanentError) as error:
            return [], Survey(problem=self.in_words(error))

    async def _of_any_licence(self, query: Query) -> int | None:
        """Count without the filter by licence, where the source has one and it is in use."""
        anything = Query(query.keyword, qid=query.qid, category=query.category)
        if "license" not in self.source.info.filters or not query.is_free_only:
            return None
        numbers = [await self._count(anything, part) for part in self.source.parts(anything)]
        return None if None in numbers else sum(number or 0 for number in numbers)

    async def _refined(self, query: Query, parts: Sequence[tuple[Part, int]], survey: Survey) -> Survey:
        """Follow the parts that are too deep, as a search does, as far as the budget goes."""
        if not parts:
            return survey
        steps: list[Step] = []
        waiting: list[tuple[Part, int, bool]] = [(part, number, True) for part, number in parts]
        try:
            while waiting:
                part, number, is_counted = waiting.pop(0)
                if not is_counted and self.left:
                    number, is_counted = await self._count(query, part) or 0, True
                smaller = self._divide(query, part, number) if is_counted else ()
                steps.append(Step(number, is_divided=bool(smaller), is_counted=is_counted))
                waiting[:0] = [(one, number // len(smaller), False) for one in smaller]
        except (errors.TransientError, errors.PermanentError) as error:
            return replace(survey, problem=self.in_words(error))
        return replace(survey, steps=steps)

    def _divide(self, query: Query, part: Part, number: int) -> Sequence[Part]:
        depth = self.source.info.depth
        return self.source.divide(query, part, number) if depth is not None and number > depth else ()

    async def _count(self, query: Query, part: Part) -> int | None:
        self.left, self.asked = max(0, self.left - 1), self.asked + 1
        return await self.source.count(query, part)
