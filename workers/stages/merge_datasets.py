"""Fills the dataset of a merge: copies the images of the others, each URL once, and rejects URLs with several labels where asked.

The others are only read. Retry: none here. A run that is repeated copies what is still missing.
"""

from app.db import copy_images, merged_images, reviews
from app.db.copy_images import ImageCopy
from app.db.merged_images import LabelPair
from app.domain import ImageState, Reason
from app.formatting import clipped
from logging_setup import get_logger
from workers.stages.deduplicate import update_images
from workers.unit import ClaimedUnit

__all__ = ["copy_merged"]

log = get_logger(__name__)

LABEL_CHARS = 60


async def copy_merged(unit: ClaimedUnit) -> None:
    """Copy the images of the datasets of a merge, in their order."""
    spec, job = unit.spec, unit.job
    sources = [merged.dataset_id for merged in spec.merge_of]
    for source_id in sources:
        async with unit.transaction() as connection:
            await merged_images.drop_unkept(connection, job.dataset_id, source_id)
        copy = ImageCopy(source_id, job.dataset_id, job.id, chunk_size=unit.ctx.settings.jobs.chunk_size)
        copied = await copy_images.copy_images(unit.transaction, copy)
        log.info("dataset.copied", images=copied, source=source_id)
    async with unit.transaction() as connection:
        adopted = await reviews.adopt(connection, job.dataset_id, sources)
    if adopted:
        log.info("dataset.reviews_adopted", images=adopted)
    if spec.label_conflicts == "drop":
        await _reject_conflicts(unit, sources)


async def _reject_conflicts(unit: ClaimedUnit, sources: list[str]) -> None:
    """Reject the images whose URLs have another label in another dataset. Otherwise the label of the first dataset stands."""
    async with unit.ctx.db.read() as connection:
        pairs = await merged_images.other_labels(connection, unit.job.dataset_id, sources)
    rejected = {"state": ImageState.REJECTED, "reason": Reason.LABEL_CONFLICT, "duplicate_of": None}
    first = {pair.image_id: pair for pair in reversed(pairs)}
    await update_images(unit, ({"id": image_id, "detail": _words(pair)} | rejected for image_id, pair in sorted(first.items())))
    if first:
        log.warning("dataset.label_conflicts", pictures=len(first), images=len(first), policy=unit.spec.label_conflicts)


def _words(pair: LabelPair) -> str:
    labels = ", ".join(clipped(label, LABEL_CHARS) if label else "none" for label in (pair.label, pair.other))
    return f"the datasets give its URL different labels: {labels}"
