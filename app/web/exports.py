"""``/v1/exports``: one export, its files, and a second look at it."""

import hashlib
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response

import errors
from app.db import exports, jobs, paging
from app.db.conflicts import StateConflict
from app.domain import EXTENSIONS, CheckKind
from app.jobs import submit
from app.storage import paths
from app.web import downloads
from app.web.answers import ACCEPTED, accepted, may_fail
from app.web.calls import Here, IdempotencyKey
from app.web.downloads import Download
from app.web.export_views import Check, Export, ExportFile, check_view, export_view
from app.web.queries import ExportId, NoQuery, Page, PageQuery

__all__ = ["router"]

router = APIRouter(tags=["exports"])

FilePath = Annotated[str, Path(max_length=1000, description="A path out of the export's list of files.")]

PUBLISHED = "ready"

MEDIA_TYPES = {extension: media_type for media_type, extension in EXTENSIONS.items()} | {
    "csv": "text/csv",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "md": "text/markdown",
    "parquet": "application/vnd.apache.parquet",
    "tar": "application/x-tar",
    "txt": "text/plain",
}
"""Media type by file name extension, of what exports hold."""


@router.get("/v1/exports/{export_id}", operation_id="exports_get", summary="One export")
async def get_export(call: Here, export_id: ExportId, _: Annotated[NoQuery, Query()]) -> Export:
    """Its counts, and what reading it back found."""
    return export_view(await exports.get_export(call.resources.db, export_id, user_id=call.user_id))


@router.get("/v1/exports/{export_id}/files", operation_id="exports_files", summary="List an export's files", responses=may_fail(409))
async def list_files(call: Here, export_id: ExportId, query: Annotated[PageQuery, Query()]) -> Page[ExportFile]:
    """By path. Only once the export is ready."""
    export = await exports.get_export(call.resources.db, export_id, user_id=call.user_id)
    _require_ready(export_id, export.state)
    sizes = (export.report or {}).get("files", {})
    after = paging.decode(query.cursor, str)[0] if query.cursor else ""
    names = sorted(name for name in sizes if name > after)
    shown = names[: query.limit]
    items = [ExportFile(path=name, size_bytes=sizes[name], href=f"/v1/exports/{export_id}/files/{quote(name)}") for name in shown]
    return Page(items=items, next_cursor=paging.encode(shown[-1]) if len(names) > query.limit else None)


@router.get(
    "/v1/exports/{export_id}/files/{path:path}",
    operation_id="exports_download",
    summary="One file of an export",
    response_class=Response,
    responses=downloads.binary("application/octet-stream") | may_fail(409),
)
async def get_file(call: Here, request: Request, export_id: ExportId, path: FilePath, _: Annotated[NoQuery, Query()]) -> Response:
    """Whole or in part (Range). A file of a published export never changes."""
    missing = errors.NotFoundError(f"export {export_id} has no such file")
    try:
        paths.check_key(path)
    except errors.ValidationError as error:
        raise missing from error
    export, size = await exports.get_file(call.resources.db, export_id, path, user_id=call.user_id)
    _require_ready(export_id, export.state)
    if size is None:
        raise missing
    etag = hashlib.sha256(f"{export_id}/{path}:{export.verified_at}:{size}".encode()).hexdigest()[:32]
    media_type = MEDIA_TYPES.get(path.rpartition(".")[2], "application/octet-stream")
    item = Download(f"{export.prefix}/{path}", f'"{etag}"', media_type, path.rpartition("/")[2])
    return await downloads.respond(request, call.resources.store, item)


def _require_ready(export_id: str, state: str) -> None:
    if state != PUBLISHED:
        raise StateConflict(f"export {export_id} is {state}; its files can be taken once it is {PUBLISHED}")


@router.post(
    "/v1/exports/{export_id}/verifications",
    operation_id="exports_verify",
    summary="Read an export back again",
    status_code=202,
    responses=ACCEPTED | may_fail(409),
)
async def verify_export(
    call: Here, export_id: ExportId, response: Response, _: Annotated[NoQuery, Query()], key: IdempotencyKey = None
) -> Check:
    """With its format's own reader, every sample."""
    db = call.resources.db
    export = await exports.get_export(db, export_id, user_id=call.user_id)
    if export.prefix is None:
        raise StateConflict(f"export {export_id} is {export.state}; there is nothing to read back")
    made = await submit.submit_check(call.resources, CheckKind.INTEGRITY, export=export, caller=call.caller(key))
    accepted(response, f"/v1/checks/{made.resource}")
    check = await exports.get_check(db, made.resource, user_id=call.user_id)
    return check_view(check, await jobs.get(db, check.job_id))
