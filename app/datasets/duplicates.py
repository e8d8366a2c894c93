"""Groups of duplicates: the image that is kept and those that repeat it, another one kept instead, and a member that is none.

What a person decides here stands in later comparisons: see ``decided`` in :mod:`app.images.ranking`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.datasets.review import (
    Decision,
    Outcome,
    Refusal,
    Seen,
    check_decision,
    open_batch,
    prepare_keep,
    refusal_of,
    require_idle,
    seen_conflict,
)
from app.db import Connection, datasets, duplicates, reviews
from app.db.duplicates import Member
from app.db.reviews import NewReview
from app.db.rows import PageOf
from app.domain import ImageState, Reason, StoredImage
from app.jobs.submit import Caller
from app.resources import Resources
from app.review_actions import ReviewAction, Reviewed
from logging_setup import get_logger

__all__ = ["Group", "groups", "keep_instead", "split_group"]

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Group:
    """A picture that several images show.

    Attributes:
        kept: the image that the others repeat; it may have been rejected since.
        members: those that repeat it, at most the first `duplicates.MOST_MEMBERS`; ``number`` counts all.
    """

    kept: StoredImage
    members: Sequence[Member]
    number: int


async def groups(resources: Resources, dataset_id: str, *, user_id: str, limit: int = 50, cursor: str | None = None) -> PageOf[Group]:
    """Return the groups of a dataset, by the id of the image that is kept.

    Raises:
        errors.NotFoundError: there is no such dataset of this user.
    """
    await datasets.get_dataset(resources.db, dataset_id, user_id=user_id)
    page = await duplicates.page(resources.db, dataset_id, limit=limit, cursor=cursor)
    return PageOf([Group(kept, members, number) for kept, members, number in page.items], page.next_cursor)


async def keep_instead(
    resources: Resources, dataset_id: str, seen: Seen, *, note: str | None = None, caller: Caller | None = None
) -> Outcome:
    """Keep a duplicate in place of the image that it repeats, with the label and the split of that image. All in one transaction.

    Raises:
        errors.NotFoundError: there is no such dataset of this user.
        StateConflict: a job works with the dataset.
    """
    return await _decide(resources, dataset_id, seen, ReviewAction.KEEP_INSTEAD, note, caller or Caller())


async def split_group(
    resources: Resources, dataset_id: str, seen: Seen, *, note: str | None = None, caller: Caller | None = None
) -> Outcome:
    """Keep a duplicate beside the image that it repeats: a person says that they are two pictures.

    Raises:
        errors.NotFoundError: there is no such dataset of this user.
        StateConflict: a job works with the dataset.
    """
    return await _decide(resources, dataset_id, seen, ReviewAction.SPLIT_GROUP, note, caller or Caller())


async def _decide(resources: Resources, dataset_id: str, seen: Seen, action: ReviewAction, note: str | None, caller: Caller) -> Outcome:
    check_decision(Decision(ReviewAction.KEEP, note=note))
    await datasets.get_dataset(resources.db, dataset_id, user_id=caller.user_id)
    outcome = Outcome(await open_batch(resources, caller), action.value)
    prepared = await prepare_keep(resources, dataset_id, [seen])
    async with resources.db.write() as connection:
        await require_idle(connection, dataset_id)
        if seen.image_id in await reviews.reviewed_in_batch(connection, outcome.batch_id, [seen.image_id]):
            outcome.decided = 1
            return outcome
        member = next(iter(await reviews.lock_images(connection, dataset_id, [seen.image_id])), None)
        if (refusal := why_not(dataset_id, member, seen)) is not None:
            outcome.refuse([refusal])
            return outcome
        assert member is not None
        problem = prepared.facts[member.id].problem if member.id in prepared.facts else None
        if problem is not None:
            outcome.refuse([Refusal(member.id, problem)])
            return outcome
        own = {"label": prepared.labels.get(member.id), "split": prepared.splits.get(member.id)}
        decided = await _changes(connection, dataset_id, member, action, own)
        await reviews.add(connection, decided, user_id=caller.user_id, batch_id=outcome.batch_id, action=action, note=note)
    outcome.decided = 1
    log.info("images.reviewed", action=outcome.action, decided=1, unchanged=0, refused=0)
    return outcome


def why_not(dataset_id: str, member: StoredImage | None, seen: Seen) -> Refusal | None:
    """Return why a member of a group cannot be decided; None if it can."""
    if member is None:
        return Refusal(seen.image_id, f"dataset {dataset_id} has no image {seen.image_id}", "not_found")
    if (conflict := seen_conflict(member, seen)) is not None:
        return conflict
    if (why := refusal_of(member, ReviewAction.KEEP)) is not None:
        return Refusal(member.id, why)
    if member.state is not ImageState.DUPLICATE or member.duplicate_of is None:
        return Refusal(member.id, f"it is {member.state.value}, and no duplicate of another image")
    return None


async def _changes(
    connection: Connection, dataset_id: str, member: StoredImage, action: ReviewAction, own: dict[str, str | None]
) -> list[NewReview]:
    """What becomes of a member, of the image that it repeats, and of the other members."""
    other = next(iter(await reviews.lock_images(connection, dataset_id, [int(member.duplicate_of or 0)])), None)
    kept = other if other is not None and other.state is ImageState.KEPT else None
    if action is ReviewAction.SPLIT_GROUP:
        beside = [NewReview(kept, {"reviewed": Reviewed.KEEP})] if kept is not None else []
        return [NewReview(member, CLEARED | own | {"state": ImageState.KEPT, "reviewed": Reviewed.KEEP}), *beside]
    rest = [image for image in await duplicates.members(connection, dataset_id, int(member.duplicate_of or 0)) if image.id != member.id]
    moved = [NewReview(image, {"duplicate_of": member.id, "detail": copy_words(image, member)}, is_decision=False) for image in rest]
    return [NewReview(member, instead_of(member, kept, own)), *([NewReview(kept, replaced_by(kept, member))] if kept else []), *moved]


CLEARED: dict[str, Any] = dict.fromkeys(("reason", "detail", "evidence", "duplicate_of"))


def instead_of(member: StoredImage, kept: StoredImage | None, own: dict[str, str | None]) -> dict[str, Any]:
    """The columns of a member that is kept in place of another image: it takes the label and the split of that image."""
    taken = own if kept is None else {"label": kept.label or own["label"], "split": kept.split, "reviewed_label": kept.reviewed_label}
    return CLEARED | taken | {"state": ImageState.KEPT, "reviewed": Reviewed.KEEP}


def replaced_by(kept: StoredImage, member: StoredImage) -> dict[str, Any]:
    """The columns of an image that was kept and is a duplicate now."""
    reason = Reason.DUPLICATE_EXACT if kept.sha256 == member.sha256 else Reason.DUPLICATE_NEAR
    cause = {"state": ImageState.DUPLICATE, "reason": reason, "detail": copy_words(kept, member), "duplicate_of": member.id}
    return cause | {"reviewed": Reviewed.REPLACED}


def copy_words(image: StoredImage, kept: StoredImage) -> str:
    """Why an image is a duplicate of another, in words."""
    if image.sha256 == kept.sha256:
        return f"the same bytes as image {kept.id}"
    bits = duplicates.distance(image.phash, kept.phash)
    return f"differs from image {kept.id} in {'an unknown number' if bits is None else bits} of 64 bits"
