"""Versions: what a dataset is once its images are decided, under a number and a digest.

A version is read without a lock, which takes seconds for a large dataset, and then recorded in one short transaction.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from app.datasets import diff, provenance, semver
from app.datasets.diff import Changes
from app.datasets.lock_format import LockHeader
from app.db import Connection, Database, datasets, jobs, kept_records, locked_images, reviews, versions
from app.db.exceptions import StateConflict
from app.db.kept_records import KeptRecord
from app.db.rows import Dataset, Job, Version
from app.exports.provenance import Provenance
from app.job_states import JobKind
from app.resources import Resources
from app.rules import CompressionRules
from app.spec import JobSpec
from logging_setup import get_logger

__all__ = ["DatasetState", "changes_in_place", "ensure", "number_of", "read_state", "recipe_of", "record"]

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DatasetState:
    """What a dataset is now.

    Attributes:
        current: the newest version of this dataset, if it has one.
        parent: the version that ``changes`` compares with: of the lineage the newest; None for the first.
        digest: over its kept images and the recipe of their forms, as hex.
        size_bytes: of the kept images in their exported form.
        facts: where the dataset comes from; its number and date are those of the version once that is recorded.
        locked: of a dataset that a lock was rebuilt to, what the lock says; ``other_forms`` of its images differ in what is exported.
        merged: names and versions of the datasets that a merge made it of.
    """

    dataset: Dataset
    job_id: str | None
    kind: str
    current: Version | None
    parent: Version | None
    digest: str
    images: int
    size_bytes: int
    changes: Changes
    facts: Provenance
    locked: LockHeader | None = None
    other_forms: int = 0
    merged: tuple[str, ...] = ()


async def ensure(resources: Resources, dataset_id: str, kind: str | None = None) -> Version:
    """Return the version of a dataset as it is, and record it first where no job has.

    Args:
        kind: what made it, if that was no job.

    Raises:
        StateConflict: the dataset has no kept image, or a job changes it at this time.
    """
    active = await jobs.active_on(resources.db, dataset_id)
    if active is not None:
        raise StateConflict(f"job {active.id} still works on dataset {dataset_id}; wait for its end, or cancel it")
    state = await read_state(resources, dataset_id)
    if not state.images:
        raise StateConflict(f"dataset {dataset_id} has no version: no image is kept")
    async with resources.db.write() as connection:
        return await record(connection, replace(state, kind=kind or state.kind))


async def read_state(resources: Resources, dataset_id: str, job: Job | None = None) -> DatasetState:
    """Read what a dataset is now. ``job`` is the one that decided its images, None where they were decided before."""
    db = resources.db
    dataset = await datasets.get_dataset(db, dataset_id)
    build = await jobs.newest_of_dataset(db, dataset_id, JobKind.BUILD)
    spec = JobSpec(**build.spec) if build is not None else JobSpec()
    async with db.read() as connection:
        current = await versions.newest_of_dataset(connection, dataset_id)
        parent = await versions.newest_of_lineage(connection, dataset.lineage_id)
        is_reviewed = job is None and current is not None and await reviews.are_since(connection, dataset_id, current.created_at)
    digest, images, size_bytes = await _digest(db, dataset_id, recipe_of(spec.compression))
    changes = await _changes(db, dataset_id, parent, images, job)
    locked = LockHeader(**spec.lock.header) if spec.lock else None
    facts = Provenance.from_json(locked.provenance) if locked else await provenance.gather(resources, dataset_id)
    other_forms = await locked_images.count_other_forms(db, dataset_id) if locked else 0
    kind, job_id = "review" if is_reviewed else _kind(job, current), job.id if job else None
    merged = tuple(item.version for item in spec.merge_of) if kind == "merge" else ()
    return DatasetState(dataset, job_id, kind, current, parent, digest, images, size_bytes, changes, facts, locked, other_forms, merged)


def _kind(job: Job | None, current: Version | None) -> str:
    """The name of what made a version."""
    if job is None:
        return "build" if current is None else "change"
    if job.kind is JobKind.BUILD:
        by_field = {"retry_reasons": "retry", "lock": "rebuild", "update_of": "update", "into": "into", "merge_of": "merge"}
        return next((kind for field, kind in by_field.items() if job.spec.get(field) not in (None, [])), "build")
    return job.kind.value


async def _changes(db: Database, dataset_id: str, parent: Version | None, images: int, job: Job | None) -> Changes:
    if parent is None:
        return Changes(added=images)
    if parent.dataset_id != dataset_id:
        return await diff.changes_between(db, parent.dataset_id, dataset_id)
    async with db.read() as connection:
        is_retry = job is not None and job.kind is JobKind.BUILD and job.id != parent.job_id
        added = await kept_records.count_of_job(connection, job.id) if is_retry and job is not None else 0
    return changes_in_place(parent.images, images, added)


def changes_in_place(before: int, now: int, added: int = 0) -> Changes:
    """Return what changed in a dataset whose earlier records are overwritten, as far as the numbers of images tell.

    Args:
        added: kept images that the job has fetched. Where they alone do not explain the number, others were removed or changed.
    """
    removed = max(0, before + added - now)
    came_back = max(0, now - before - added)
    is_explained = added > 0 and now == before + added
    return Changes(added + came_back, removed, changed=0 if removed or is_explained else 1)


async def record(connection: Connection, state: DatasetState) -> Version:
    """Return the version that says what the dataset is; insert it, under the next number of its lineage, where there is none yet."""
    await datasets.lock_lineage(connection, state.dataset.lineage_id)
    current = await versions.newest_of_dataset(connection, state.dataset.id)
    if current is not None and current.digest == state.digest:
        return current
    newest = await versions.newest_of_lineage(connection, state.dataset.lineage_id)
    changes: dict[str, Any] | None = state.changes.as_json() if state.parent else None
    if state.merged:
        changes = state.changes.as_json() | {"merged": list(state.merged)}
    number = number_of(state, newest)
    values = number._asdict() | {name: getattr(state, name) for name in ("job_id", "kind", "digest", "images", "size_bytes")}
    values |= {"dataset_id": state.dataset.id, "lineage_id": state.dataset.lineage_id, "parent_id": state.parent and state.parent.id}
    made = await versions.add(connection, values | {"changes": changes, "provenance": None})
    facts = _facts_of(state, made, newest).to_json()
    await versions.set_provenance(connection, made.id, facts)
    log.info("dataset.version", version=made.number, kind=made.kind, images=made.images, **state.changes.as_json())
    return replace(made, provenance=facts)


def number_of(state: DatasetState, newest: Version | None) -> semver.Version:
    """Return the number of the next version of a lineage: of a rebuild the lock's, and before it is whole 0.0.1 and so on.

    Args:
        newest: version of the lineage.
    """
    before = semver.Version(newest.major, newest.minor, newest.patch) if newest else None
    if _is_rebuilding(state, before):
        return _locked_number(state) if _is_whole(state) else semver.Version(0, 0, before.patch + 1 if before else 1)
    return semver.next_version(before, state.changes.added, state.changes.removed, state.changes.altered)


def _locked_number(state: DatasetState) -> semver.Version:
    assert state.locked is not None
    return semver.Version.parse(state.locked.dataset.version)


def _is_rebuilding(state: DatasetState, before: semver.Version | None) -> bool:
    """Whether the dataset is to be the version of its lock, and never was yet."""
    return state.locked is not None and (before is None or before < _locked_number(state))


def _is_whole(state: DatasetState) -> bool:
    return state.locked is not None and state.images == state.locked.images and not state.other_forms


def _facts_of(state: DatasetState, made: Version, newest: Version | None) -> Provenance:
    """The facts of a version; a whole rebuild has those of its lock, so that its papers are the same."""
    facts = replace(state.facts, version=made.number, created_at=made.created_at)
    before = semver.Version(newest.major, newest.minor, newest.patch) if newest else None
    if state.locked is None or not _is_rebuilding(state, before):
        changed = state.changes.as_json() if state.parent else {}
        return replace(facts, previous_version=newest.number if newest else "", changes=changed)
    if _is_whole(state):
        return state.facts
    changes = {"removed": state.locked.images - state.images, "changed": state.other_forms}
    return replace(facts, previous_version=state.locked.dataset.version, changes=changes)


def recipe_of(rules: CompressionRules) -> dict[str, Any]:
    """How exported forms are derived from originals: what differs from the defaults; nothing where they are the originals."""
    if rules.is_identity:
        return {}
    return {item.name: value for item in fields(CompressionRules) if (value := getattr(rules, item.name)) != item.default}


async def _digest(db: Database, dataset_id: str, recipe: Mapping[str, Any]) -> tuple[str, int, int]:
    """Return the digest of the kept images of a dataset, how many there are, and their bytes. One page is in memory."""
    digest = hashlib.sha256(_canonical({"recipe": recipe}))
    images = size_bytes = 0
    async for page in kept_records.pages(db, dataset_id):
        digest.update(await asyncio.to_thread(_lines, page))
        images += len(page)
        size_bytes += sum(item.size_bytes for item in page)
    return digest.hexdigest(), images, size_bytes


def _lines(page: Sequence[KeptRecord]) -> bytes:
    return b"".join(map(_line, page))


def _line(item: KeptRecord) -> bytes:
    """What a record is, without what depends on when and where it was fetched. Values that are not known leave no trace."""
    own = {"url": item.url, "sha256": item.sha256, "label": item.label, "labels": list(item.labels) or None, "split": item.split}
    return _canonical({name: value for name, value in own.items() if value is not None} | dict(item.texts))


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
