"""Which images a dataset takes by ``where``, and which of them an export holds.

Retry: none here. A run that is repeated selects the same images.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import errors
from app import concurrency, selection
from app.datasets.splitting import label_of
from app.db import jobs
from app.db.image_search import Choice, choices, pages_of_state
from app.domain import ImageState, Reason
from app.export_spec import ExportSpec
from app.formatting import clipped
from app.review_actions import Reviewed
from app.selection import Selection, Test
from app.selection.limits import Labelled, LabelLimits, left_out
from app.spec import JobSpec
from logging_setup import get_logger
from workers.unit import ClaimedUnit, JobContext

__all__ = ["NothingSelected", "find_over_limit", "find_unselected", "label_of", "labelled", "select_for_export"]

log = get_logger(__name__)

SHOWN_CHARS = 200


class NothingSelected(errors.ValidationError):
    """An export's selection takes no image."""


async def find_unselected(unit: ClaimedUnit) -> list[dict[str, Any]]:
    """Return the changes of the valid images of a build that its ``where`` does not take.

    This comes before duplicates are found, so that of two copies the one that is taken stays, and while the job can still ask for others.
    """
    spec = unit.spec
    if spec.where is None:
        return []
    wanted, dataset_id, read, changes = selection.parse(spec.where), unit.job.dataset_id, 0, []
    known = await jobs.search_labels(unit.ctx.db, dataset_id)
    rejected = {"state": ImageState.REJECTED, "reason": Reason.NOT_SELECTED, "detail": f"not selected by where: {_shown(wanted)}"}
    async with unit.ctx.db.read() as connection:
        async for page in pages_of_state(connection, dataset_id, ImageState.VALID):
            named = [replace(image, label=label_of(image, spec, known)) for image in page]
            changes += [{"id": image.id} | rejected for image in named if image.reviewed != Reviewed.KEEP and not wanted.matches(image)]
            read += len(page)
    log.info("dataset.selected", images=read, not_selected=len(changes))
    return changes


async def find_over_limit(unit: ClaimedUnit) -> list[dict[str, Any]]:
    """Return the changes of the images of a build whose labels have enough by ``max_per_label``.

    This comes once duplicates are out, and while the job can still ask for images of other labels.
    """
    spec, dataset_id = unit.spec, unit.job.dataset_id
    if spec.max_per_label is None:
        return []
    known = await jobs.search_labels(unit.ctx.db, dataset_id)
    async with unit.ctx.db.read() as connection:
        found = await choices(connection, dataset_id, [ImageState.VALID, ImageState.KEPT])
    limits = LabelLimits(spec.max_per_label)
    out = await concurrency.to_thread_uncancelled(lambda: left_out(labelled(found, spec, known), limits))
    decided = {item.id for item in found if item.is_decided}
    log.info("dataset.labels_limited", images=len(found), over_limit=len(out), limit=spec.max_per_label)
    return [
        {"id": image_id, "state": ImageState.REJECTED, "reason": Reason.OVER_TARGET, "detail": why}
        for image_id, why in out.items()
        if image_id not in decided
    ]


def labelled(found: Iterable[Choice], spec: JobSpec, search_labels: Mapping[str, str | None]) -> Iterator[Labelled]:
    """Yield the images with a label as they are limited."""
    for item in found:
        if label := label_of(item, spec, search_labels):
            yield Labelled.of(item.id, label, item.sha256, spec.seed, is_kept=item.is_kept)


def _shown(wanted: Selection) -> str:
    return clipped(str(wanted), SHOWN_CHARS)


async def select_for_export(ctx: JobContext, dataset_id: str, spec: ExportSpec) -> Test:
    """Return the function that says whether a kept image belongs to an export. Limits for each label take a pass over the dataset, which
    holds a few numbers for each image.

    Raises:
        NothingSelected: no image is selected.
    """
    wanted = None if spec.where is None else selection.parse(spec.where)
    if wanted is None and not spec.is_limited:
        return lambda _: True
    found, unlabelled = [], 0
    async with ctx.db.read() as connection:
        async for page in pages_of_state(connection, dataset_id, ImageState.KEPT):
            for image in page:
                if wanted is not None and not wanted.matches(image):
                    continue
                if image.label:
                    found.append(Labelled.of(image.id, image.label, str(image.sha256), spec.seed))
                else:
                    unlabelled += 1
    if not found and not unlabelled:
        log.error("export.selects_nothing")
        raise NothingSelected(f"where selects no image of dataset {dataset_id}: {_shown(wanted) if wanted else ''}")
    out = await concurrency.to_thread_uncancelled(left_out, found, LabelLimits(spec.max_per_label, spec.balance))
    log.info("export.selected", images=len(found) + unlabelled - len(out), over_limit=len(out))
    return lambda image: image.id not in out and (wanted is None or wanted.matches(image))
