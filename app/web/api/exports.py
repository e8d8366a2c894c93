"""``/v1/exports``: one export, its files, its verification. Owns what an export and a check look like in JSON."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

import errors
from app import concurrency
from app.db import datasets, jobs, paging, rows
from app.db.exceptions import StateConflict
from app.domain import EXTENSIONS
from app.exports import archive, file_list, names
from app.exports.archive import ArchiveFormat
from app.exports.file_list import ListedFile
from app.exports.sidecars import SUMS
from app.job_states import CheckKind, JobState
from app.jobs import submit
from app.storage import MANIFEST, MissingObject, Store, paths
from app.web.api import downloads
from app.web.api.conventions import ACCEPTED, Call, ExportId, Here, IdempotencyKey, NoQuery, Page, PageQuery, View, accepted, at, may_fail
from app.web.api.downloads import Download

__all__ = ["Check", "Export", "ExportFile", "ExportSummary", "check_view", "export_summary", "export_view", "router"]

router = APIRouter(tags=["exports"])

FilePath = Annotated[str, Path(max_length=1000, description="A path out of the export's list of files.")]

PUBLISHED = "ready"

MEDIA_TYPES = {extension: media_type for media_type, extension in EXTENSIONS.items()} | {
    "csv": "text/csv",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "md": "text/markdown",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "tar": "application/x-tar",
    "txt": "text/plain",
    "xml": "application/xml",
    "yaml": "application/yaml",
}
"""Media type by file name extension, of what exports hold."""

ARCHIVE_TYPES: dict[ArchiveFormat, str] = {"tar": MEDIA_TYPES["tar"], "zip": "application/zip"}


class DeliveryProgress(View):
    """What of an export is at its destination. The file manifest.json is the last one."""

    files: int
    size_bytes: int
    all_files: int
    all_bytes: int
    url: str | None = Field(None, description="Where it is to be seen.")


class ExportSummary(View):
    """An export. Its files can be taken once its status is `ready`."""

    id: str
    dataset_id: str
    job_id: str
    export_format: str
    storage_tier: str
    version: str | None = Field(description="The version of the dataset that it holds; null until it is written, or from before versions.")
    status: str = Field(description="pending, written, ready or failed.")
    samples: int | None = Field(description="Images in it; while it is pending, those written so far.")
    size_bytes: int | None
    error: str | None
    options: dict[str, Any] = Field(description="What was asked for besides the format; empty for an export of an earlier version.")
    created_at: datetime
    verified_at: datetime | None = Field(description="When it was read back and found whole.")
    destination: str | None = Field(description="The URL that it is sent to once it is ready.")
    delivery: DeliveryProgress | None = Field(description="How far the sending is; null before it begins.")
    delivered_at: datetime | None = Field(description="When all of it was at its destination.")
    links: dict[str, str]


class Export(ExportSummary):
    """An export with its files and counts."""

    splits: dict[str, int] = Field(description="Samples by split.")
    labels: dict[str, int] = Field(description="Samples by label.")
    problems: list[str] = Field(description="Problems that the verification found.")


class ExportFile(View):
    """One file of an export."""

    path: str
    size_bytes: int
    sha256: str | None = Field(description="null for SHA256SUMS and manifest.json, which no list of digests names.")
    href: str


class Check(View):
    """A check; its status is its job's."""

    id: str
    kind: str
    dataset_id: str
    export_id: str | None
    job_id: str
    status: JobState
    options: dict[str, Any]
    report: dict[str, Any] | None = Field(description="The result; null until the check has ended.")
    error: str | None
    created_at: datetime
    finished_at: datetime | None
    links: dict[str, str]


def export_summary(export: rows.Export) -> ExportSummary:
    """An export's row as it is sent."""
    return ExportSummary(**_row(export))


def export_view(export: rows.Export) -> Export:
    """An export's row with the counts of its report."""
    report = export.report or {}
    return Export(**_row(export), splits=report.get("splits", {}), labels=report.get("labels", {}), problems=export.problems or [])


def _row(export: rows.Export) -> dict[str, Any]:
    names = ("id", "dataset_id", "job_id", "storage_tier", "version", "samples", "size_bytes", "error")
    own = f"/v1/exports/{export.id}"
    links = {"self": own, "files": f"{own}/files", "archive": f"{own}/archive"}
    links |= {"job": f"/v1/jobs/{export.job_id}", "dataset": f"/v1/datasets/{export.dataset_id}"}
    return {name: getattr(export, name) for name in names} | {
        "export_format": export.format,
        "options": dict(export.options or {}),
        "status": export.state,
        "created_at": at(export.created_at),
        "verified_at": at(export.verified_at),
        "destination": export.destination,
        "delivery": _progress(export.delivery or {}),
        "delivered_at": at(export.delivered_at),
        "links": links,
    }


def _progress(delivery: Mapping[str, Any]) -> DeliveryProgress | None:
    if "all_files" not in delivery:
        return None
    return DeliveryProgress(**{name: delivery[name] for name in DeliveryProgress.model_fields if name in delivery})


def check_view(check: rows.DatasetCheck, job: rows.Job) -> Check:
    """A check's row with its job's state."""
    links = {"self": f"/v1/checks/{check.id}", "job": f"/v1/jobs/{job.id}", "dataset": f"/v1/datasets/{check.dataset_id}"}
    if check.export_id:
        links["export"] = f"/v1/exports/{check.export_id}"
    return Check(
        id=check.id,
        kind=check.kind,
        dataset_id=check.dataset_id,
        export_id=check.export_id,
        job_id=check.job_id,
        status=job.state,
        options=check.options,
        report=check.report,
        error=job.error,
        created_at=at(check.created_at),
        finished_at=at(job.finished_at),
        links=links,
    )


@router.get("/v1/exports/{export_id}", operation_id="exports_get", summary="One export")
async def get_export(call: Here, export_id: ExportId, _: Annotated[NoQuery, Query()]) -> Export:
    """Its counts, and what reading it back found."""
    return export_view(await datasets.get_export(call.resources.db, export_id, user_id=call.user_id))


@router.get("/v1/exports/{export_id}/files", operation_id="exports_files", summary="List an export's files", responses=may_fail(409))
async def list_files(call: Here, export_id: ExportId, query: Annotated[PageQuery, Query()]) -> Page[ExportFile]:
    """Every file, images too, in the order of `SHA256SUMS`. Only once the export is ready."""
    store = call.resources.store
    export, sums_bytes = await datasets.get_file(call.resources.db, export_id, SUMS, user_id=call.user_id)
    _require_ready(export_id, export.state)
    start = paging.decode(query.cursor, int)[0] if query.cursor else 0
    async with _in_store(call, export):
        found = await _page_of_files(store, str(export.prefix), sums_bytes or 0, start, query.limit)
        shown = found[: query.limit]
        stored = await concurrency.gather_all(store.head(f"{export.prefix}/{file.path}") for file in shown)
    items = [
        ExportFile(path=file.path, size_bytes=info.size, sha256=file.sha256, href=f"/v1/exports/{export_id}/files/{quote(file.path)}")
        for file, info in zip(shown, stored, strict=True)
    ]
    return Page(items=items, next_cursor=paging.encode(shown[-1].following) if len(found) > query.limit else None)


async def _page_of_files(store: Store, prefix: str, sums_bytes: int, start: int, limit: int) -> list[ListedFile]:
    """One file more than the page holds, if there are as many."""
    found: list[ListedFile] = []
    async with aclosing(file_list.list_files(store, prefix, sums_bytes, start)) as files:
        async for file in files:
            found.append(file)
            if len(found) > limit:
                break
    return found


@router.get(
    "/v1/exports/{export_id}/files/{path:path}",
    operation_id="exports_download",
    summary="One file of an export",
    response_class=Response,
    responses=downloads.binary("application/octet-stream") | may_fail(409),
)
async def get_file(call: Here, request: Request, export_id: ExportId, path: FilePath, _: Annotated[NoQuery, Query()]) -> Response:
    """Whole or in part (Range). A file of a published export never changes."""
    try:
        paths.check_key(path)
    except errors.ValidationError as error:
        raise errors.NotFoundError(f"export {export_id} has no such file") from error
    export, size = await datasets.get_file(call.resources.db, export_id, path, user_id=call.user_id)
    _require_ready(export_id, export.state)
    name = path.rpartition("/")[2]
    if size is None and not names.IMAGE_NAME.fullmatch(name):
        raise errors.NotFoundError(f"export {export_id} has no such file")
    etag = hashlib.sha256(f"{export_id}/{path}".encode()).hexdigest()[:32]
    media_type = MEDIA_TYPES.get(path.rpartition(".")[2], "application/octet-stream")
    async with _in_store(call, export):
        return await downloads.respond(request, call.resources.store, Download(f"{export.prefix}/{path}", f'"{etag}"', media_type, name))


class ArchiveQuery(NoQuery):
    """Which kind of archive."""

    format: ArchiveFormat = Field("tar", description="ZIP needs ZIP64 beyond 4 GB or 65,535 files, which every current tool has.")


@router.get(
    "/v1/exports/{export_id}/archive",
    operation_id="exports_archive",
    summary="A whole export as one file",
    response_class=Response,
    responses=downloads.binary(*ARCHIVE_TYPES.values(), ranged=False) | may_fail(409),
)
async def get_archive(call: Here, request: Request, export_id: ExportId, query: Annotated[ArchiveQuery, Query()]) -> Response:
    """Made while it is sent, uncompressed, the same bytes each time. A connection that closes early has not sent all."""
    export, _ = await datasets.get_file(call.resources.db, export_id, SUMS, user_id=call.user_id)
    _require_ready(export_id, export.state)
    store = call.resources.store
    async with _in_store(call, export):
        contents = await archive.read_contents(store, str(export.prefix))
        etag = f'"{contents.manifest_sha256[:32]}-{query.format}"'
        item = Download("", etag, ARCHIVE_TYPES[query.format], f"{export_id}.{query.format}")
        measure = partial(archive.measure_archive, store, contents, query.format)
        return await downloads.respond_made(request, archive.stream_archive(store, contents, query.format), item, measure)


@asynccontextmanager
async def _in_store(call: Call, export: rows.Export) -> AsyncIterator[None]:
    """Say of a file that is not in the store whether all of the export is gone."""
    try:
        yield
    except MissingObject as error:
        if await call.resources.store.exists(f"{export.prefix}/{MANIFEST}"):
            raise errors.NotFoundError(f"export {export.id} has no such file") from error
        way_out = f"make a new one with POST /v1/datasets/{export.dataset_id}/exports"
        raise errors.NotFoundError(f"the files of export {export.id} were removed from the store; {way_out}") from error


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
    export = await datasets.get_export(db, export_id, user_id=call.user_id)
    if export.prefix is None:
        raise StateConflict(f"export {export_id} is {export.state}; there is nothing to read back")
    made = await submit.submit_check(call.resources, CheckKind.INTEGRITY, export=export, caller=call.caller(key))
    accepted(response, f"/v1/checks/{made.resource}")
    check = await datasets.get_check(db, made.resource, user_id=call.user_id)
    return check_view(check, await jobs.get(db, check.job_id))
