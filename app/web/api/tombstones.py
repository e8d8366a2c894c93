"""``/v1/tombstones``: what was removed on request and does not return."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field, StringConstraints

from app.datasets.forget import forget
from app.db import tombstones
from app.strict import Strict
from app.web.api.conventions import Here, NoQuery, Page, PageQuery, TombstoneId, View, at, may_fail

__all__ = ["router"]

router = APIRouter(tags=["datasets"])

MAX_TARGETS = 10_000

Target = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8192)]


class Tombstone(View):
    """What does not return: a URL, the digest of bytes, the hash of a picture."""

    id: str
    url: str | None
    sha256: str | None
    phash: str | None = Field(description="Perceptual hash, 16 hex digits; null where near copies may return.")
    reason: str | None
    image_id: int | None
    created_at: datetime


class WithdrawnExport(View):
    """An export that held what was removed. It has left the store; a copy that was delivered still holds it."""

    id: str
    dataset_id: str
    format: str
    version: str | None
    destination: str | None


class Removed(View):
    """What was removed, or would be."""

    tombstones: int
    images: int
    found: dict[str, int] = Field(description="Images by how they were found: url, digest, near.")
    datasets: list[str]
    exports: list[WithdrawnExport]
    blobs: int = Field(description="Objects that left the store.")


class NewTombstones(Strict):
    """Images to remove, with all that shows the same picture."""

    targets: list[Target] = Field(min_length=1, max_length=MAX_TARGETS, description="URLs, SHA-256 digests, or ids of images.")
    reason: str | None = Field(None, max_length=500, description="Why, as in the request.")
    exact: bool = Field(False, description="Near copies stay and may return.")
    dry_run: bool = Field(False, description="Find what would go, and remove nothing.")


@router.post("/v1/tombstones", operation_id="tombstones_create", summary="Remove images on request", responses=may_fail(404))
async def create_tombstones(call: Here, request: Request, body: NewTombstones, _: Annotated[NoQuery, Query()]) -> Removed:
    """They leave the store and all of your datasets, and do not return under another URL or as a near copy."""
    found = await forget(call.resources, body.targets, user_id=call.user_id, reason=body.reason, is_exact=body.exact, dry_run=body.dry_run)
    for dataset_id in () if body.dry_run else found.datasets:
        await asyncio.to_thread(request.app.state.gallery.forget, dataset_id)
    names = ("id", "dataset_id", "format", "version", "destination")
    exports = [WithdrawnExport(**{name: getattr(made, name) for name in names}) for made in found.exports]
    return Removed(
        tombstones=found.tombstones,
        images=found.images.total(),
        found=dict(found.images),
        datasets=list(found.datasets),
        exports=exports,
        blobs=found.blobs,
    )


@router.get("/v1/tombstones", operation_id="tombstones_list", summary="List tombstones, newest first")
async def list_tombstones(call: Here, query: Annotated[PageQuery, Query()]) -> Page[Tombstone]:
    """What you had removed."""
    page = await tombstones.page(call.resources.db, user_id=call.user_id, limit=query.limit, cursor=query.cursor)
    return Page(items=[Tombstone(**_row(item)) for item in page.items], next_cursor=page.next_cursor)


@router.delete(
    "/v1/tombstones/{tombstone_id}",
    operation_id="tombstones_delete",
    summary="Take a tombstone back",
    status_code=204,
    response_class=Response,
    responses=may_fail(404),
)
async def delete_tombstone(call: Here, tombstone_id: TombstoneId, _: Annotated[NoQuery, Query()]) -> Response:
    """What it names may be downloaded again. Images that were removed stay removed."""
    found = await tombstones.get(call.resources.db, tombstone_id, user_id=call.user_id)
    await tombstones.remove(call.resources.db, found.id)
    return Response(status_code=204)


def _row(item: tombstones.Tombstone) -> dict[str, Any]:
    names = ("id", "url", "sha256", "phash", "reason", "image_id")
    return {name: getattr(item, name) for name in names} | {"created_at": at(item.created_at)}
