"""``/v1/images``: images with their state and metadata, their attempts, and their bytes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

import errors
from app import thumbnails
from app.db import attempts, image_search, images
from app.db.image_search import ImageFilter
from app.domain import EXTENSIONS, ImageState, Reason, Reuse, StoredImage
from app.review_actions import Reviewed
from app.storage import MissingObject, paths
from app.web.api import downloads, problems
from app.web.api.conventions import Here, ImageId, ImageQuery, NoQuery, Page, View, at
from app.web.api.downloads import IMMUTABLE, Download
from downloader.models import Attempt as Made

__all__ = ["router"]

router = APIRouter(tags=["images"])

COPIED = (
    "id", "dataset_id", "job_id", "chunk_id", "url", "source", "reason", "detail", "evidence", "robots", "opt_out",
    "reuse", "reused_from", "rank", "line", "page_url", "final_url", "offers",
    "title", "caption", "captions", "label", "labels", "boxes", "list_columns",
    "license", "license_url", "license_raw", "license_confidence", "license_note", "creator", "creator_url", "attribution",
    "group_id", "sha256", "size_bytes", "media_type",
    "width", "height", "phash", "measures", "duplicate_of", "split", "out_sha256", "out_media_type", "out_size_bytes", "out_width",
    "out_height", "changes", "warning", "reviewed", "reviewed_by", "reviewed_label", "review_id",
)  # fmt: skip


PLACEHOLDER: Final = Path(__file__).with_name("no_thumbnail.png").read_bytes()
"""Stands in for a picture that cannot be shown: a crossed frame, 96 pixels a side, on any ground."""


class Image(View):
    """An image: its source, its properties, its state and the reason."""

    id: int
    dataset_id: str
    job_id: str
    chunk_id: str | None
    status: ImageState
    reason: Reason | None = Field(description="Why it is not in the dataset; label_conflict may stand at a kept image.")
    detail: str | None = Field(description="The reason with its numbers.")
    evidence: str | None = Field(description="What the reason rests on: a header, a robots.txt line, an address; at most 300 characters.")
    robots: str | None = Field(description="Decision by robots.txt: off, not_asked, allowed, disallowed, no_file or unreachable.")
    opt_out: str | None = Field(description="Decision by opt-outs in headers, robots.txt and tdmrep.json: off, not_read, none or refused.")
    reuse: Reuse | None = Field(description="How it used bytes that an earlier job had stored: stored (no request) or not_modified (304).")
    reused_from: str | None = Field(description="The job whose request brought those bytes.")
    url: str
    final_url: str | None
    page_url: str | None
    source: str
    offers: Sequence[Mapping[str, Any]] | None = Field(
        description="Further sources that offered the same picture: source, url, page_url, license, license_url, license_raw."
    )
    rank: int = Field(description="Position in the order of the source.")
    line: int | None = Field(description="Line of the list it came from.")
    title: str | None
    caption: str | None
    captions: Sequence[str] | None = Field(description="All captions, where the list gives several.")
    label: str | None
    labels: Sequence[str] | None = Field(description="All labels, where the list gives several.")
    boxes: Sequence[Mapping[str, Any]] | None = Field(
        description="Objects in it, as the list says: label, x, y, width, height, in pixels of the fetched image, upright."
    )
    list_columns: dict[str, Any] = Field(description="Further columns of the list it came from.")
    license: str | None
    license_url: str | None
    license_raw: str | None = Field(description="What the source stated, as it stated it.")
    license_confidence: str | None = Field(description="How the licence is known: asserted, derived or unknown.")
    license_note: str | None = Field(description="How statements that disagree were settled.")
    creator: str | None
    creator_url: str | None
    attribution: str | None
    group_id: str | None
    split: str | None
    sha256: str | None = Field(description="SHA-256 of the fetched bytes.")
    size_bytes: int | None
    media_type: str | None
    width: int | None
    height: int | None
    phash: str | None
    measures: Mapping[str, Any] | None
    duplicate_of: int | None
    out_sha256: str | None = Field(description="SHA-256 of the exported bytes, where they differ from the fetched ones.")
    out_media_type: str | None
    out_size_bytes: int | None
    out_width: int | None
    out_height: int | None
    changes: str | None = Field(description="What was removed from the fetched bytes so that loaders read them.")
    warning: str | None = Field(description="What loaders may stumble over, such as 16 bits a channel that left as they came.")
    reviewed: Reviewed | None = Field(description="What a person decided; `changed` where its bytes are others since.")
    reviewed_by: str | None = Field(description="Who; null where a lock says so.")
    reviewed_at: datetime | None
    reviewed_label: str | None = Field(description="The label that a person gave it.")
    review_id: int | None = Field(description="The newest decision; send it with the next one, so that none is made over it unseen.")
    not_before: datetime | None
    fetched_at: datetime | None = Field(description="When its bytes came from the origin, or were last confirmed by it.")
    updated_at: datetime | None
    links: dict[str, str]


class Attempt(View):
    """One request to the image's origin."""

    job_id: str
    number: int
    state: str = Field(description="reserved, done, or lost where the process died before the outcome was written.")
    started_at: datetime | None
    queued_s: float = Field(description="Seconds spent waiting for the host before the request.")
    elapsed_s: float
    status: int | None = Field(description="HTTP status of the reply.")
    error: str | None
    reason: Reason | None
    wait_s: float = Field(description="Seconds waited after it.")
    wait_cause: str


class Attempts(View):
    """Every request for one image, in all jobs."""

    items: list[Attempt]


def image_view(image: StoredImage) -> Image:
    """Convert an image's row to its JSON form."""
    own = f"/v1/images/{image.id}"
    links = {
        "self": own,
        "attempts": f"{own}/attempts",
        "explain": f"{own}/explain",
        "job": f"/v1/jobs/{image.job_id}",
        "dataset": f"/v1/datasets/{image.dataset_id}",
    }
    if image.sha256:
        links |= {"content": f"{own}/content", "thumbnail": f"{own}/thumbnail"}
    return Image(
        **{name: getattr(image, name) for name in COPIED},
        status=image.state,
        not_before=at(image.not_before),
        fetched_at=at(image.fetched_at),
        updated_at=at(image.updated_at),
        reviewed_at=at(image.reviewed_at),
        links=links,
    )


@router.get("/v1/images", operation_id="images_list", summary="List images, oldest first")
async def list_images(call: Here, query: Annotated[ImageQuery, Query()]) -> Page[Image]:
    """All filters must match."""
    wanted = ImageFilter(**query.model_dump(exclude={"limit", "cursor"}))
    page = await image_search.page(call.resources.db, wanted, user_id=call.user_id, limit=query.limit, cursor=query.cursor)
    return Page(items=[image_view(image) for image in page.items], next_cursor=page.next_cursor)


@router.get("/v1/images/{image_id}", operation_id="images_get", summary="One image")
async def get_image(call: Here, image_id: ImageId, _: Annotated[NoQuery, Query()]) -> Image:
    """With all recorded fields."""
    return image_view(await images.get(call.resources.db, image_id, user_id=call.user_id))


@router.get("/v1/images/{image_id}/attempts", operation_id="images_attempts", summary="List the attempts to fetch an image")
async def list_attempts(call: Here, image_id: ImageId, _: Annotated[NoQuery, Query()]) -> Attempts:
    """Every request to its origin, with its outcome and the wait after it."""
    image = await images.get(call.resources.db, image_id, user_id=call.user_id)
    made = await attempts.of_image(call.resources.db, image.id)
    return Attempts(items=[attempt_view(job_id, state, attempt) for job_id, state, attempt in made])


def attempt_view(job_id: str, state: str, attempt: Made) -> Attempt:
    """Convert an attempt to its JSON form."""
    names = ("number", "queued_s", "elapsed_s", "status", "error", "reason", "wait_s", "wait_cause")
    values = {name: getattr(attempt, name) for name in names}
    return Attempt(job_id=job_id, state=state, started_at=at(attempt.started_at or None), **values)


class ThumbnailQuery(NoQuery):
    """What is answered where there is nothing to show."""

    placeholder: bool = Field(False, description="Where the picture cannot be shown, answer with a placeholder (PNG) and not a problem.")


@router.get(
    "/v1/images/{image_id}/thumbnail",
    operation_id="images_thumbnail",
    summary="A small JPEG of an image",
    response_class=Response,
    responses=downloads.binary(thumbnails.MEDIA_TYPE, ranged=False),
)
async def get_thumbnail(call: Here, request: Request, image_id: ImageId, query: Annotated[ThumbnailQuery, Query()]) -> Response:
    """Upright, in sRGB, at most 256 pixels on the longer side. It is made now if there is none yet."""
    sha256, state = await image_search.get_digest(call.resources.db, image_id, user_id=call.user_id)
    try:
        return await _send_thumbnail(request, image_id, _require_bytes(image_id, state, sha256))
    except (errors.NotFoundError, MissingObject, problems.Refusal):
        if not query.placeholder:
            raise
        return Response(PLACEHOLDER, media_type="image/png")


async def _send_thumbnail(request: Request, image_id: int, sha256: str) -> Response:
    item = Download("", f'"thumb-{sha256}"', thumbnails.MEDIA_TYPE, cache_control=IMMUTABLE)
    try:
        return await downloads.respond_small(request, item, partial(request.app.state.thumbnails.get, sha256))
    except errors.ValidationError as error:
        raise problems.Refusal("not-decodable", f"image {image_id} cannot be shown: {error.message}") from error


@router.get(
    "/v1/images/{image_id}/content",
    operation_id="images_content",
    summary="The bytes of an image",
    response_class=Response,
    responses=downloads.binary("image/*"),
)
async def get_content(call: Here, request: Request, image_id: ImageId, _: Annotated[NoQuery, Query()]) -> Response:
    """The bytes that an export holds: compressed where the job compresses, else as fetched."""
    image = await images.get(call.resources.db, image_id, user_id=call.user_id)
    sha256 = _require_bytes(image_id, image.state, image.out_sha256 or image.sha256)
    media_type = _served_type((image.out_media_type or image.media_type) if image.out_sha256 else image.media_type)
    item = Download(paths.blob(sha256), f'"{sha256}"', media_type, f"{image.id}.{EXTENSIONS.get(media_type, 'bin')}", IMMUTABLE)
    return await downloads.respond(request, call.resources.store, item)


def _require_bytes(image_id: int, state: ImageState, sha256: str | None) -> str:
    if sha256 is None:
        raise errors.NotFoundError(f"image {image_id} has no bytes: it is {state}")
    return sha256


def _served_type(media_type: str | None) -> str:
    """The media type that bytes are sent with: that of a format which datasets hold, and nothing that a browser runs."""
    return media_type if media_type in EXTENSIONS else "application/octet-stream"
