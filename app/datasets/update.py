"""Submission of builds that begin with a version of a dataset: updates, and builds whose images are added to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import errors
from app.datasets import versions
from app.db import datasets, jobs
from app.db.rows import Dataset, Version
from app.inputs import ListSpec
from app.jobs import submit
from app.jobs.submit import Caller, Submitted
from app.resources import Resources
from app.spec import JobRequest, JobSpec

__all__ = ["Update", "submit_into", "submit_update"]


@dataclass(frozen=True, slots=True)
class Update:
    """What an update is asked for besides the dataset.

    Attributes:
        max_images: a larger target than the dataset has.
        url_list: the list as it is now; by default the stored one is read again.
        retry_failed: whether failures that may have passed are asked for again as well.
        place: where its export goes, as fields of the spec.
    """

    max_images: int | None = None
    url_list: ListSpec | None = None
    retry_failed: bool = False
    place: Mapping[str, Any] = field(default_factory=dict)


async def submit_update(resources: Resources, dataset_id: str, wanted: Update, *, caller: Caller | None = None) -> Submitted:
    """Create a job that makes another version of a dataset, of what its origins and sources have now.

    Raises:
        errors.NotFoundError: there is no such dataset of this user, or no build made it.
        StateConflict: a job changes it at this time, or it has no image.
        errors.ValidationError: the target is smaller than the dataset's.
    """
    caller = caller or Caller()
    dataset, _ = await _base(resources, dataset_id, caller)
    build = await jobs.latest_build(resources.db, dataset_id)
    spec = updated_spec(JobSpec(**build.spec), dataset_id, wanted)
    return await _submit(resources, spec, dataset, caller)


def updated_spec(spec: JobSpec, dataset_id: str, wanted: Update) -> JobSpec:
    """Return the spec of an update of what ``spec`` has built."""
    changes: dict[str, Any] = {
        "update_of": dataset_id,
        "into": None,
        "lock": None,
        "merge_of": (),
        "retry_reasons": None,
        "parent_job_id": None,
        "refresh": True,
        "retry_failed": wanted.retry_failed,
        **({"min_images": 0} if spec.lock else {}),  # all that the lock has
        **{name: JobSpec.model_fields[name].default for name in ("output", "destination", "overwrite", "private")},
        **wanted.place,
    }
    if wanted.url_list is not None and spec.url_list is not None:
        changes["url_list"] = wanted.url_list.model_copy(update={"name": spec.url_list.name})
    if wanted.max_images is not None:
        changes["max_images"] = max(wanted.max_images, spec.max_images or 0)
    return spec.model_copy(update=changes)


async def submit_into(
    resources: Resources, request: JobRequest, spec: JobSpec, dataset_id: str, *, caller: Caller | None = None
) -> Submitted:
    """Create a job that makes another version of a dataset, of its images as they are and of what a request asks for beside them.

    Args:
        spec: of the request.

    Raises:
        errors.NotFoundError: there is no such dataset of this user, or no build made it.
        errors.ValidationError: the request asks for another form, or other splits, than the dataset has.
        StateConflict: a job changes it at this time, or it has no image.
    """
    caller = caller or Caller()
    dataset, base = await _base(resources, dataset_id, caller)
    build = await jobs.latest_build(resources.db, dataset_id)
    spec = added_spec(request, spec, JobSpec(**build.spec), dataset_id, base.images)
    return await _submit(resources, spec, dataset, caller, request.priority)


SHARED: Final = ("compression", "splits", "split_by", "seed")
"""Fields of a spec that all images of a dataset share."""


def added_spec(request: JobRequest, spec: JobSpec, base: JobSpec, dataset_id: str, images: int) -> JobSpec:
    """Return the spec of a build that adds to a dataset of so many images: in its form, and divided as it is.

    Raises:
        errors.ValidationError: the request names another form or other splits.
    """
    for name in SHARED:
        is_asked = name in request.model_fields_set and getattr(request, name) not in _DEFAULTS[name]
        if is_asked and getattr(spec, name) != getattr(base, name):
            raise errors.ValidationError(f"{name} is that of the dataset; images that are added get it too: leave {name} out")
    shared = {name: getattr(base, name) for name in SHARED}
    target = None if spec.max_images is None else spec.max_images + images
    return spec.model_copy(update=shared | {"into": dataset_id, "base_images": images, "max_images": target})


_DEFAULTS: Final = {name: (None, JobRequest.model_fields[name].get_default(call_default_factory=True)) for name in SHARED}


async def _base(resources: Resources, dataset_id: str, caller: Caller) -> tuple[Dataset, Version]:
    dataset = await datasets.get_dataset(resources.db, dataset_id, user_id=caller.user_id)
    return dataset, await versions.ensure(resources, dataset_id)


async def _submit(resources: Resources, spec: JobSpec, dataset: Dataset, caller: Caller, priority: int = 0) -> Submitted:
    lineage = dataset.lineage_id
    return await submit.submit_build(resources, spec, name=dataset.name, lineage_id=lineage, priority=priority, caller=caller)
