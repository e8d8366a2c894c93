"""Decides what follows a job's last open unit (another round of candidates, the next stage, or the end), and does it.

The decisions are pure functions of the job's stage and counts. Retry: none here; nothing is requested from the network.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.datasets import versions
from app.datasets.versions import DatasetState
from app.db import Connection, attempts, datasets, images, jobs, units
from app.db.funnel import Funnel, LabelCount
from app.db.jobs import CHANGES_WHAT_IS_KEPT
from app.db.rows import NewUnit, Search
from app.domain import FOLDER_SOURCE, LIST_SOURCE, LOCK_SOURCE, ImageState, Reason
from app.explain.keywords import NOT_NEEDED, load_keywords
from app.export_spec import ExportSpec
from app.exports.destination import Delivery, columns_of
from app.formatting import clipped, count
from app.job_states import JobKind, JobState, UnitKind
from app.spec import JobSpec
from logging_setup import get_logger
from workers.stages.rounds import next_wants, start_round
from workers.stages.update import end_unchanged, is_unchanged
from workers.unit import ClaimedUnit, JobContext

__all__ = ["JobEnd", "finalize_job", "next_step", "plan_end", "short_classes", "short_labels"]

log = get_logger(__name__)

BUILD_STAGES = ("duplicates", "labels", "compress", "export", "end")
REBUILD_STAGES = ("labels", "export", "end")
"""A lock has decided which images are duplicates; forms are derived with the verdict."""

STAGES: dict[JobKind, tuple[str, ...]] = {JobKind.BUILD: BUILD_STAGES, JobKind.VALIDATION: ("duplicates", "labels", "end")}

MAX_CLASSES, LOGGED_CLASSES = 50, 20
"""Classes recorded with a job, and labels in one log line."""

MAX_NOTES = 10
"""Notes of searches in the causes of a shortfall, the most frequent ones."""

MAX_CAUSES, LABEL_CHARS = 5, 60
"""Labels named in the causes of a shortfall, and the characters of each."""


@dataclass(frozen=True, slots=True)
class JobEnd:
    """The final state of a job, and why it fell short."""

    state: JobState
    shortfall: dict[str, Any] | None = None
    error: str | None = None


async def finalize_job(ctx: JobContext, unit: ClaimedUnit) -> None:
    """Start the next round, the next stage or the end of a job."""
    job = unit.job
    funnel = Funnel(await images.counts(ctx.db, dataset_id=job.dataset_id), *await attempts.retry_figures(ctx.db, job.id))
    searches = await jobs.searches_of(ctx.db, job.id)
    dead = [row.error or row.kind.value for row in await units.dead_of(ctx.db, job.id)]
    spec = unit.spec if job.kind == "build" else None
    wants = await _next_round(ctx, unit) if job.stage == "duplicates" and not dead else {}
    step = next_step(job.kind, job.stage, spec, funnel=funnel, wants_more=bool(wants), has_dead=bool(dead))
    log.info("job.stage", stage=step, kept=funnel.kept, unique=funnel.unique, candidates=funnel.candidates)
    state = await _read_state(unit, step) if not dead else None
    if step == "more":
        await start_round(unit, wants)
    elif step == "export" and await is_unchanged(unit, state):
        await end_unchanged(unit)
    elif step == "end":
        await _end_job(unit, funnel, searches, dead, state)
    else:
        await _start_stage(unit, step, state)


async def _read_state(unit: ClaimedUnit, step: str) -> DatasetState | None:
    """What the dataset is now, where its images are decided and no version says so: before its export, which carries the number, or at
    the end of a job that wrote none. None for a dataset that is empty and always was."""
    job = unit.job
    is_due = step == "export" or (step == "end" and job.stage != "export" and job.kind in CHANGES_WHAT_IS_KEPT)
    state = await versions.read_state(unit.ctx.resources, job.dataset_id, job) if is_due else None
    return state if state is not None and (state.images or state.current) else None


async def _next_round(ctx: JobContext, unit: ClaimedUnit) -> dict[str, int]:
    """What the searches of a build shall find next, by search id; nothing when it finishes early or has had all of its rounds."""
    if unit.job.kind is not JobKind.BUILD or unit.finishes_early or unit.job.rounds >= ctx.settings.jobs.max_rounds:
        return {}
    async with ctx.db.read() as connection:
        return await next_wants(connection, unit)


def next_step(
    kind: JobKind, stage: str | None, spec: JobSpec | None, *, funnel: Funnel, wants_more: bool = False, has_dead: bool = False
) -> str:
    """Decide the next step: ``more``, ``duplicates``, ``labels``, ``compress``, ``export`` or ``end``.

    Args:
        wants_more: the target is missed, or a keyword's share of it, and a search has more candidates.
    """
    stages = REBUILD_STAGES if spec is not None and spec.lock is not None else STAGES.get(kind, ("end",))
    if has_dead:
        return "end"
    if stage is None:
        return stages[0]
    if stage == "duplicates" and wants_more:
        return "more"
    following = stages[stages.index(stage) + 1] if stage in stages[:-1] else "end"
    if following == "compress" and (spec is None or spec.compression.is_identity):
        following = "export"
    if following == "export" and not funnel.kept:
        following = "end"
    return following


async def _start_stage(unit: ClaimedUnit, stage: str, state: DatasetState | None) -> None:
    async with unit.transaction() as connection:
        version = await versions.record(connection, state) if state is not None else None
        await jobs.set_stage(connection, unit.job.id, state=JobState.FINALIZING, stage=stage)
        await unit.finish_in(connection, await _units_of_stage(connection, unit, stage, version.number if version else None))


async def _units_of_stage(connection: Connection, unit: ClaimedUnit, stage: str, version: str | None) -> list[NewUnit]:
    if stage == "duplicates":
        return [NewUnit(UnitKind.DUPLICATES)]
    if stage == "labels":
        return [NewUnit(UnitKind.LABELS)]
    if stage == "compress":
        return [
            NewUnit(UnitKind.COMPRESS, {"chunk_id": chunk}) for chunk in await images.uncompressed_chunks(connection, unit.job.dataset_id)
        ]
    spec = unit.spec
    delivery = Delivery(spec.destination, spec.overwrite, spec.private) if spec.destination else None
    made = [
        await datasets.add_export(
            connection,
            user_id=unit.job.user_id,
            dataset_id=unit.job.dataset_id,
            job_id=unit.job.id,
            export_format=export_format,
            storage_tier=spec.storage_tier,
            version=version,
            options=ExportSpec.of_build(spec).options,
            **columns_of(delivery, export_format, spec.export_format),
        )
        for export_format in reversed(spec.formats)  # the newest export of a job is that of its first format
    ]
    return [NewUnit(UnitKind.EXPORT, {"export_id": export_id}) for export_id in reversed(made)]


async def _end_job(unit: ClaimedUnit, funnel: Funnel, searches: Sequence[Search], dead: list[str], state: DatasetState | None) -> None:
    job, db = unit.job, unit.ctx.db
    changes_what_is_kept = job.kind in CHANGES_WHAT_IS_KEPT
    counts = await images.counts_by_label(db, job.dataset_id) if changes_what_is_kept else []
    search_labels = await jobs.search_labels(db, job.dataset_id) if changes_what_is_kept else {}
    if job.kind == "build":
        end = plan_end(
            unit.spec,
            funnel,
            searches,
            rounds=job.rounds,
            max_rounds=unit.ctx.settings.jobs.max_rounds,
            dead=dead,
            finished_early=unit.finishes_early,
            labels=short_labels(counts, search_labels, unit.spec),
        )
    else:
        end = JobEnd(JobState.FAILED if dead else JobState.SUCCEEDED, error=dead[0] if dead else None)
    classes = short_classes(counts, search_labels, job.spec.get("label")) if changes_what_is_kept else None
    async with unit.transaction() as connection:
        if state is not None:
            await versions.record(connection, state)
        await jobs.end(connection, job.id, end.state, shortfall=end.shortfall, error=end.error, short_classes=classes)
        await unit.finish_in(connection)
    log.info("job.ended", state=end.state.value, kept=funnel.kept, reasons=funnel.reasons, error=end.error)
    empty = [item.keyword for item in await load_keywords(db, job) if not item.kept] if funnel.kept else []
    if empty:
        log.warning("job.keywords_empty", keywords=empty[:LOGGED_CLASSES], number=len(empty))
    if classes:
        log.warning(
            "dataset.classes_short", classes=len(classes), empty=[item["label"] for item in classes if not item["kept"]][:LOGGED_CLASSES]
        )


def short_classes(counts: Iterable[LabelCount], search_labels: Mapping[str, str | None], label: str | None) -> list[dict[str, Any]]:
    """Return the classes of which less than half of the candidates were kept, empty ones first, then the largest; at most 50.

    Candidates over the target, spare ones, and those that were never decided because the job was cancelled, are not counted. A class
    that has images and candidates to spare is not short: no more were wanted. Each class has its ``label``, ``candidates``, ``kept``, and
    ``reasons`` of the others, most frequent first.

    Args:
        counts: of the dataset.
        search_labels: by search id, for images without a label of their own.
        label: of every image, if the job has one.
    """
    classes: dict[str, Counter[str | None]] = {}
    enough: set[str] = set()
    for item in counts:
        name = _label_of(item, search_labels, label)
        if name and item.reason in NOT_NEEDED:
            enough.add(name)
        if name and item.reason not in NOT_NEEDED | {Reason.CANCELLED}:
            classes.setdefault(name, Counter())[None if item.state is ImageState.KEPT else item.reason or item.state.value] += item.count
    found: list[dict[str, Any]] = [
        {
            "label": name,
            "candidates": reasons.total(),
            "kept": reasons[None],
            "reasons": {str(reason): count for reason, count in reasons.most_common() if reason is not None},
        }
        for name, reasons in classes.items()
        if 2 * reasons[None] < reasons.total() and not (reasons[None] and name in enough)
    ]
    return sorted(found, key=lambda item: (item["kept"] > 0, -item["candidates"], item["label"]))[:MAX_CLASSES]


def short_labels(counts: Iterable[LabelCount], search_labels: Mapping[str, str | None], spec: JobSpec) -> list[dict[str, Any]]:
    """Return the labels with fewer kept images than the job's minimum, the emptiest first; at most 50, each with ``kept`` and ``wanted``.

    The labels of the searches and of all candidates count, whether or not an image was kept. Where there is none, the only one is None.
    """
    kept: Counter[str] = Counter({spec.label: 0} if spec.label else {name: 0 for name in search_labels.values() if name})
    for item in counts:
        if name := _label_of(item, search_labels, spec.label):
            kept[name] += item.count if item.state is ImageState.KEPT else 0
    least = spec.min_images_per_label
    if least and not kept:
        return [{"label": None, "kept": 0, "wanted": least}]
    found = [{"label": name, "kept": number, "wanted": least} for name, number in kept.items() if number < least]
    return sorted(found, key=lambda item: (item["kept"], item["label"]))[:MAX_CLASSES]


def _label_of(item: LabelCount, search_labels: Mapping[str, str | None], fixed: str | None) -> str | None:
    return fixed or item.label or search_labels.get(item.search_id or "")


def plan_end(
    spec: JobSpec,
    funnel: Funnel,
    searches: Sequence[Search],
    *,
    rounds: int,
    max_rounds: int,
    dead: Sequence[str],
    finished_early: bool = False,
    labels: Sequence[Mapping[str, Any]] = (),
) -> JobEnd:
    """Decide the final state of a build: succeeded, partial with its causes, or failed with the first dead unit's error.

    A build that was finished early and left something out is partial.

    Args:
        labels: those with too few images, see :func:`short_labels`.
    """
    if dead:
        return JobEnd(JobState.FAILED, error=f"{count(len(dead), 'unit')} of work failed; the first: {dead[0]}")
    goal = max(spec.max_images or 0, spec.min_images)
    was_cut = finished_early and (Reason.CANCELLED in funnel.reasons or any(search.note for search in searches))
    is_met = funnel.kept >= goal and not was_cut
    if funnel.kept and is_met and not labels and not funnel.other_forms:
        return JobEnd(JobState.SUCCEEDED)
    is_too_few = funnel.kept < spec.min_images
    causes = [_finish_words(has_begun=bool(searches or funnel.candidates))] if finished_early else []
    least = "the lock has" if spec.lock else "fewer than --min-images"
    causes += [f"{least} {spec.min_images}: {funnel.kept} kept"] if is_too_few else []
    causes += [f"form differs from the lock's: {count(funnel.other_forms, 'image')}"] if funnel.other_forms else []
    causes += [_short_label(item) for item in labels[:MAX_CAUSES]]
    causes += [f"and {len(labels) - MAX_CAUSES} more labels"] if len(labels) > MAX_CAUSES else []
    causes += [] if funnel.kept and is_met else _causes(funnel, searches, rounds, max_rounds) + _limits(spec, funnel)
    shortfall: dict[str, Any] = {"missing": max(goal - funnel.kept, 0), "causes": causes}
    shortfall |= {"min_images": spec.min_images} if is_too_few else {}
    shortfall |= {"labels": list(labels)} if labels else {}
    return JobEnd(JobState.PARTIAL if funnel.kept else JobState.FAILED, shortfall, None if funnel.kept else "no image was kept")


def _finish_words(*, has_begun: bool) -> str:
    return "it was finished with what it had, as asked" if has_begun else "it was finished before it began, as asked"


def _short_label(item: Mapping[str, Any]) -> str:
    if item["label"] is None:
        return f"no image has a label, {item['wanted']} wanted of each"
    return f"label {clipped(item['label'], LABEL_CHARS)}: {item['kept']} kept, {item['wanted']} wanted"


def _what_ended(searches: Sequence[Search]) -> str:
    sources = {search.source for search in searches}
    if sources <= {LIST_SOURCE, FOLDER_SOURCE, LOCK_SOURCE}:
        return f"the whole {min(sources)} was read"
    return "every source was searched to its end"


def _limits(spec: JobSpec, funnel: Funnel) -> list[str]:
    """How many valid images the limits of labels left out."""
    asked = [name for name, is_asked in (("max_per_label", spec.max_per_label is not None), ("balance", spec.balance)) if is_asked]
    over = funnel.reasons.get(Reason.OVER_TARGET, 0)
    return [f"over_target: {over}, by {' and '.join(asked)}"] if asked and over else []


def _causes(funnel: Funnel, searches: Sequence[Search], rounds: int, max_rounds: int) -> list[str]:
    notes = Counter(f"{search.source}: {search.note}" for search in searches if search.note)
    causes = [note if number == 1 else f"{note} ({number} searches)" for note, number in notes.most_common(MAX_NOTES)]
    exhausted = [search for search in searches if search.is_exhausted]
    if len(exhausted) == len(searches) and any(not search.note for search in searches):
        causes.append(f"{_what_ended(searches)} ({sum(search.found for search in searches)} found, {funnel.candidates} distinct)")
    if rounds >= max_rounds:
        causes.append(f"the sources were asked {rounds} times (jobs.max_rounds)")
    reasons = {reason: images for reason, images in funnel.reasons.items() if reason not in NOT_NEEDED}
    causes += [f"{reason}: {images}" for reason, images in list(reasons.items())[:5]]
    return causes
