"""Which pictures have several labels, and which of their images are kept out for it. Pure; knows no rows and no lists.

A picture is one kept image with its duplicates. An image without a label agrees with any label.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from app.domain import LabelConflicts
from app.images.dedupe import Comparable, Copy, Mode, class_of, compare

__all__ = ["Conflict", "Resolution", "resolve"]

Item = TypeVar("Item", bound=Comparable)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why an image is kept out: another one shows the same picture and has another label; for an image without a label, has a label that
    a third one contradicts.

    Attributes:
        other_id: id of the other image.
        labels: of the image and of the other one.
        has_same_bytes: whether their bytes are equal.
    """

    other_id: int
    labels: tuple[str | None, str | None]
    has_same_bytes: bool


@dataclass(frozen=True, slots=True)
class Resolution:
    """What becomes of the images: by id the duplicates, and those that are kept out over their labels; all others are kept.

    Attributes:
        pictures: pictures with several labels, also where the policy keeps one image per label.
    """

    duplicates: Mapping[int, Copy]
    conflicts: Mapping[int, Conflict]
    pictures: int = 0


def resolve(
    items: Sequence[Item], mode: Mode, distance: int, policy: LabelConflicts, duplicates: Mapping[int, Copy] | None = None
) -> Resolution:
    """Find the duplicates, and what is kept of pictures with several labels.

    Args:
        items: any number, with unique ids.
        mode, distance: see `app.images.dedupe.compare`.
        policy: ``drop`` keeps no image of such a picture, ``keep-first`` those with the label of its lowest id, ``keep-all`` the best of
            each label.
        duplicates: of all items, where they are known already.
    """
    conflicts: dict[int, Conflict] = {}
    pictures = 0
    rest = list(items)
    while True:
        duplicates = compare(rest, mode, distance) if duplicates is None else duplicates
        mixed = _mixed(rest, duplicates)
        pictures += len(mixed)
        if policy == "keep-all" and mixed:
            return Resolution(compare(rest, mode, distance, within_labels=True), {}, pictures)
        if not mixed:
            return Resolution(duplicates, conflicts, pictures)
        for group in mixed:  # what is left is compared again: an image that is kept out keeps no other one
            conflicts |= {item.id: _conflict(item, group) for item in _losers(group, policy)}
        rest, duplicates = [item for item in rest if item.id not in conflicts], None


def _mixed(items: Iterable[Item], duplicates: Mapping[int, Copy]) -> list[list[Item]]:
    """The pictures with several labels, each as its images in the order of their ids."""
    kept_ids = {copy.kept_id for copy in duplicates.values()}
    groups: dict[int, list[Item]] = {}
    for item in items:
        kept_id = duplicates[item.id].kept_id if item.id in duplicates else item.id
        if kept_id in kept_ids:
            groups.setdefault(kept_id, []).append(item)
    mixed = [group for group in groups.values() if len({label for item in group if (label := class_of(item))}) > 1]
    return [sorted(group, key=lambda item: item.id) for group in mixed]


def _losers(group: Sequence[Item], policy: LabelConflicts) -> Sequence[Item]:
    """Those that are kept out. An image that a person keeps is not, and its label is the first one."""
    if policy == "drop":
        return [item for item in group if not item.decided]
    decided = sorted(group, key=lambda item: not item.decided)
    first = next(label for item in decided if (label := class_of(item)))
    return [item for item in group if class_of(item) not in (None, first) and not item.decided]


def _conflict(item: Item, group: Sequence[Item]) -> Conflict:
    """Name an image with another label: one with the same bytes where there is one, else the first."""
    others = [other for other in group if class_of(other) not in (None, class_of(item))]
    other = next((other for other in others if other.sha256 == item.sha256), others[0])
    return Conflict(other.id, (item.label, other.label), other.sha256 == item.sha256)
