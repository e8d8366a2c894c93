"""Builds on an earlier version of a dataset: copies its images, asks for them again in an update, and ends where nothing changed.

The earlier version is only read. Retry: none here; nothing is requested from the network.
"""

from collections.abc import Mapping
from typing import Any, Final

from app.datasets.versions import DatasetState
from app.db import Connection, copy_images, jobs, versions
from app.db.copy_images import AS_THEY_ARE, ImageCopy, Original
from app.db.rows import NewUnit
from app.domain import FOLDER_SOURCE, ImageState, Reason
from app.job_states import JobKind, UnitKind
from app.jobs.submit import RETRYABLE
from app.spec import JobSpec
from logging_setup import get_logger
from workers.stages.rounds import next_wants, search_units
from workers.unit import ClaimedUnit

__all__ = ["as_they_were", "copy_base", "end_unchanged", "image_copy", "is_unchanged", "keeps_bytes", "load_originals", "plan_update"]

log = get_logger(__name__)

ASKED_AGAIN: Final[Mapping[ImageState, ImageState]] = {
    **AS_THEY_ARE,
    **dict.fromkeys((ImageState.KEPT, ImageState.VALID, ImageState.DUPLICATE), ImageState.PENDING),
}
"""States of an update's copies: what may be kept is asked for again, what failed or was left out for good is not."""

DECIDED_ANEW: Final[Mapping[Reason, ImageState]] = {Reason.OVER_TARGET: ImageState.SPARE, Reason.NOT_SELECTED: ImageState.VALID}
"""States of copies whose originals were left out for want of room: the target may need them now."""

NO_ANSWER: Final = RETRYABLE | {Reason.TLS, Reason.PROTOCOL, Reason.CONTACT_REQUIRED, Reason.POISON}
"""Reasons that say nothing about the image: its host is down today, or the request did not get that far."""

REFUSED: Final = frozenset({Reason.HTTP_400, Reason.HTTP_401, Reason.HTTP_403, Reason.HTTP_4XX})
"""Reasons that say nothing of the image either: a site that turns a crawler away answers so to every request."""


def keeps_bytes(reason: Reason) -> bool:
    """Whether an image that is asked for again keeps the bytes that are stored where its request fails for this reason."""
    return reason in NO_ANSWER or reason in REFUSED


def image_copy(spec: JobSpec, dataset_id: str, job_id: str, chunk_size: int) -> ImageCopy:
    """Decide what is copied from the earlier version, and in which states."""
    if spec.into is not None:
        return ImageCopy(spec.into, dataset_id, job_id, has_searches=False, chunk_size=chunk_size)
    return ImageCopy(
        str(spec.update_of),
        dataset_id,
        job_id,
        states=ASKED_AGAIN,
        reasons={**DECIDED_ANEW, **dict.fromkeys(RETRYABLE if spec.retry_failed else (), ImageState.PENDING)},
        as_they_are=() if spec.folder is not None else (FOLDER_SOURCE,),
        chunk_size=chunk_size,
    )


async def copy_base(unit: ClaimedUnit) -> None:
    """Copy the images of the version that a build begins with, and of an update its searches, which begin at their start again."""
    spec, job = unit.spec, unit.job
    copy = image_copy(spec, job.dataset_id, job.id, unit.ctx.settings.jobs.chunk_size)
    if spec.update_of is not None:
        async with unit.transaction() as connection:
            for search in await jobs.searches_in(connection, copy.source_id):
                known = {"qid": search.qid, "category": search.category, "root_keyword": search.root_keyword}
                await jobs.add_searches(connection, job.id, [(search.source, search.keyword, search.label)], **known)
    images = await copy_images.copy_images(unit.transaction, copy)
    log.info("dataset.copied", images=images, source=copy.source_id)


async def plan_update(connection: Connection, unit: ClaimedUnit) -> list[NewUnit]:
    """Return the units of an update: what is asked for again, and the searches, but those of a target only once it is known what lacks."""
    chunks = await copy_images.chunks_to_fetch(connection, unit.job.id)
    fetches = [NewUnit(UnitKind.FETCH, {"chunk_id": chunk_id}) for chunk_id in chunks]
    if unit.spec.quota is not None:
        return fetches or search_units(await next_wants(connection, unit))
    return [*fetches, *search_units(dict.fromkeys(search.id for search in await jobs.searches_in(connection, unit.job.dataset_id)))]


async def load_originals(connection: Connection, unit: ClaimedUnit, chunk_id: str) -> dict[int, Original]:
    """Load what the images of a chunk were in the version that an update begins with; none in any other build."""
    if unit.job.kind is not JobKind.BUILD or not unit.spec.is_update:
        return {}
    return await copy_images.originals_of_chunk(connection, chunk_id)


def as_they_were(originals: Mapping[int, Original]) -> list[dict[str, Any]]:
    """Return the changes of images that are not asked for again after all."""
    return [{"id": image_id, "state": original.state, **original.values} for image_id, original in originals.items()]


async def is_unchanged(unit: ClaimedUnit, state: DatasetState | None) -> bool:
    """Whether an update has found what the version had that it began with."""
    if state is None or unit.job.kind is not JobKind.BUILD or not unit.spec.is_update:
        return False
    async with unit.ctx.db.read() as connection:
        base = await versions.newest_of_dataset(connection, str(unit.spec.update_of))
    return base is not None and base.digest == state.digest


async def end_unchanged(unit: ClaimedUnit) -> None:
    """End an update that changed nothing: its dataset is removed, and the job belongs to the one that it asked about."""
    async with unit.transaction() as connection:
        await jobs.end_on_base(connection, unit.job, str(unit.spec.update_of))
        await unit.finish_in(connection)
    log.info("dataset.unchanged", base=unit.spec.update_of)
