"""With which label an image is kept, and in which split: the rules of a build, and those of an image that a person keeps later.

Pure, but for `splits_for`. A split never divides a group: images that resemble each other, or share what ``split_by`` names.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.db import Connection, earlier_splits, image_search
from app.db.earlier_splits import ClusterMember
from app.db.image_search import Choice
from app.domain import ImageState, StoredImage
from app.images.split_groups import SplitTable
from app.images.splits import assign_all, preferred
from app.spec import JobSpec

__all__ = ["ONE_SPLIT", "assign_splits", "label_of", "name_groups", "own_groups", "splits_before", "splits_for"]

ONE_SPLIT: Mapping[str, float] = {"train": 1.0}
"""The default of a request, which asks for no division: the splits that a list names stand."""


def label_of(image: Choice | StoredImage, spec: JobSpec, search_labels: Mapping[str, str | None]) -> str | None:
    """The label with which a build keeps an image: the one that a person gave it, else that of the job, of its list or of its search."""
    return image.reviewed_label or spec.label or image.label or search_labels.get(image.search_id or "")


def own_groups(kept: Sequence[Choice], spec: JobSpec) -> list[Choice]:
    """Return the images without the groups of their source where the job does not split by group."""
    if "group" in spec.split_by:
        return list(kept)
    return [replace(item, group=item.sha256, has_group=False) if item.has_group else item for item in kept]


def name_groups(kept: Sequence[Choice], components: Mapping[int, int]) -> list[Choice]:
    """Return the images with the group of the first image, by id, of their component.

    Args:
        components: a number for each image; images of one component have the same.
    """
    names: dict[int, str] = {}
    for item in sorted(kept, key=lambda item: item.id):
        names.setdefault(components[item.id], item.group)
    return [item if item.group == names[components[item.id]] else replace(item, group=names[components[item.id]]) for item in kept]


def splits_before(
    kept: Sequence[Choice], members: Sequence[ClusterMember], before: Mapping[int, str], shares: Mapping[str, float], *, is_again: bool
) -> dict[str, str]:
    """Return the split that each group had, by what its images had; `preferred` decides where they had several.

    Args:
        kept: the images, with the groups of their clusters.
        members: those that were left out.
        before: by image id, the split in an earlier dataset.
        is_again: whether the images were labelled before, also those that are no longer marked as kept.
    """
    groups = {item.id: item.group for item in kept}
    had = [(item.group, item.split) for item in kept if item.is_kept or is_again]
    had += [(item.group, before.get(item.id)) for item in kept]
    had += [(groups[member.kept_id], before.get(member.id)) for member in members if member.kept_id in groups]
    splits: dict[str, set[str]] = {}
    for group, split in had:
        if split:
            splits.setdefault(group, set()).add(split)
    return {group: split for group, names in splits.items() if (split := preferred(names, shares))}


def assign_splits(
    kept: Sequence[Choice], names: Sequence[str | None], splits: Mapping[str, float], seed: int, before: Mapping[str, str] | None = None
) -> list[str]:
    """Return a split for each image: by the shares that the job asks for, else the one that the list names, for it or for its group.

    Args:
        names: label of each image.
        before: the split that a group had.
    """
    if splits != ONE_SPLIT:
        return assign_all([(name or "", item.group) for name, item in zip(names, kept, strict=True)], splits, seed, before)
    of_group = {item.group: item.split for item in reversed(kept) if item.split}
    return [item.split or of_group.get(item.group) or next(iter(ONE_SPLIT)) for item in kept]


async def splits_for(connection: Connection, dataset_id: str, spec: JobSpec, new: Sequence[int]) -> dict[int, str]:
    """Return the split of each of these images that are to be kept; images that are kept stay where they are.

    An image comes into the split of its group, or where it was before; one that shares nothing goes where a build would put it.
    """
    kept = await image_search.choices(connection, dataset_id, [ImageState.KEPT])
    found = kept + await image_search.choices_of(connection, new)
    if spec.splits == ONE_SPLIT:
        splits = assign_splits(found, [item.label for item in found], spec.splits, spec.seed)
    else:
        ids, table = [], SplitTable()
        async for page in earlier_splits.split_keys(connection, dataset_id, [ImageState.KEPT], further=new):
            for image_id, _, keys in page:
                ids.append(image_id)
                table.add(keys)
        splits = await asyncio.to_thread(_by_group, own_groups(found, spec), spec, ids, table)
    wanted = set(new)
    return {item.id: split for item, split in zip(found, splits, strict=True) if item.id in wanted}


def _by_group(found: Sequence[Choice], spec: JobSpec, ids: Sequence[int], table: SplitTable) -> list[str]:
    components = dict(zip(ids, table.components(spec.split_by, spec.near_distance).tolist(), strict=True))
    grouped = name_groups(found, components)
    before = splits_before(grouped, [], {}, spec.splits, is_again=True)
    return assign_splits(grouped, [item.label for item in grouped], spec.splits, spec.seed, before)
