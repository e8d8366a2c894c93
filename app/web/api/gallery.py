"""``/v1/datasets/{id}/images``: the images of a dataset by any filter and in any order, with counts of what they have."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field

from app.db import datasets
from app.domain import ImageState, Reason
from app.gallery.fields import CATEGORIES
from app.gallery.filters import MISSING, MOST_VALUES, RANGED, SORTS, Filter, Range, Sort
from app.gallery.gallery import Gallery
from app.gallery.matching import Facet
from app.review_actions import Reviewed
from app.web.api import problems
from app.web.api.conventions import DatasetId, Here, Page, PageQuery, Text, View, at, may_fail
from app.web.api.images import Image, image_view

__all__ = ["GalleryQuery", "router"]

router = APIRouter(tags=["datasets"])

COUNTING_S = 2
"""Retry-After where an answer needs columns that are being made, seconds."""

Values = Annotated[list[Text], Field(default_factory=list, max_length=MOST_VALUES)]
Limit = Annotated[float | None, Field(None, allow_inf_nan=False)]


class GalleryQuery(PageQuery):
    """Which images, and in which order. Several values of one parameter are alternatives; an empty value means that an image has none."""

    state: list[ImageState] = Field(default_factory=list, max_length=MOST_VALUES)
    reason: list[Reason | Literal[""]] = Field(default_factory=list, max_length=MOST_VALUES)
    label: Values
    split: Values
    source: Values
    license: Values
    host: Values
    format: Values
    reviewed: list[Reviewed | Literal[""]] = Field(default_factory=list, max_length=MOST_VALUES)
    min_width: Limit
    max_width: Limit
    min_height: Limit
    max_height: Limit
    min_pixels: Limit
    max_pixels: Limit
    min_aspect: Limit
    max_aspect: Limit
    min_bytes: Limit
    max_bytes: Limit
    min_sharpness: Limit
    max_sharpness: Limit
    min_brightness: Limit
    max_brightness: Limit
    min_entropy: Limit
    max_entropy: Limit
    min_edges: Limit
    max_edges: Limit
    min_frames: Limit
    max_frames: Limit
    text: Text | None = Field(
        None, max_length=200, description="Words, each of which is part of a word of label, title, caption, creator or URL."
    )
    where: Text | None = Field(None, max_length=2000, description="As `--where` of a build, over what this list knows of an image.")
    sort: str = Field(
        "id", max_length=40, description=f"{', '.join(SORTS)}; a minus before it turns the order around. Unknown numbers are last."
    )
    counts: bool = Field(True, description="Whether all that match are counted; further pages of a list need no counts.")

    def filter(self) -> Filter:
        """The filter.

        Raises:
            errors.ValidationError: a value is none.
        """
        ranges = [Range(name, getattr(self, f"min_{name}"), getattr(self, f"max_{name}")) for name in RANGED]
        return Filter.of({name: getattr(self, name) for name in CATEGORIES}, ranges, text=self.text, where=self.where)


class FacetValue(View):
    """How many images have a value."""

    value: str | None = Field(description="Null: none.")
    count: int


class FacetView(View):
    """The values of the images that match all but the choice of this one."""

    values: list[FacetValue] = Field(description="The most frequent first, and those that are chosen.")
    more: int = Field(description="Further values.")


class GalleryPage(Page[Image]):
    """A page of images, with counts."""

    total: int | None = Field(description="Images that match; null where they are not counted.")
    facets: dict[str, FacetView] | None = Field(description="By category; null where they are not counted.")
    is_counting: bool = Field(description="Whether the counts are being made: ask again in some seconds.")
    is_current: bool = Field(description="Whether nothing has changed since `as_of`. What is said of each image is always current.")
    as_of: datetime | None = Field(description="When the filter and the counts were true.")


def facet_views(facets: Mapping[str, Facet]) -> dict[str, FacetView]:
    """Convert facets to their JSON form."""
    return {
        name: FacetView(
            values=[FacetValue(value=None if value == MISSING else value, count=n) for value, n in facet.counts.items()], more=facet.more
        )
        for name, facet in facets.items()
    }


@router.get(
    "/v1/datasets/{dataset_id}/images",
    operation_id="datasets_images",
    summary="Images of a dataset by any filter and order, with counts",
    responses=may_fail(503),
)
async def list_images(call: Here, request: Request, dataset_id: DatasetId, query: Annotated[GalleryQuery, Query()]) -> GalleryPage:
    """All filters must match. Filters and counts may be older than the images themselves while a job is at work."""
    wanted, sort = query.filter(), Sort.parse(query.sort)
    await datasets.get_dataset(call.resources.db, dataset_id, user_id=call.user_id)
    gallery: Gallery = request.app.state.gallery
    view = await gallery.look(dataset_id, wanted, sort, limit=query.limit, cursor=query.cursor)
    if view.images is None:
        detail = "The images of this dataset are being read for filters that no index answers; ask again."
        raise problems.Refusal("not-ready", detail, headers={"Retry-After": str(COUNTING_S)})
    matches = view.matches if query.counts else None
    return GalleryPage(
        items=[image_view(image) for image in view.images],
        next_cursor=view.next_cursor,
        total=None if matches is None else matches.total,
        facets=None if matches is None else facet_views(matches.facets),
        is_counting=view.matches is None,
        is_current=view.is_current,
        as_of=at(view.as_of),
    )
