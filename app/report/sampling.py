"""Which pictures a report shows: a fair sample, the same for the same images, of a size that does not grow with the dataset. Pure."""

from collections.abc import Mapping
from typing import Generic, TypeVar

__all__ = ["LEAST_OF_LABEL", "MOST_OF_LABEL", "SHEET_PICTURES", "Sample", "divide", "of_each_label"]

K = TypeVar("K")

SHEET_PICTURES = 600
"""Pictures on all contact sheets together: about 1.5 MB, and a quarter of a second to decode."""

MOST_OF_LABEL, LEAST_OF_LABEL = 120, 4
"""Pictures of one label. With more labels than have room for the least, only the most frequent labels get a sheet."""


class Sample(Generic[K]):
    """The items with the smallest keys of all that were added, in bounded memory. Digests as keys make it a fair sample."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: list[tuple[str, K]] = []

    def add(self, key: str, item: K) -> None:
        """Add an item."""
        self._items.append((key, item))
        if len(self._items) > 4 * self._size:
            self._trim()

    def items(self, most: int | None = None) -> list[K]:
        """The sampled items in the order of their keys."""
        self._trim()
        return [item for _, item in self._items[:most]]

    def _trim(self) -> None:
        self._items.sort(key=lambda pair: pair[0])
        del self._items[self._size :]


def of_each_label(labels: int) -> tuple[int, int]:
    """Return how many labels get a sheet, and how many pictures each of them shows at most."""
    each = max(LEAST_OF_LABEL, min(MOST_OF_LABEL, SHEET_PICTURES // max(1, labels)))
    return min(labels, SHEET_PICTURES // each), each


def divide(room: int, sizes: Mapping[K, int]) -> dict[K, int]:
    """Divide room among groups by their sizes (D'Hondt): each gets a place if there are enough, and none more than its size."""
    if sum(sizes.values()) <= room:
        return dict(sizes)
    places = dict.fromkeys(sizes, 0)
    for _ in range(room):
        neediest = max(sizes, key=lambda group: (places[group] == 0, sizes[group] / (places[group] + 1)))
        places[neediest] += 1
    return places
