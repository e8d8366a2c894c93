"""Takes out of a dataset what was removed on request: the bytes and near copies of a picture, whatever their URL.

A URL is not requested and known bytes are not stored; a copy that was re-encoded is recognised here, once its hash is known.
Retry: none here. A run that is repeated finds nothing more.
"""

from collections import Counter

from app.datasets.forget import Match, TombstoneIndex, mark_removed, release_blobs
from app.db import image_search, tombstones
from app.job_states import JobKind
from logging_setup import get_logger
from workers.unit import ClaimedUnit, JobContext

__all__ = ["remove_tombstoned"]

log = get_logger(__name__)

WRITE_BATCH = 1_000


async def remove_tombstoned(ctx: JobContext, unit: ClaimedUnit) -> None:
    """Mark the images of a dataset that tombstones of its user name, and delete their bytes."""
    named = await tombstones.of_user(ctx.db, unit.job.user_id)
    if not named:
        return
    distance = unit.spec.near_distance if unit.job.kind is JobKind.BUILD else ctx.settings.validate_.near_distance
    index = TombstoneIndex(named, distance)
    matches: list[Match] = []
    async with ctx.db.read() as reading:
        async for page in image_search.likenesses(reading, user_id=unit.job.user_id, dataset_id=unit.job.dataset_id):
            matches += index.find(page)
    for start in range(0, len(matches), WRITE_BATCH):
        async with unit.transaction() as connection:
            await mark_removed(connection, matches[start : start + WRITE_BATCH])
    if matches:
        blobs = await release_blobs(ctx.db, ctx.store, {digest for found in matches for digest in found.digests})
        log.warning("dataset.tombstoned", images=len(matches), **Counter(found.how for found in matches), blobs=blobs)
