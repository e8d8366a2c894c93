"""``/v1/datasets/{id}/reviews`` and ``/duplicates``, ``/v1/reviews/{id}/undo``: what people decide about images."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Path, Query
from pydantic import Field, model_validator

import errors
from app.datasets import duplicates
from app.datasets.duplicates import Group
from app.datasets.review import Decision, Outcome, Seen, Targets, decide
from app.datasets.undo import undo
from app.db import datasets, reviews, rows
from app.db.duplicates import Member as MemberRow
from app.db.exceptions import StateConflict
from app.db.image_search import ImageFilter
from app.domain import ImageState, Reason
from app.jobs.submit import Caller
from app.review_actions import ReviewAction
from app.strict import Strict
from app.web.api.conventions import Call, DatasetId, Here, IdempotencyKey, NoQuery, Page, PageQuery, Text, View, at, may_fail
from app.web.api.images import Image, image_view

__all__ = ["ImageNumber", "Matching", "NewReview", "SeenImage", "list_duplicates", "router", "run_review", "run_undo"]

router = APIRouter(tags=["reviews"])

MAX_NAMED = 10_000
"""Images that one request names; more are chosen by a filter."""

ReviewId = Annotated[str, Path(pattern="^rev_[0-9a-f]{32}$", description="Id of the review.")]

ImageNumber = Annotated[int, Field(ge=1, le=2**63 - 1)]


class SeenImage(Strict):
    """An image as the reviewer saw it: where it is not so any more, it is left alone, and the answer says who decided meanwhile."""

    id: ImageNumber
    status: ImageState | None = None
    review_id: int | None = Field(None, description="`review_id` of the image; null where nobody had decided. Leave it out to not check.")

    def as_seen(self) -> Seen:
        """For the decision."""
        return Seen(self.id, self.status, self.review_id, "review_id" in self.model_fields_set)


class Matching(Strict):
    """All images of the dataset that match each of these."""

    status: ImageState | None = None
    reason: Reason | None = None
    source: Text | None = Field(None, max_length=40)
    label: Text | None = Field(None, max_length=100)
    split: Text | None = Field(None, max_length=32)
    reviewed: Literal[False] | None = Field(
        None, description="false: only images about which nobody has decided, or whose bytes are others since."
    )
    where: Text | None = Field(None, min_length=1, max_length=4000, description="A selection, as in `width < 200 and label = cat`.")

    def as_targets(self, expected: int | None) -> Targets:
        """For the decision."""
        matching = ImageFilter(state=self.status, reason=self.reason, source=self.source, label=self.label, split=self.split)
        return Targets(matching=matching, where=self.where, expected=expected, only_open=self.reviewed is False)


class NewReview(Strict):
    """A decision about images: those that are named, or all that match a filter."""

    action: ReviewAction = Field(description="keep, reject, relabel; of duplicates also keep_instead and split_group.")
    images: list[ImageNumber | SeenImage] | None = Field(None, min_length=1, max_length=MAX_NAMED, description="Ids, or images as seen.")
    matching: Matching | None = None
    expected: int | None = Field(None, ge=0, description="How many images match, as the reviewer was told; another number is refused.")
    label: Text | None = Field(None, min_length=1, max_length=100, description="The new label; with keep, the label that it is kept with.")
    note: Text | None = Field(None, max_length=1000, description="Why; it is kept.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.images is None) is (self.matching is None):
            raise ValueError("name images, or say which match: one of the two")
        if self.action is ReviewAction.UNDO:
            raise ValueError("undo is POST /v1/reviews/{id}/undo")
        if self.action in (ReviewAction.KEEP_INSTEAD, ReviewAction.SPLIT_GROUP) and (self.images is None or len(self.images) != 1):
            raise ValueError(f"{self.action} is about one duplicate: name it in images")
        return self

    def targets(self) -> Targets:
        """Which images are decided."""
        if self.matching is not None:
            return self.matching.as_targets(self.expected)
        return Targets([Seen(item) if isinstance(item, int) else item.as_seen() for item in self.images or ()])


class Refused(View):
    """An image that was left as it is."""

    image_id: int
    code: str = Field(description="conflict: it is not as it was seen; refused: it cannot be decided so; not_found.")
    detail: str
    reviewed_by: str | None = Field(description="Who decided meanwhile.")
    reviewed_at: datetime | None


class ReviewOutcome(View):
    """What a review did."""

    id: str
    action: ReviewAction
    decided: int
    unchanged: int = Field(description="Images that were so already.")
    refused: int
    refusals: list[Refused] = Field(description="The first 100 of the refused ones.")
    links: dict[str, str]


class ReviewItem(View):
    """A decision about one image."""

    id: int
    review: str | None = Field(description="Id of the review; null where the decision came with a version or a lock.")
    image_id: int
    user_id: str | None
    action: ReviewAction
    note: str | None
    before: dict[str, Any]
    after: dict[str, Any]
    undone: bool = Field(description="Whether it was taken back since.")
    created_at: datetime


class Member(View):
    """An image that repeats another."""

    image: Image
    exact: bool
    distance: int | None = Field(description="Bits of 64 in which the two differ.")


class DuplicateGroup(View):
    """A picture that several images show."""

    kept: Image
    members: Sequence[Member] = Field(description="At most 50.")
    number: int = Field(description="How many repeat it.")


@router.post(
    "/v1/datasets/{dataset_id}/reviews",
    operation_id="reviews_create",
    summary="Decide about images",
    responses=may_fail(404, 409),
)
async def create_review(
    call: Here, dataset_id: DatasetId, body: NewReview, _: Annotated[NoQuery, Query()], key: IdempotencyKey = None
) -> ReviewOutcome:
    """Exports and later versions obey. An image about which somebody else has decided meanwhile is left alone and named.

    Where the only image is left alone, that is the answer: 404, 409 or 422.
    """
    outcome = await run_review(call, dataset_id, body, call.caller(key, body))
    if len(body.images or ()) == 1 and outcome.refusals:
        raise _REFUSALS[outcome.refusals[0].code](outcome.refusals[0].why)
    return outcome_view(outcome)


async def run_review(call: Call, dataset_id: str, body: NewReview, caller: Caller) -> Outcome:
    """Decide, for the API and the pages."""
    targets = body.targets()
    if body.action in (ReviewAction.KEEP_INSTEAD, ReviewAction.SPLIT_GROUP):
        step = duplicates.keep_instead if body.action is ReviewAction.KEEP_INSTEAD else duplicates.split_group
        return await step(call.resources, dataset_id, targets.images[0], note=body.note, caller=caller)
    decision = Decision(body.action, body.label, body.note)  # type: ignore[arg-type]
    return await decide(call.resources, dataset_id, decision, targets, caller=caller)


async def run_undo(call: Call, review_id: str) -> Outcome:
    """Take a review back, for the pages."""
    return await undo(call.resources, review_id, caller=call.caller())


_REFUSALS: dict[str, type[errors.PictrawlError]] = {
    "conflict": StateConflict,
    "not_found": errors.NotFoundError,
    "refused": errors.ValidationError,
}


def outcome_view(outcome: Outcome) -> ReviewOutcome:
    """Convert what a review did to its JSON form."""
    refusals = [
        Refused(image_id=item.image_id, code=item.code, detail=item.why, reviewed_by=item.by, reviewed_at=at(item.at))
        for item in outcome.refusals
    ]
    counts = {"decided": outcome.decided, "unchanged": outcome.unchanged, "refused": outcome.refused}
    links = {"undo": f"/v1/reviews/{outcome.batch_id}/undo"}
    return ReviewOutcome(id=outcome.batch_id, action=ReviewAction(outcome.action), refusals=refusals, links=links, **counts)


@router.get(
    "/v1/datasets/{dataset_id}/reviews", operation_id="reviews_list", summary="List decisions, newest first", responses=may_fail(404)
)
async def list_reviews(call: Here, dataset_id: DatasetId, query: Annotated[PageQuery, Query()]) -> Page[ReviewItem]:
    """Who decided what about which image, and when; none is ever erased."""
    await datasets.get_dataset(call.resources.db, dataset_id, user_id=call.user_id)
    page = await reviews.page(call.resources.db, dataset_id, limit=query.limit, cursor=query.cursor)
    return Page(items=[review_view(item) for item in page.items], next_cursor=page.next_cursor)


def review_view(item: rows.Review) -> ReviewItem:
    """Convert a decision to its JSON form."""
    names = ("id", "image_id", "user_id", "note")
    return ReviewItem(
        **{name: getattr(item, name) for name in names},
        review=item.batch_id,
        action=ReviewAction(item.action),
        before=dict(item.before),
        after=dict(item.after),
        undone=item.undone_by is not None,
        created_at=at(item.created_at),
    )


@router.post("/v1/reviews/{review_id}/undo", operation_id="reviews_undo", summary="Take a review back", responses=may_fail(404, 409))
async def undo_review(call: Here, review_id: ReviewId, _: Annotated[NoQuery, Query()], key: IdempotencyKey = None) -> ReviewOutcome:
    """Images that are still as it left them are what they were before; the others are named. The answer can be taken back too."""
    return outcome_view(await undo(call.resources, review_id, caller=call.caller(key)))


@router.get(
    "/v1/datasets/{dataset_id}/duplicates", operation_id="duplicates_list", summary="List groups of duplicates", responses=may_fail(404)
)
async def list_duplicates(call: Here, dataset_id: DatasetId, query: Annotated[PageQuery, Query()]) -> Page[DuplicateGroup]:
    """Each with the image that is kept and those that repeat it."""
    page = await duplicates.groups(call.resources, dataset_id, user_id=call.user_id, limit=query.limit, cursor=query.cursor)
    return Page(items=[group_view(group) for group in page.items], next_cursor=page.next_cursor)


def group_view(group: Group) -> DuplicateGroup:
    """Convert a group to its JSON form."""
    return DuplicateGroup(kept=image_view(group.kept), members=[_member(member) for member in group.members], number=group.number)


def _member(member: MemberRow) -> Member:
    return Member(image=image_view(member.image), exact=member.is_exact, distance=member.distance)
