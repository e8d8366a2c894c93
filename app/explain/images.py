"""One image's story, gathered: its row, its requests, its checks, what it repeats, where it is. Told by :mod:`app.explain.telling`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import errors
from app.db import Database, attempts, datasets, events, images, jobs, units
from app.db.rows import Dataset, Event, Export, Job, Search
from app.domain import ImageState, JobKind, StoredImage, ValidationRules
from app.explain import happenings
from app.explain.checks import CheckLine, check_lines
from app.explain.duplicates import Duplicate
from app.explain.evidence import robots_txt_of
from downloader.models import Attempt

__all__ = ["ImageStory", "Try", "image_story"]

NEAR_DISTANCE = 6
"""What the settings say where a job's own spec does not."""

EXPORTS = 20
"""Exports of a dataset that are looked at, newest first."""


@dataclass(frozen=True, slots=True)
class Try:
    """A request to an image's origin; ``state`` is ``reserved``, ``done``, or ``lost`` with the process that made it."""

    job_id: str
    state: str
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class ImageStory:
    """An image with all that is known of it.

    Attributes:
        job: the one it belongs to; the rules of its checks are those of whichever job judged it last.
        search: how it was found; ``None`` where that is not known any more.
        happened: crashes, retries and deaths of the work on its chunk.
        exports: finished ones that it is part of.
        others: rows of the same URL in other datasets, or with the same bytes.
    """

    image: StoredImage
    job: Job
    dataset: Dataset
    search: Search | None
    rules: ValidationRules
    tries: Sequence[Try]
    happened: Sequence[Event]
    checks: Sequence[CheckLine]
    duplicate: Duplicate | None
    exports: Sequence[Export]
    others: Sequence[StoredImage] = ()

    @property
    def robots_txt(self) -> str | None:
        """Where the rules for it lie, where they were asked."""
        return robots_txt_of(self.image.final_url or self.image.url) if self.image.robots else None


async def image_story(db: Database, found: Sequence[StoredImage]) -> ImageStory:
    """Read all that is known of the first of these images; the rest are its other rows."""
    image = found[0]
    job = await jobs.get(db, image.job_id)
    rules = await _rules(db, image, job)
    return ImageStory(
        image=image,
        job=job,
        dataset=await datasets.get_dataset(db, image.dataset_id),
        search=await jobs.find_search(db, image.search_id) if image.search_id else None,
        rules=rules,
        tries=[Try(*made) for made in await attempts.of_image(db, image.id)],
        happened=await _happened(db, image),
        checks=check_lines(image, rules),
        duplicate=await _duplicate(db, image, job),
        exports=await _exports(db, image),
        others=found[1:],
    )


async def _rules(db: Database, image: StoredImage, job: Job) -> ValidationRules:
    """Those of a later validation of the dataset, where there was one, else of the image's own job."""
    if image.measures is not None:
        later = await jobs.newest_of_dataset(db, image.dataset_id, JobKind.VALIDATION)
        if later is not None and later.started_at is not None and later.spec.get("validation"):
            job = later
    given: dict[str, Any] = dict(job.spec.get("validation") or {})
    return ValidationRules(**given | ({"formats": tuple(given["formats"])} if "formats" in given else {}))


async def _happened(db: Database, image: StoredImage) -> list[Event]:
    if image.chunk_id is None:
        return []
    of_chunk = await units.units_of_chunk(db, image.job_id, image.chunk_id)
    return await events.named(db, image.job_id, happenings.NAMES, chunk_id=image.chunk_id, unit_ids=[unit.id for unit in of_chunk])


async def _duplicate(db: Database, image: StoredImage, job: Job) -> Duplicate | None:
    if image.duplicate_of is None or image.state is not ImageState.DUPLICATE:
        return None
    try:
        original = await images.get(db, image.duplicate_of)
    except errors.NotFoundError:
        return None
    return Duplicate(image, original, int(job.spec.get("near_distance") or NEAR_DISTANCE))


async def _exports(db: Database, image: StoredImage) -> list[Export]:
    """An export has every image that was kept when it was begun, so it has those that have not changed since."""
    if image.state is not ImageState.KEPT:
        return []
    page = await datasets.page_exports(db, dataset_id=image.dataset_id, limit=EXPORTS)
    return [export for export in page.items if export.state == "ready" and export.created_at >= (image.updated_at or 0.0)]
