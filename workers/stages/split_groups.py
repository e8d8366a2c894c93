"""Names the group of each image that a split does not divide: of the first image that it shares something with, directly or by others.

Retry: none here. A run that is repeated names the same groups.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from app.db import earlier_splits
from app.db.image_search import Choice
from app.domain import ImageState
from app.images.split_groups import LARGE_SHARE, SplitTable
from app.spec import JobSpec
from logging_setup import get_logger
from workers.unit import ClaimedUnit

__all__ = ["join_groups", "name_groups", "own_groups"]

log = get_logger(__name__)


async def join_groups(unit: ClaimedUnit, kept: Sequence[Choice]) -> list[Choice]:
    """Return the images with the groups that the job's ``split_by`` keeps in one split."""
    spec, ids, table = unit.spec, [], SplitTable()
    chosen = {item.id for item in kept}
    async with unit.ctx.db.read() as connection:
        async for page in earlier_splits.split_keys(connection, unit.job.dataset_id, [ImageState.VALID, ImageState.KEPT]):
            for image_id, _, keys in page:
                if image_id in chosen:
                    ids.append(image_id)
                    table.add(keys)
    roots = await asyncio.to_thread(table.components, spec.split_by, spec.near_distance)
    _warn_of_large(table, roots, spec)
    return name_groups(kept, dict(zip(ids, roots.tolist(), strict=True)))


def _warn_of_large(table: SplitTable, roots: "np.typing.NDArray[np.int64]", spec: JobSpec) -> None:
    size, by = table.largest(roots, spec.split_by)
    if by is not None and size > LARGE_SHARE * len(table):
        log.warning("splits.large_component", images=size, of=len(table), most_share=by, split_by=list(spec.split_by))


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
