"""Decisions of people about the images of a dataset: keep, reject, give another label.

A decision changes the dataset in place, in short transactions, while no job works on it; the next export or lock records a version. Stages
of later jobs obey what is on the row (``reviewed``), and a decision that somebody else has made meanwhile is never overwritten unseen.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import errors
from app.datasets.splitting import label_of, splits_for
from app.datasets.stored_bytes import Facts, look_at
from app.db import Connection, api_keys, datasets, jobs, new_id, reviews
from app.db import images as image_rows
from app.db.exceptions import StateConflict
from app.db.image_search import ImageFilter
from app.db.reviews import NewReview
from app.domain import ImageState, Reason, StoredImage
from app.formatting import clipped, count, number, when
from app.job_states import JobKind
from app.jobs.submit import Caller
from app.resources import Resources
from app.review_actions import ReviewAction, Reviewed
from app.selection import parse
from app.spec import JobSpec
from logging_setup import get_logger

__all__ = [
    "DECIDABLE",
    "MAX_REFUSED",
    "PAGE",
    "Decision",
    "Outcome",
    "Prepared",
    "Refusal",
    "Seen",
    "Targets",
    "changes_of",
    "check_decision",
    "count_matching",
    "decide",
    "open_batch",
    "prepare_keep",
    "refusal_of",
    "require_idle",
    "seen_conflict",
]

log = get_logger(__name__)

PAGE: Final = 500
"""Images decided in one transaction."""

MAX_REFUSED: Final = 100
"""Refused images that an outcome names; all are counted."""

NOTE_CHARS, LABEL_CHARS = 1_000, 100

DECIDABLE: Final = frozenset({ImageState.KEPT, ImageState.VALID, ImageState.REJECTED, ImageState.DUPLICATE})
"""States of images with a picture that somebody can look at."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An image as the reviewer saw it; None where it was not looked at.

    Attributes:
        review_id: the newest decision at that time, which counts only where ``has_review_id``; None for none.
    """

    image_id: int
    state: ImageState | None = None
    review_id: int | None = None
    has_review_id: bool = False


@dataclass(frozen=True, slots=True)
class Targets:
    """Which images are decided: those that are named, or all that match a filter.

    Attributes:
        expected: how many images the reviewer was told that match.
        only_open: whether only those match about which nobody has decided.
    """

    images: Sequence[Seen] = ()
    matching: ImageFilter | None = None
    where: str | None = None
    expected: int | None = None
    only_open: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided. ``label`` is the one that the images get; ``note`` says why."""

    action: Literal[ReviewAction.KEEP, ReviewAction.REJECT, ReviewAction.RELABEL]
    label: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An image that was left as it is. ``by`` and ``at`` say who decided about it meanwhile, and when, where that is why."""

    image_id: int
    why: str
    code: Literal["conflict", "not_found", "refused"] = "refused"
    by: str | None = None
    at: float | None = None


@dataclass(slots=True)
class Outcome:
    """What a batch did. ``unchanged`` images were as decided already; of the refused ones the first are named."""

    batch_id: str
    action: str
    decided: int = 0
    unchanged: int = 0
    refused: int = 0
    refusals: list[Refusal] = field(default_factory=list)

    def refuse(self, refusals: Iterable[Refusal]) -> None:
        """Count images that are left as they are."""
        for refusal in refusals:
            self.refused += 1
            if len(self.refusals) < MAX_REFUSED:
                self.refusals.append(refusal)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What keeping images needs to know, found before anything is written: splits, labels, and what their bytes are."""

    splits: Mapping[int, str] = field(default_factory=dict)
    labels: Mapping[int, str | None] = field(default_factory=dict)
    facts: Mapping[int, Facts] = field(default_factory=dict)


async def decide(resources: Resources, dataset_id: str, decision: Decision, targets: Targets, *, caller: Caller | None = None) -> Outcome:
    """Decide about images. A repeated call with the caller's idempotency key goes on where the first one was cut off.

    Raises:
        errors.NotFoundError: there is no such dataset of this user.
        errors.ValidationError: the label or the filter cannot be used.
        StateConflict: a job works with the dataset, or the filter matches other images than the reviewer was told.
        KeyReused: the idempotency key belongs to another request.
    """
    caller = caller or Caller()
    check_decision(decision)
    await datasets.get_dataset(resources.db, dataset_id, user_id=caller.user_id)
    seen = await _targets(resources, dataset_id, targets)
    batch_id = await open_batch(resources, caller)
    outcome = Outcome(batch_id, decision.action.value)
    is_keep = decision.action is ReviewAction.KEEP
    prepared = await prepare_keep(resources, dataset_id, seen) if is_keep else Prepared()
    for start in range(0, len(seen), PAGE):
        async with resources.db.write() as connection:
            await require_idle(connection, dataset_id)
            await _decide_page(connection, dataset_id, decision, seen[start : start + PAGE], prepared, outcome, caller.user_id)
    log.info("images.reviewed", action=outcome.action, decided=outcome.decided, unchanged=outcome.unchanged, refused=outcome.refused)
    return outcome


def check_decision(decision: Decision) -> None:
    """Refuse a label or a note that cannot be stored.

    Raises:
        errors.ValidationError: as said.
    """
    label, note = decision.label, decision.note
    if decision.action is ReviewAction.RELABEL and not label:
        raise errors.ValidationError("label: relabel needs the new label")
    if decision.action is ReviewAction.REJECT and label is not None:
        raise errors.ValidationError("label: an image that is rejected gets none; leave it out")
    if label is not None and (not label.strip() or len(label) > LABEL_CHARS or not label.isprintable()):
        raise errors.ValidationError(f"label: {clipped(label, 60)!r} must have 1 to {LABEL_CHARS} printable characters")
    if note is not None and len(note) > NOTE_CHARS:
        raise errors.ValidationError(f"note: {len(note)} characters, at most {NOTE_CHARS:,}")


async def open_batch(resources: Resources, caller: Caller) -> str:
    """Return the id of a new batch, or that of the batch that the caller's idempotency key has begun."""
    batch_id = new_id("rev")
    if caller.idempotency is None:
        return batch_id
    key, digest = caller.idempotency
    async with resources.db.write() as connection:
        known = await api_keys.recall_idempotent(connection, user_id=caller.user_id, key=key, body_digest=digest)
        if known is None:
            await api_keys.note_idempotent(connection, user_id=caller.user_id, key=key, body_digest=digest, resource=batch_id)
    return known or batch_id


async def require_idle(connection: Connection, dataset_id: str) -> None:
    """Lock a dataset, and refuse it while a job works with it, whose stages would not see what is decided meanwhile.

    Raises:
        StateConflict: as said.
    """
    await reviews.lock_dataset(connection, dataset_id)
    job_id = await datasets.job_that_needs(connection, dataset_id)
    if job_id is not None:
        raise StateConflict(f"job {job_id} works with dataset {dataset_id}; review it once the job has ended, or cancel the job")


async def count_matching(resources: Resources, dataset_id: str, targets: Targets) -> int:
    """Count the images that a filter matches now."""
    return len(await _targets(resources, dataset_id, targets))


async def _targets(resources: Resources, dataset_id: str, targets: Targets) -> list[Seen]:
    """The images to decide, each once. Those that match a filter are taken as they are now."""
    if targets.matching is None and targets.where is None:
        return list({seen.image_id: seen for seen in targets.images}.values())
    test = parse(targets.where) if targets.where else None
    found: list[Seen] = []
    async for page in reviews.matching(resources.db, dataset_id, targets.matching or ImageFilter(), DECIDABLE, only_open=targets.only_open):
        taken = (image for image in page if test is None or test.matches(image))
        found += [Seen(image.id, image.state, image.review_id, has_review_id=True) for image in taken]
    if targets.expected is not None and len(found) != targets.expected:
        raise StateConflict(f"{count(len(found), 'image')} match now, and {number(targets.expected)} were expected; look at them again")
    return found


async def prepare_keep(resources: Resources, dataset_id: str, seen: Sequence[Seen]) -> Prepared:
    """Look at the bytes of images that are to be kept, and find the labels and splits that their build would give them."""
    build = await jobs.newest_of_dataset(resources.db, dataset_id, JobKind.BUILD)
    spec = JobSpec(**build.spec) if build is not None else JobSpec()
    known = await jobs.search_labels(resources.db, dataset_id)
    labels: dict[int, str | None] = {}
    facts: dict[int, Facts] = {}
    for start in range(0, len(seen), PAGE):
        async with resources.db.read() as connection:
            page = await reviews.read_images(connection, dataset_id, [item.image_id for item in seen[start : start + PAGE]])
        out = [image for image in page if image.state is not ImageState.KEPT and refusal_of(image, ReviewAction.KEEP) is None]
        labels |= {image.id: label_of(image, spec, known) for image in out}
        facts |= await look_at(resources, out)
    fit = sorted(image_id for image_id, found in facts.items() if found.problem is None)
    async with resources.db.read() as connection:
        splits = await splits_for(connection, dataset_id, spec, fit) if fit else {}
    return Prepared(splits, labels, facts)


async def _decide_page(
    connection: Connection,
    dataset_id: str,
    decision: Decision,
    page: Sequence[Seen],
    prepared: Prepared,
    outcome: Outcome,
    user_id: str,
) -> None:
    ids = [seen.image_id for seen in page]
    done = await reviews.reviewed_in_batch(connection, outcome.batch_id, ids)
    rows = {image.id: image for image in await reviews.lock_images(connection, dataset_id, ids)}
    decided: list[NewReview] = []
    refused: list[Refusal] = []
    for seen in page:
        image = rows.get(seen.image_id)
        if seen.image_id in done:
            outcome.decided += 1
        elif image is None:
            refused.append(Refusal(seen.image_id, f"dataset {dataset_id} has no image {seen.image_id}", "not_found"))
        elif (conflict := seen_conflict(image, seen)) is not None:
            refused.append(conflict)
        elif (why := _why_not(image, decision, prepared)) is not None:
            refused.append(Refusal(image.id, why))
        elif changes := changes_of(image, decision, prepared.labels.get(image.id), prepared.splits.get(image.id)):
            decided.append(NewReview(image, changes))
        else:
            outcome.unchanged += 1
    facts = {new.image.id: prepared.facts[new.image.id].columns for new in decided if new.image.id in prepared.facts}
    await image_rows.update_many(connection, [{"id": image_id, **columns} for image_id, columns in facts.items() if columns])
    await reviews.add(connection, decided, user_id=user_id, batch_id=outcome.batch_id, action=decision.action, note=decision.note)
    outcome.decided += len(decided)
    outcome.refuse(refused)


def _why_not(image: StoredImage, decision: Decision, prepared: Prepared) -> str | None:
    why = refusal_of(image, decision.action)
    if why is not None or decision.action is not ReviewAction.KEEP or image.state is ImageState.KEPT:
        return why
    if image.id not in prepared.facts:
        return "it changed while it was looked at; decide again"
    return prepared.facts[image.id].problem


def seen_conflict(image: StoredImage, seen: Seen) -> Refusal | None:
    """Return why a decision does not hold for an image: it is not what the reviewer saw."""
    if seen.has_review_id and image.review_id != seen.review_id:
        if image.review_id is None:
            return Refusal(image.id, f"the decision that you saw was taken back since; it is {image.state.value} now", "conflict")
        who = clipped(image.reviewed_by or "a reviewer", 100)
        what = f"{who} decided {image.reviewed} at {when(image.reviewed_at)}; it is {image.state.value} now"
        return Refusal(image.id, what, "conflict", image.reviewed_by, image.reviewed_at)
    if seen.state is not None and image.state is not seen.state:
        return Refusal(image.id, f"it was {seen.state.value} when you saw it, and is {image.state.value} now", "conflict")
    return None


def refusal_of(image: StoredImage, action: ReviewAction) -> str | None:
    """Return why a person cannot decide so about an image; None if they can."""
    if image.state is ImageState.TOMBSTONED:
        return "it was removed on request, which a review does not change"
    if image.state not in DECIDABLE or image.sha256 is None:
        return f"it is {image.state.value}: there are no stored bytes of it to look at"
    if image.reason is Reason.LICENCE and image.state is ImageState.REJECTED and action is not ReviewAction.REJECT:
        return "its licence is not taken, which a review does not change"
    return None


def changes_of(image: StoredImage, decision: Decision, label: str | None, split: str | None) -> dict[str, Any]:
    """Return the columns that a decision changes; none where the image is as decided already.

    Args:
        label, split: of an image that becomes kept, by the rules of its build.
    """
    changes: dict[str, Any] = {}
    if decision.action is ReviewAction.REJECT:
        cause = {"state": ImageState.REJECTED, "reason": Reason.REJECTED_BY_REVIEWER, "detail": decision.note, "evidence": None}
        changes = cause | {"duplicate_of": None, "reviewed": Reviewed.REJECT}
    elif decision.action is ReviewAction.KEEP:
        changes = {"reason": None, "detail": None, "evidence": None, "duplicate_of": None, "reviewed": Reviewed.KEEP}
        if image.state is not ImageState.KEPT:
            changes |= {"state": ImageState.KEPT, "label": label, "split": split}
    if decision.label is not None:
        is_kept = image.reviewed in (Reviewed.KEEP, Reviewed.REJECT, Reviewed.REPLACED)
        changes = {"reviewed": image.reviewed if is_kept else Reviewed.RELABEL} | changes
        changes |= {"label": decision.label, "labels": None, "reviewed_label": decision.label}
    return changes if any(getattr(image, name) != value for name, value in changes.items()) else {}
