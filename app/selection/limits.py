"""At most so many images of a label. Which ones stay is decided by a hash of seed and digest, the same on every machine. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from app.formatting import count
from app.images.splits import seeded_hash

__all__ = ["LabelLimits", "Labelled", "left_out"]


class Labelled(NamedTuple):
    """An image with a label. ``rank`` is `seeded_hash` of its digest; one that ``is_kept`` already stays before others."""

    label: str
    is_new: bool
    rank: int
    id: int

    @classmethod
    def of(cls, image_id: int, label: str, sha256: str, seed: int, *, is_kept: bool = False) -> "Labelled":
        """The image with its rank."""
        return cls(label, not is_kept, seeded_hash(seed, sha256), image_id)


@dataclass(frozen=True, slots=True)
class LabelLimits:
    """How many images of a label stay.

    Attributes:
        most: of each label; None for any number.
        balance: as many of each label as the smallest one has.
        total: images in all that are wanted, which a balance divides evenly.
    """

    most: int | None = None
    balance: bool = False
    total: int | None = None

    def of(self, sizes: Mapping[str, int]) -> tuple[int | None, str]:
        """The images of each label that stay, and why it is not more; None where nothing limits them.

        Args:
            sizes: number of images of each label.
        """
        limits: dict[str, int | None] = {"max_per_label": self.most}
        if self.balance and sizes:
            limits["balance: the smallest label has no more"] = min(sizes.values())
            limits["balance: the target, divided among the labels"] = max(1, self.total // len(sizes)) if self.total else None
        known = [(limit, why) for why, limit in limits.items() if limit is not None]
        return min(known, key=lambda item: item[0]) if known else (None, "")


def left_out(images: Iterable[Labelled], limits: LabelLimits) -> dict[int, str]:
    """Map the id of each image beyond the limits to why, in words. Images without a label are none of these images."""
    by_label: dict[str, list[Labelled]] = {}
    for image in images:
        by_label.setdefault(image.label, []).append(image)
    most, why = limits.of({label: len(found) for label, found in by_label.items()})
    if most is None:
        return {}
    words = f"valid, but its label has {count(most, 'image')} without it ({why})"
    return {image.id: words for found in by_label.values() for image in sorted(found)[most:]}
