"""``/images/{id}``: one picture with its whole story, and what a person decides about it."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

import errors
from app.datasets.review import Decision, Seen, Targets, decide
from app.db import images
from app.db.exceptions import StateConflict
from app.domain import ImageState
from app.jobs.submit import Caller
from app.review_actions import ReviewAction
from app.web.api import explain
from app.web.api.conventions import ImageId, NoQuery, call_of
from app.web.ui.forms import read_form
from app.web.ui.routes.review import positive
from app.web.ui.templating import render

__all__ = ["router"]

router = APIRouter()

SHOWN: Final = frozenset(f"image/{name}" for name in ("jpeg", "png", "webp", "gif", "bmp", "avif"))
"""Media types that every browser shows; of others there is the thumbnail."""

DECIDABLE: Final = frozenset({ImageState.KEPT, ImageState.VALID, ImageState.REJECTED, ImageState.DUPLICATE})

Action = Literal[ReviewAction.KEEP, ReviewAction.REJECT, ReviewAction.RELABEL]

ACTIONS: Final[Mapping[str, Action]] = {"keep": ReviewAction.KEEP, "reject": ReviewAction.REJECT, "relabel": ReviewAction.RELABEL}


@router.get("/images/{image_id}")
async def show(request: Request, image_id: ImageId) -> Response:
    """The page."""
    call = call_of(request)
    story = await explain.get_image_explanation(call, image_id, NoQuery())
    image = await images.get(call.resources.db, image_id, user_id=call.user_id)
    values: dict[str, Any] = {
        "story": story,
        "image": image,
        "name": image.title or image.label or f"Image {image.id}",
        "is_shown": (image.out_media_type or image.media_type) in SHOWN,
        "has_picture": image.phash is not None,  # else it was never decoded
        "can_decide": image.state in DECIDABLE and image.sha256 is not None,
    }
    return render(request, "picture.html", **values)


@router.post("/images/{image_id}")
async def review(request: Request, image_id: ImageId) -> Response:
    """Decide about the picture, and show it again."""
    call = call_of(request)
    image = await images.get(call.resources.db, image_id, user_id=call.user_id)
    form = {name: str(value).strip() for name, value in (await read_form(request)).items()}
    action = ACTIONS.get(form.get("action", ""))
    if action is None:
        raise errors.ValidationError(f"action {form.get('action', '')!r} does not exist; there is {', '.join(ACTIONS)}")
    decision = Decision(action, label=form.get("label") or None if action is ReviewAction.RELABEL else None, note=form.get("note") or None)
    outcome = await decide(
        call.resources, image.dataset_id, decision, Targets([_seen(image_id, form)]), caller=Caller(call.user_id, call.request_id)
    )
    for refusal in outcome.refusals:
        raise StateConflict(refusal.why)
    return RedirectResponse(request.url.path, 303)


def _seen(image_id: int, form: dict[str, str]) -> Seen:
    """The picture as the page showed it, so that a decision that somebody else made meanwhile is not overwritten unseen."""
    return Seen(image_id, review_id=positive(form.get("review_id")), has_review_id="review_id" in form)
