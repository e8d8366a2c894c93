"""Takes decisions of people back, of images that are still as the decision left them."""

from collections.abc import Sequence

import errors
from app.datasets.review import PAGE, Outcome, Refusal, open_batch, require_idle
from app.db import Connection, datasets, reviews
from app.db.reviews import NewReview
from app.db.rows import Review
from app.domain import StoredImage
from app.formatting import clipped, when
from app.jobs.submit import Caller
from app.resources import Resources
from app.review_actions import ReviewAction
from logging_setup import get_logger

__all__ = ["undo", "undo_conflict"]

log = get_logger(__name__)


async def undo(resources: Resources, batch_id: str, *, caller: Caller | None = None) -> Outcome:
    """Take back a batch of decisions, of the images that are still as it left them. A batch that took others back can be taken back too.

    Raises:
        errors.NotFoundError: there is no such batch on a dataset of this user.
        StateConflict: a job works with the dataset.
    """
    caller = caller or Caller()
    async with resources.db.read() as connection:
        first = await reviews.of_batch(connection, batch_id, limit=1)
    if not first:
        raise errors.NotFoundError(f"no review {batch_id}; pictrawl reviews ls DATASET")
    dataset_id = first[0].dataset_id
    try:
        await datasets.get_dataset(resources.db, dataset_id, user_id=caller.user_id)
    except errors.NotFoundError:
        raise errors.NotFoundError(f"no review {batch_id}; pictrawl reviews ls DATASET") from None
    outcome = Outcome(await open_batch(resources, caller), ReviewAction.UNDO.value)
    last = 0
    while True:
        async with resources.db.write() as connection:
            await require_idle(connection, dataset_id)
            page = await reviews.of_batch(connection, batch_id, after=last, limit=PAGE)
            await _undo_page(connection, dataset_id, page, outcome, caller.user_id)
        if len(page) < PAGE:
            break
        last = page[-1].id
    log.info("images.reviewed", action=outcome.action, decided=outcome.decided, unchanged=outcome.unchanged, refused=outcome.refused)
    return outcome


async def _undo_page(connection: Connection, dataset_id: str, page: Sequence[Review], outcome: Outcome, user_id: str) -> None:
    rows = {image.id: image for image in await reviews.lock_images(connection, dataset_id, [review.image_id for review in page])}
    decided: list[NewReview] = []
    for review in page:
        image = rows[review.image_id]
        if review.undone_by is not None:
            outcome.unchanged += 1
        elif (refusal := undo_conflict(image, review)) is not None:
            outcome.refuse([refusal])
        else:
            before = {name: review.before.get(name) for name in reviews.DECIDED}
            decided.append(NewReview(image, before, undoes=review.id))
    await reviews.add(connection, decided, user_id=user_id, batch_id=outcome.batch_id, action=ReviewAction.UNDO)
    outcome.decided += len(decided)


def undo_conflict(image: StoredImage, review: Review) -> Refusal | None:
    """Return why a decision cannot be taken back: the image is not as it left it."""
    left = {name: value for name, value in review.after.items() if name != "review_id"}
    if image.sha256 == review.before.get("sha256") and all(getattr(image, name) == value for name, value in left.items()):
        return None
    if image.reviewed_at is not None and image.reviewed_at != review.after.get("reviewed_at"):
        who = clipped(image.reviewed_by or "a reviewer", 100)
        why = f"{who} decided {image.reviewed} at {when(image.reviewed_at)}, after this review"
        return Refusal(image.id, why, "conflict", image.reviewed_by, image.reviewed_at)
    return Refusal(image.id, f"it changed after this review, and is {image.state.value} now", "conflict")
