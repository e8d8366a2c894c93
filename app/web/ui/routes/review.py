"""``/datasets/{id}/review``: one picture after another, each decided with a key; or a selection, or all that match a filter."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

import errors
from app.datasets.review import DECIDABLE
from app.db import Database, reviews
from app.db.image_search import ImageFilter
from app.domain import ImageState, Reason, StoredImage
from app.explain import ImageHistory, explain_image
from app.review_actions import ReviewAction
from app.validation_errors import with_value
from app.web.api import datasets
from app.web.api.conventions import Call, DatasetId, NoQuery, Text, call_of
from app.web.api.reviews import ImageNumber, NewReview, run_review, run_undo
from app.web.ui.forms import read_form
from app.web.ui.templating import link, render

__all__ = ["as_review", "as_seen", "positive", "router"]

router = APIRouter()

QUEUE = 24
"""Pictures of the queue that are shown."""

SHOWN_AS_THEY_CAME = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif", "image/avif", "image/bmp"})
"""Types that every browser shows; of the others the small picture is shown large."""


def _blank(value: Any) -> Any:
    return None if value == "" else value


Blank = BeforeValidator(_blank)


class Filter(BaseModel):
    """Which pictures are in the queue; an empty field of a form matches any."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    state: Annotated[ImageState | None, Blank] = None
    reason: Annotated[Reason | None, Blank] = None
    label: Annotated[Annotated[Text, Field(max_length=100)] | None, Blank] = None
    source: Annotated[Annotated[Text, Field(max_length=40)] | None, Blank] = None
    split: Annotated[Annotated[Text, Field(max_length=32)] | None, Blank] = None
    decided: Annotated[Literal["any"] | None, Blank] = None

    @property
    def as_filter(self) -> ImageFilter:
        """For queries."""
        return ImageFilter(state=self.state, reason=self.reason, label=self.label, source=self.source, split=self.split)

    @property
    def is_open(self) -> bool:
        """Whether only pictures are wanted about which nobody has decided."""
        return self.decided is None

    @property
    def fields(self) -> dict[str, str]:
        """The fields that are set, for links and forms."""
        return {name: str(value) for name in Filter.model_fields if (value := getattr(self, name)) is not None}


class Place(Filter):
    """Where in the queue the reviewer is, and what was done last.

    Attributes:
        image: the picture to begin with; ``back`` is the one before it.
        done: the review that was made; ``left`` images of it were left as they are.
        unmade, wanted: a decision that somebody else was faster with, and its label.
    """

    image: ImageNumber | None = None
    back: ImageNumber | None = None
    done: str | None = Field(None, pattern="^rev_[0-9a-f]{32}$")
    left: int = Field(0, ge=0, le=2**31)
    unmade: ReviewAction | None = None
    wanted: Text | None = Field(None, max_length=100)


@router.get("/datasets/{dataset_id}/review")
async def show(request: Request, dataset_id: DatasetId, place: Annotated[Place, Query()]) -> Response:
    """The queue, with its first picture large."""
    call = call_of(request)
    dataset = await datasets.get_dataset(call, dataset_id, NoQuery())
    db = call.resources.db
    queue = await _queue(db, dataset_id, place)
    current = queue[0] if queue else None
    story = await explain_image(db, [current]) if current is not None else None
    other = await _other(db, current) if current else None
    values = {
        "dataset": dataset,
        "place": place,
        "filters": place.fields,
        "queue": queue,
        "image": current,
        "story": story,
        "large": _large(current) if current else None,
        "other": other,
        "other_large": _large(other) if other else None,
        "previous": await reviews.before(db, dataset_id, place.as_filter, DECIDABLE, current.id) if current else None,
        "count": await reviews.count(db, dataset_id, place.as_filter, DECIDABLE, only_open=place.is_open),
        "states": sorted(DECIDABLE),
        "reasons": sorted(name for name in dataset.reasons if name in {reason.value for reason in Reason}),
        "done": await _done(db, dataset_id, place),
        "decided": _newest(story),
    }
    return render(request, "review.html", **values)


async def _queue(db: Database, dataset_id: str, place: Place) -> list[StoredImage]:
    """The pictures of the queue from the current one on; the current one also where it is in the queue no more."""
    found = await reviews.queue(db, dataset_id, place.as_filter, DECIDABLE, only_open=place.is_open, from_id=place.image or 0, limit=QUEUE)
    if place.image is None or (found and found[0].id == place.image):
        return found
    async with db.read() as connection:
        asked = await reviews.read_images(connection, dataset_id, [place.image])
    return [*asked, *found][:QUEUE]


async def _other(db: Database, image: StoredImage) -> StoredImage | None:
    """The image that shows the same picture, or has another label for it."""
    if image.duplicate_of is None:
        return None
    async with db.read() as connection:
        return next(iter(await reviews.read_images(connection, image.dataset_id, [image.duplicate_of])), None)


def _large(image: StoredImage) -> str:
    kind = "content" if image.media_type in SHOWN_AS_THEY_CAME else "thumbnail"
    return f"/v1/images/{image.id}/{kind}"


def _newest(story: ImageHistory | None) -> Any:
    """The decision that holds about the picture."""
    holding = [item for item in story.reviews if item.undone_by is None and item.undoes is None] if story else []
    return holding[-1] if holding else None


async def _done(db: Database, dataset_id: str, place: Place) -> dict[str, Any] | None:
    """What the last review did, in words that a page says."""
    if place.done is None:
        return None
    async with db.read() as connection:
        first = await reviews.of_batch(connection, place.done, limit=1)
        if not first or first[0].dataset_id != dataset_id:
            return None
        number = await reviews.size_of_batch(connection, place.done)
    return {"id": place.done, "action": first[0].action, "number": number, "image": first[0].image_id, "is_undone": first[0].undone_by}


@router.post("/datasets/{dataset_id}/review")
async def decide(request: Request, dataset_id: DatasetId) -> Response:
    """Make a decision, and go on to the next picture."""
    call, form = call_of(request), await read_form(request)
    here = f"/datasets/{dataset_id}/review"
    shown = _filter_of(form)
    if form.get("action") == "undo":
        outcome = await run_undo(call, str(form.get("review", "")))
        return _to(here, shown, image=positive(form.get("image")), done=outcome.batch_id, left=outcome.refused or None)
    image_id = positive(form.get("image"))
    body = _body(form, shown, image_id)
    outcome = await run_review(call, dataset_id, body, call.caller())
    if form.get("scope") not in ("chosen", "matching") and outcome.refusals:
        if outcome.refusals[0].code != "conflict":
            raise errors.ValidationError(f"image {image_id}: {outcome.refusals[0].why}")
        return _to(here, shown, image=image_id, unmade=outcome.action, wanted=body.label)
    following = await _following(call, dataset_id, shown, image_id or 0)
    made = outcome.batch_id if outcome.decided else None
    return _to(here, shown, image=following, back=image_id, done=made, left=outcome.refused or None)


def _filter_of(form: FormData) -> Filter:
    """The filter of the page that a form is on."""
    try:
        return Filter.model_validate({name.removeprefix("f_"): value for name, value in form.items() if name.startswith("f_")})
    except ValidationError as error:
        raise _refused(error) from error


def positive(value: Any) -> int | None:
    """The number above 0 that a field holds; None for anything else."""
    text = str(value or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 and int(text) else None


def _body(form: FormData, shown: Filter, image_id: int | None) -> NewReview:
    """The request of the JSON twin.

    Raises:
        errors.ValidationError: a field cannot be used.
    """
    values: dict[str, Any] = {"action": form.get("action"), "label": form.get("label") or None, "note": form.get("note") or None}
    if form.get("scope") == "matching":
        if form.get("sure") != "yes":
            raise errors.ValidationError("confirm that all that match are meant: tick the box beside the button")
        matching = {name: value for name, value in shown.fields.items() if name != "decided"} | {
            "reviewed": False if shown.is_open else None
        }
        matching["status"] = matching.pop("state", None)
        values |= {"matching": matching, "expected": positive(form.get("expected")) or 0}
    elif form.get("scope") == "chosen":
        values["images"] = [as_seen(str(value)) for value in form.getlist("chosen")]
        if not values["images"]:
            raise errors.ValidationError("nothing is selected: choose pictures of the queue first, with x or with their boxes")
    else:
        values["images"] = [as_seen(str(form.get("seen", "")))]
    return as_review(values)


def as_review(values: Mapping[str, Any]) -> NewReview:
    """The request that fields of a form make.

    Raises:
        errors.ValidationError: a field cannot be used.
    """
    try:
        return NewReview.model_validate(values)
    except ValidationError as error:
        raise _refused(error) from error


def _refused(error: ValidationError) -> errors.ValidationError:
    first = error.errors()[0]
    return errors.ValidationError(f"{'.'.join(map(str, first['loc']))}: {with_value(first)}")


def as_seen(text: str) -> Mapping[str, Any]:
    """``17:kept:3``: an image, its state and its newest decision as the page showed them."""
    number, state, review = [*text.split(":"), "", "", ""][:3]
    return {"id": positive(number) or 0, "status": state or None, "review_id": positive(review)}


async def _following(call: Call, dataset_id: str, shown: Filter, image_id: int) -> int | None:
    found = await reviews.queue(
        call.resources.db, dataset_id, shown.as_filter, DECIDABLE, only_open=shown.is_open, from_id=image_id + 1, limit=1
    )
    return found[0].id if found else None


def _to(here: str, shown: Filter, **more: Any) -> Response:
    return RedirectResponse(link(here, **shown.fields, **more), 303)
