"""Cuts a search that is deeper than its source gives out: a list of values into groups, a range of numbers into ranges. Pure.

Both go by shares that are roughly known beforehand. Where these are wrong a slice is too deep, which costs one request to find out, and is
cut again; nothing is lost.
"""

import itertools
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Scale", "groups", "slices_for"]

FILL = 0.65
"""Part of a source's depth that a slice is planned to have: fuller ones are too deep too often, emptier ones end on half-empty pages."""


MAX_SLICES = 20
"""Slices that are made at once; a total that is nonsense costs no more requests than that."""


def slices_for(total: int, depth: int) -> int:
    """Return into how many slices ``total`` results are cut where ``depth`` of one can be reached; at least 2."""
    return min(max(2, math.ceil(total / (depth * FILL))), MAX_SLICES)


def groups(shares: Mapping[str, float], number: int) -> list[tuple[str, ...]]:
    """Put values into at most ``number`` groups of nearly equal shares; each group keeps the order of ``shares``."""
    sums = [0.0] * min(number, len(shares))
    members: list[list[str]] = [[] for _ in sums]
    for value in sorted(shares, key=lambda value: -shares[value]):
        smallest = sums.index(min(sums))
        sums[smallest] += shares[value]
        members[smallest].append(value)
    order = list(shares)
    return [tuple(sorted(group, key=order.index)) for group in members]


@dataclass(frozen=True, slots=True)
class Scale:
    """Whole numbers over which the images of a source are spread, such as seconds of upload.

    Attributes:
        points: ascending; between each two of them there are roughly equally many images, before the first none, after the last few.
    """

    points: tuple[int, ...]

    def cut(self, low: int | None, high: int | None, number: int) -> list[tuple[int | None, int | None]]:
        """Cut the numbers from ``low`` to below ``high`` into at most ``number`` ranges with roughly equally many images.

        ``None`` is no bound. No ranges are returned where there is nothing left to cut.
        """
        first = 0.0 if low is None else self._position(low)
        last = max(float(len(self.points) - 1), first + 1) if high is None else self._position(high)
        cuts = {self._value(first + (last - first) * step / number) for step in range(1, number)}
        inner = [cut for cut in sorted(cuts) if cut > (self.points[0] if low is None else low) and (high is None or cut < high)]
        bounds = [low, *inner, high]
        return list(itertools.pairwise(bounds)) if inner else []

    def _position(self, value: int) -> float:
        """Where a number is on the scale, in shares; after the last point it goes on as between the last two."""
        index = min(max(bisect_right(self.points, value) - 1, 0), len(self.points) - 2)
        start, end = self.points[index], self.points[index + 1]
        return max(0.0, index + (value - start) / (end - start))

    def _value(self, position: float) -> int:
        index = min(int(position), len(self.points) - 2)
        start, end = self.points[index], self.points[index + 1]
        return start + round((position - index) * (end - start))
