"""Chooses which images are kept, and gives each its label and its split. Decided over the whole dataset at once.

Retry: none here. A run that is repeated makes the same choices.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from app.datasets.splitting import ONE_SPLIT, assign_splits, label_of, own_groups, splits_before
from app.db import Connection, earlier_splits, jobs
from app.db.earlier_splits import ClusterMember
from app.db.image_search import Choice, choices
from app.domain import ImageState, Reason
from app.job_states import JobKind
from app.quotas import TARGET_MET, Quota
from app.selection.limits import LabelLimits, left_out
from app.spec import JobSpec
from logging_setup import get_logger
from workers.stages import rebuild
from workers.stages.deduplicate import update_images
from workers.stages.merge_rows import find_label_conflicts
from workers.stages.select import labelled
from workers.stages.split_groups import join_groups
from workers.unit import ClaimedUnit

__all__ = ["assign_splits", "by_cluster", "choose", "label_images", "spelled_apart", "splits_before"]

log = get_logger(__name__)

MAX_SHOWN = 20


async def label_images(unit: ClaimedUnit) -> None:
    """Keep valid images up to the target, evenly among the keywords; give each its label and a leak-free split."""
    spec = unit.spec
    if spec.lock is not None and unit.job.kind is JobKind.BUILD:
        await rebuild.keep_images(unit.ctx, unit)
        return
    async with unit.ctx.db.read() as connection:
        found = await choices(connection, unit.job.dataset_id, [ImageState.VALID, ImageState.KEPT])
    searches = await jobs.searches_of_dataset(unit.ctx.db, unit.job.dataset_id)
    labels = {search.id: search.label for search in searches}
    order = {keyword: place for place, keyword in enumerate(spec.keywords)}
    places: dict[str | None, int] = {search.id: order.get(search.keyword_among(spec.keywords) or "", 0) for search in searches}
    kept, over = await asyncio.to_thread(choose_within_limits, found, spec, places, labels)
    kept, over = with_decided(kept, over, found)
    conflicts = await find_label_conflicts(unit)
    kept, before = await _recall_splits(unit, kept)
    rest = [(item, over[item.id]) for item in found if item.id in over]
    changes = await asyncio.to_thread(_changes, kept, rest, labels, spec, before, conflicts)
    await update_images(unit, changes)
    if apart := spelled_apart(item.label for item in kept):
        log.warning("labels.spelled_apart", labels=apart)
    log.info("dataset.labelled", kept=len(kept), over_target=len(over), splits=list(spec.splits), groups_recalled=len(before))


def with_decided(kept: list[Choice], over: dict[int, str], found: Sequence[Choice]) -> tuple[list[Choice], dict[int, str]]:
    """Return what is kept and what is not, with the images that a person keeps among the first, whatever the target and the limits."""
    decided = [item for item in found if item.is_decided and item.id in over]
    if not decided:
        return kept, over
    ids = {item.id for item in decided}
    return sorted([*kept, *decided], key=lambda item: item.id), {key: why for key, why in over.items() if key not in ids}


def choose_within_limits(
    found: Sequence[Choice], spec: JobSpec, places: Mapping[str | None, int], search_labels: Mapping[str, str | None]
) -> tuple[list[Choice], dict[int, str]]:
    """Return the images to keep, and of the others by id why they are not: over the target, or more than the smallest label has.

    Labels are balanced before the target is divided, so that one label's surplus takes no room from another, and again after it.
    """
    if spec.base_images:  # the target is for what is added to them
        base = [item for item in found if item.is_kept and item.search_id is None]
        kept, out = choose_within_limits(
            [item for item in found if not (item.is_kept and item.search_id is None)],
            spec.model_copy(update={"max_images": spec.max_images and spec.max_images - spec.base_images, "base_images": 0}),
            places,
            search_labels,
        )
        return sorted([*base, *kept], key=lambda item: item.id), out
    if not spec.balance:
        kept, over = choose(found, spec.quota, places)
        return kept, dict.fromkeys((item.id for item in over), TARGET_MET)
    beyond = _over_limits(found, spec, search_labels, LabelLimits(None, spec.balance, spec.max_images))
    kept, over = choose([item for item in found if item.id not in beyond], spec.quota, places)
    out = beyond | dict.fromkeys((item.id for item in over), TARGET_MET)
    out |= _over_limits(kept, spec, search_labels, LabelLimits(balance=True)) if over else {}
    return [item for item in kept if item.id not in out], out


def _over_limits(found: Sequence[Choice], spec: JobSpec, search_labels: Mapping[str, str | None], limits: LabelLimits) -> dict[int, str]:
    return left_out(labelled(found, spec, search_labels), limits)


def choose(
    found: Sequence[Choice], quota: Quota | None, places: Mapping[str | None, int] = MappingProxyType({})
) -> tuple[list[Choice], list[Choice]]:
    """Return the images to keep, and those over the target. Keywords take turns up to their shares, and their searches take turns in them.

    What is kept already comes first in its search.

    Args:
        places: of each search's keyword among those of the job; searches of one keyword share its turns.
    """
    if quota is None:
        return list(found), []
    order = sorted(found, key=lambda item: (not item.is_kept, item.rank, item.id))
    by_search = _in_turns(order, lambda item: item.search_id)
    by_keyword = _in_turns([item for _, item in by_search], lambda item: places.get(item.search_id, 0))
    by_keyword.sort(key=lambda entry: (entry[0], places.get(entry[1].search_id, 0)))
    there = Counter(places.get(item.search_id, 0) for item in found)
    shares = quota.shares([there[at] for at in range(len(quota.labels) or 1 + max(there, default=0))])
    kept: list[Choice] = []
    over: list[Choice] = []
    for turn, item in by_keyword:
        (kept if turn <= shares[places.get(item.search_id, 0)] else over).append(item)
    return (kept, over) if over else (list(found), [])


def _in_turns(items: Iterable[Choice], key: Callable[[Choice], object]) -> list[tuple[int, Choice]]:
    """Number the items of each key from 1, and return all by their number, otherwise in the order that they had."""
    turns: Counter[object] = Counter()
    numbered = []
    for item in items:
        turns[key(item)] += 1
        numbered.append((turns[key(item)], item))
    return sorted(numbered, key=lambda entry: entry[0])


def spelled_apart(labels: Iterable[str | None]) -> list[str]:
    """Return the labels that differ from another one only by case, in order; the first 20 of them."""
    spellings: dict[str, set[str]] = {}
    for label in {label for label in labels if label}:
        spellings.setdefault(label.casefold(), set()).add(label)
    return sorted(label for same in spellings.values() if len(same) > 1 for label in same)[:MAX_SHOWN]


def _changes(
    kept: Sequence[Choice],
    over: Sequence[tuple[Choice, str]],
    labels: Mapping[str, str | None],
    spec: JobSpec,
    before: Mapping[str, str],
    conflicts: Mapping[int, str],
) -> Iterator[dict[str, Any]]:
    """Assign all labels and splits at once, then return the row changes as a generator."""
    names = [label_of(item, spec, labels) for item in kept]
    assigned = assign_splits(kept, names, spec.splits, spec.seed, before)
    return _rows(kept, names, assigned, over, conflicts)


async def _recall_splits(unit: ClaimedUnit, kept: list[Choice]) -> tuple[list[Choice], dict[str, str]]:
    """Return the images with the groups of their clusters, and the split that a group had: in this dataset, or in an earlier one."""
    spec, dataset_id = unit.spec, unit.job.dataset_id
    if spec.splits == ONE_SPLIT:
        return kept, {}
    async with unit.ctx.db.read() as connection:
        members = await earlier_splits.left_out(connection, dataset_id)
        before = await _splits_before(connection, dataset_id, spec)
    grouped = await join_groups(unit, by_cluster(own_groups(kept, spec), members))
    return grouped, splits_before(grouped, members, before, spec.splits, is_again=unit.job.kind is JobKind.VALIDATION)


async def _splits_before(connection: Connection, dataset_id: str, spec: JobSpec) -> dict[int, str]:
    """Return by image id the split that it had: in the datasets of a merge, else in an earlier dataset of the same name."""
    if spec.merge_of:
        return await earlier_splits.own_splits(connection, dataset_id)
    earlier_id = await earlier_splits.find_earlier(connection, dataset_id, spec.splits, spec.seed)
    return await earlier_splits.splits_in(connection, dataset_id, earlier_id) if earlier_id else {}


def by_cluster(kept: Sequence[Choice], members: Sequence[ClusterMember]) -> list[Choice]:
    """Return the images with the group of the first member of their cluster, where their source gave them none.

    The first image of a cluster stays its first when the cluster grows, while the one that is kept may change.

    Args:
        members: those that were left out, by id.
    """
    first: dict[int, ClusterMember] = {}
    for member in members:
        first.setdefault(member.kept_id, member)
    return [
        replace(item, group=found.group) if (found := first.get(item.id)) and found.id < item.id and not item.has_group else item
        for item in kept
    ]


def _rows(
    kept: Sequence[Choice],
    names: Sequence[str | None],
    splits: Sequence[str],
    over: Sequence[tuple[Choice, str]],
    conflicts: Mapping[int, str],
) -> Iterator[dict[str, Any]]:
    for item, name, split in zip(kept, names, splits, strict=True):
        conflict = conflicts.get(item.id)
        reason, detail = (Reason.LABEL_CONFLICT, f"kept with the first label; {conflict}") if conflict else (None, None)
        yield {"id": item.id, "state": ImageState.KEPT, "reason": reason, "detail": detail, "label": name, "split": split}
    for item, why in over:
        change = {"id": item.id, "state": ImageState.REJECTED, "reason": Reason.OVER_TARGET, "detail": why}
        yield change | {"label": item.label, "split": item.split}
