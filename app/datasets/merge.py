"""Merges of datasets: a new dataset, the first of its own lineage, with the images of all of them. The others stay as they are."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import errors
from app.datasets import versions
from app.db import datasets, earlier_splits, jobs
from app.domain import ExportFormat, LabelConflicts
from app.exports import formats
from app.inputs import MergedDataset
from app.job_states import JobKind
from app.jobs import submit
from app.jobs.submit import Caller, Submitted
from app.resources import Resources
from app.rules import CompressionRules
from app.spec import JobSpec

__all__ = ["MAX_MERGED", "check_datasets", "merged_spec", "submit_merge"]

MAX_MERGED = 100
"""Datasets of one merge."""

NAME_CHARS = 100


async def submit_merge(
    resources: Resources,
    dataset_ids: Sequence[str],
    *,
    name: str | None = None,
    export_format: ExportFormat | None = None,
    label_conflicts: LabelConflicts | None = None,
    changes: Mapping[str, Any] | None = None,
    caller: Caller | None = None,
) -> Submitted:
    """Create a dataset and the job that fills it with the images of others.

    Args:
        label_conflicts: what becomes of a picture, or a URL, with several labels; default as in the settings.
        changes: fields of the job's spec, such as ``output``.

    Raises:
        errors.NotFoundError: there is no such dataset of this user.
        errors.ValidationError: fewer than two datasets, or one twice.
        StateConflict: a job works on one of them, or one has no image.
    """
    caller = caller or Caller()
    check_datasets(dataset_ids)
    merged: list[MergedDataset] = []
    names: list[str] = []
    for dataset_id in dataset_ids:
        dataset = await datasets.get_dataset(resources.db, dataset_id, user_id=caller.user_id)
        version = await versions.ensure(resources, dataset_id)
        merged.append(MergedDataset(dataset_id=dataset_id, version=f"{dataset.name} {version.number}"))
        names.append(dataset.name)
    builds = [await jobs.newest_of_dataset(resources.db, dataset_id, JobKind.BUILD) for dataset_id in dataset_ids]
    sizes = await earlier_splits.split_sizes(resources.db, dataset_ids)
    spec = merged_spec([JobSpec(**build.spec) if build else JobSpec() for build in builds], merged, sizes)
    given = {"export_format": export_format, "label_conflicts": label_conflicts}
    spec = spec.model_copy(update={key: value for key, value in given.items() if value is not None} | dict(changes or {}))
    formats.require_format(spec.export_format)
    return await submit.submit_build(resources, spec, name=name or " + ".join(dict.fromkeys(names))[:NAME_CHARS], caller=caller)


def check_datasets(dataset_ids: Sequence[str]) -> None:
    """Refuse fewer than two datasets, or one twice.

    Raises:
        errors.ValidationError: as said.
    """
    if not 2 <= len(dataset_ids) <= MAX_MERGED:
        raise errors.ValidationError(f"a merge takes 2 to {MAX_MERGED} datasets, {len(dataset_ids)} were given")
    twice = next((found for found, number in Counter(dataset_ids).items() if number > 1), None)
    if twice is not None:
        raise errors.ValidationError(f"dataset {twice} is named twice; a merge takes each dataset once")


def merged_spec(specs: Sequence[JobSpec], merged: Sequence[MergedDataset], sizes: Mapping[str, int]) -> JobSpec:
    """Return the spec of a merge: the rules of the first dataset; what all have the same for how they are exported.

    Args:
        sizes: kept images of each split of all of them; the shares are theirs, so that no image has to move.
    """
    first = specs[0]
    forms = {spec.compression for spec in specs}
    total = sum(sizes.values())
    return JobSpec(
        merge_of=tuple(merged),
        validation=first.validation,
        dedupe=first.dedupe,
        near_distance=first.near_distance,
        label_conflicts=first.label_conflicts,
        placeholder_min=first.placeholder_min,
        compression=forms.pop() if len(forms) == 1 else CompressionRules(),
        captions=first.captions,
        export_format=first.export_format,
        splits=_shares(sizes, total),
        split_by=tuple(dict.fromkeys(kind for spec in specs for kind in spec.split_by)),
        seed=first.seed,
        shard_samples=first.shard_samples,
        shard_bytes=first.shard_bytes,
        papers=first.papers,
    )


def _shares(sizes: Mapping[str, int], total: int) -> dict[str, float]:
    shares = {split: size / total for split, size in sorted(sizes.items()) if size}
    return shares if shares and math.isclose(sum(shares.values()), 1.0) else {"train": 1.0}
