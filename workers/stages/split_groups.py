"""Names the group of each image that a split does not divide: of the first image that it shares something with, directly or by others.

Retry: none here. A run that is repeated names the same groups.
"""

import asyncio
from collections.abc import Sequence

import numpy as np

from app.datasets.splitting import name_groups
from app.db import earlier_splits
from app.db.image_search import Choice
from app.domain import ImageState
from app.images.split_groups import LARGE_SHARE, SplitTable
from app.spec import JobSpec
from logging_setup import get_logger
from workers.unit import ClaimedUnit

__all__ = ["join_groups"]

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
