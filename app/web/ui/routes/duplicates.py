"""``/datasets/{id}/duplicates``: groups of duplicates side by side; another one is kept, or a member is called a picture of its own."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import RedirectResponse, Response

import errors
from app.db import reviews
from app.review_actions import ReviewAction
from app.web.api import datasets
from app.web.api.conventions import DatasetId, NoQuery, PageQuery, Text, call_of
from app.web.api.reviews import list_duplicates, run_review, run_undo
from app.web.ui.forms import read_form
from app.web.ui.routes.review import as_review, as_seen, positive
from app.web.ui.templating import link, render

__all__ = ["router"]

router = APIRouter()

GROUPS = 20
"""Groups on one page."""


class Place(BaseModel):
    """Which page of groups, and what was done last."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    cursor: Text | None = Field(None, max_length=500)
    done: str | None = Field(None, pattern="^rev_[0-9a-f]{32}$")


@router.get("/datasets/{dataset_id}/duplicates")
async def show(request: Request, dataset_id: DatasetId, place: Annotated[Place, Query()]) -> Response:
    """A page of groups."""
    call = call_of(request)
    dataset = await datasets.get_dataset(call, dataset_id, NoQuery())
    page = await list_duplicates(call, dataset_id, PageQuery(limit=GROUPS, cursor=place.cursor))
    async with call.resources.db.read() as connection:
        made = await reviews.of_batch(connection, place.done, limit=1) if place.done else []
    done = made[0] if made and made[0].dataset_id == dataset_id else None
    return render(request, "duplicates.html", dataset=dataset, groups=page.items, next_cursor=page.next_cursor, place=place, done=done)


@router.post("/datasets/{dataset_id}/duplicates")
async def decide(request: Request, dataset_id: DatasetId) -> Response:
    """Keep another one, split a member off, or take the last decision back."""
    call, form = call_of(request), await read_form(request)
    here: dict[str, Any] = {"cursor": str(form.get("cursor") or "") or None}
    path = f"/datasets/{dataset_id}/duplicates"
    action = str(form.get("action"))
    if action == "undo":
        outcome = await run_undo(call, str(form.get("review", "")))
        return RedirectResponse(link(path, done=outcome.batch_id, **here), 303)
    if action not in (ReviewAction.KEEP_INSTEAD, ReviewAction.SPLIT_GROUP) or positive(str(form.get("seen", "")).partition(":")[0]) is None:
        raise errors.ValidationError("action: keep_instead or split_group, about an image of this page; load the page again")
    body = as_review({"action": action, "images": [as_seen(str(form["seen"]))]})
    outcome = await run_review(call, dataset_id, body, call.caller())
    if outcome.refusals:
        raise errors.ValidationError(f"image {outcome.refusals[0].image_id}: {outcome.refusals[0].why}")
    return RedirectResponse(link(path, done=outcome.batch_id, **here), 303)
