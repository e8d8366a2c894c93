"""Submission of builds that begin with a version of a dataset: updates, and builds whose images are added to it."""

from dataclasses import dataclass
from typing import Any

from app.datasets import versions
from app.db import datasets, jobs
from app.db.rows import Dataset, Version
from app.jobs import submit
from app.jobs.submit import Caller, Submitted
from app.resources import Resources
from app.spec import JobSpec, ListSpec

__all__ = ["Update", "submit_into", "submit_update"]


@dataclass(frozen=True, slots=True)
class Update:
    """What an update is asked for besides the dataset.

    Attributes:
        max_images: a larger target than the dataset has.
        url_list: the list as it is now; by default the stored one is read again.
        retry_failed: whether failures that may have passed are asked for again as well.
        output, overwrite: the folder of its export.
    """

    max_images: int | None = None
    url_list: ListSpec | None = None
    retry_failed: bool = False
    output: str | None = None
    overwrite: bool = False


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
        "retry_reasons": None,
        "parent_job_id": None,
        "refresh": True,
        "retry_failed": wanted.retry_failed,
        "output": wanted.output,
        "overwrite": wanted.overwrite,
    }
    if wanted.url_list is not None and spec.url_list is not None:
        changes["url_list"] = wanted.url_list.model_copy(update={"name": spec.url_list.name})
    if wanted.max_images is not None:
        changes["max_images"] = max(wanted.max_images, spec.max_images or 0)
    return spec.model_copy(update=changes)


async def submit_into(
    resources: Resources, spec: JobSpec, dataset_id: str, *, priority: int = 0, caller: Caller | None = None
) -> Submitted:
    """Create a job that makes another version of a dataset, of its images as they are and what the spec asks for beside them.

    Raises:
        errors.NotFoundError: there is no such dataset of this user.
        StateConflict: a job changes it at this time, or it has no image.
    """
    caller = caller or Caller()
    dataset, base = await _base(resources, dataset_id, caller)
    target = None if spec.max_images is None else spec.max_images + base.images
    spec = spec.model_copy(update={"into": dataset_id, "base_images": base.images, "max_images": target})
    return await _submit(resources, spec, dataset, caller, priority)


async def _base(resources: Resources, dataset_id: str, caller: Caller) -> tuple[Dataset, Version]:
    dataset = await datasets.get_dataset(resources.db, dataset_id, user_id=caller.user_id)
    return dataset, await versions.ensure(resources, dataset_id)


async def _submit(resources: Resources, spec: JobSpec, dataset: Dataset, caller: Caller, priority: int = 0) -> Submitted:
    lineage = dataset.lineage_id
    return await submit.submit_build(resources, spec, name=dataset.name, lineage_id=lineage, priority=priority, caller=caller)
