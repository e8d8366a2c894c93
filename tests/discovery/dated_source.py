"""A source with a depth, whose images have dates by which a search is divided; it counts its calls."""

import itertools
from bisect import bisect_left
from collections.abc import Sequence
from typing import ClassVar

import errors
from app.discovery.sources import slicing
from app.discovery.sources.rate_limits import RateLimit
from app.discovery.sources.source import Part, Place, Query, Reply, Source, SourceInfo, SourceOptions, read_offset
from app.domain import Candidate

__all__ = ["DatedSource", "dated"]

SPAN = 1_000_000


class DatedSource(Source):
    """Its images are days from 0 to a million, in that order; a search for any keyword finds all of them."""

    info: ClassVar[SourceInfo] = SourceInfo(
        name="dated", title="Dated", base_url="https://dated.example", terms_url="", docs_url="", licences="", depth=1_000, page_size=100,
        limits=(RateLimit(60, 60),), filters=("license",), is_divisible=True,
    )  # fmt: skip
    days: Sequence[int] = ()
    refusal: errors.PictrawlError | None = None

    def __init__(self) -> None:
        super().__init__(None, SourceOptions("https://dated.example"))  # type: ignore[arg-type]
        self.calls = self.counts = 0

    def _bounds(self, part: Part) -> tuple[int, int]:
        low, high = int(part.get("from", 0)), int(part.get("before", SPAN))
        return bisect_left(self.days, low), bisect_left(self.days, high)

    async def read(self, query: Query, place: Place) -> Reply:
        self.calls += 1
        first, last = self._bounds(place.part)
        offset, size = read_offset(place.page), self.info.page_size
        if self.info.depth is not None and offset >= self.info.depth:
            raise errors.BadRequestError("too deep", status=400)
        found = self.days[first + offset : min(first + offset + size, last)]
        items = [Candidate(f"https://dated.example/{first + offset + at}.jpg", "dated") for at in range(len(found))]
        following = str(offset + size) if first + offset + size < last else None
        return Reply(items, following, last - first)

    async def count(self, query: Query, part: Part) -> int | None:
        self.counts += 1
        if self.refusal is not None:
            raise self.refusal
        first, last = self._bounds(part)
        share = 1 if query.licences.allows("CC-BY-4.0") else 2
        return (last - first) // share

    def divide(self, query: Query, part: Part, total: int) -> Sequence[Part]:
        if not self.info.is_divisible:
            return ()
        low, high = int(part.get("from", 0)), int(part.get("before", SPAN))
        if high - low < 2:
            return ()
        number = min(slicing.slices_for(total, self.info.depth or 1), high - low)
        edges = [low + (high - low) * at // number for at in range(number + 1)]
        return [{"from": str(one), "before": str(other)} for one, other in itertools.pairwise(edges)]


def dated(days: Sequence[int], **values: object) -> DatedSource:
    """A source with images of these days; ``values`` change its description."""
    kind = type("OneDated", (DatedSource,), {"info": SourceInfo(**{**_fields(), **values})})  # type: ignore[arg-type]
    made: DatedSource = kind()
    made.days = sorted(days)
    return made


def _fields() -> dict[str, object]:
    return {name: getattr(DatedSource.info, name) for name in SourceInfo.__slots__}
