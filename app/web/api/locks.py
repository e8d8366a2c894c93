"""``/v1/datasets/{id}/lock`` and ``/v1/rebuilds``: a dataset as a lock, and a dataset made of one."""

import asyncio
import hashlib
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

import errors
from app.datasets import lock as locks
from app.datasets import rebuild as rebuilds
from app.datasets.lock_reading import check_lock
from app.db import datasets, jobs
from app.domain import ExportFormat
from app.jobs import submit
from app.resources import product_version
from app.web.api import downloads
from app.web.api.conventions import ACCEPTED, Call, DatasetId, Here, IdempotencyKey, NoQuery, accepted, may_fail
from app.web.api.downloads import Download
from app.web.api.job_views import Job, load_job

__all__ = ["router"]

router = APIRouter(tags=["datasets"])

MEDIA_TYPE = "application/x-ndjson"

OF_REQUEST = "the lock of the request"
"""What messages call it."""


class LockQuery(NoQuery):
    """In which format a rebuild is exported."""

    export_format: ExportFormat | None = Field(None, description="Default: as the dataset was built.")


class NewRebuild(BaseModel):
    """A lock to make a dataset of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lock: str = Field(min_length=1, description="The text of the lock, unpacked: what `GET /v1/datasets/{id}/lock` answers.")
    export_format: ExportFormat | None = Field(None, description="Default: the lock's.")
    allow_missing: bool = Field(False, description="The job succeeds though images are altered or gone.")


@router.get(
    "/v1/datasets/{dataset_id}/lock",
    operation_id="datasets_lock",
    summary="The lock of a dataset",
    response_class=Response,
    responses=downloads.binary(MEDIA_TYPE, ranged=False) | may_fail(409),
)
async def get_lock(call: Here, request: Request, dataset_id: DatasetId, query: Annotated[LockQuery, Query()]) -> Response:
    """JSON lines from which `pictrawl rebuild` or `POST /v1/rebuilds` makes the dataset again; the same bytes for the same version.

    Refused while a job changes the dataset. A connection that closes early has not sent all; the last line has the digest of all others.
    """
    await datasets.get_dataset(call.resources.db, dataset_id, user_id=call.user_id)
    made = await locks.open_lock(call.resources, dataset_id, export_format=query.export_format)
    etag = hashlib.sha256(orjson.dumps(made.header.model_dump(mode="json"))).hexdigest()[:32]
    item = Download("", f'"{etag}"', MEDIA_TYPE, f"{dataset_id}.lock")
    return await downloads.respond_made(request, made.lines(), item, made.measure)


@router.post(
    "/v1/rebuilds",
    operation_id="rebuilds_create",
    summary="Make the dataset of a lock again",
    status_code=202,
    responses=ACCEPTED | may_fail(413),
)
async def create_rebuild(
    call: Here, body: NewRebuild, response: Response, _: Annotated[NoQuery, Query()], key: IdempotencyKey = None
) -> Job:
    """A build that requests what the lock names and decides nothing anew. Locks with images of a folder are for the command line."""
    caller = call.caller(key, body)
    made = await call.made_before(caller) or await _rebuild(call, body, caller)
    accepted(response, f"/v1/jobs/{made.job_id}")
    return await load_job(call.resources.db, await jobs.get(call.resources.db, made.job_id, user_id=call.user_id), call.meters)


async def _rebuild(call: Call, body: NewRebuild, caller: submit.Caller) -> submit.Submitted:
    resources = call.resources
    async with resources.store.scratch() as folder:
        path = folder / "request.lock"
        await asyncio.to_thread(path.write_bytes, body.lock.encode("utf-8", "replace"))
        checked = await asyncio.to_thread(check_lock, path, product_version(), where=OF_REQUEST)
        if checked.local:
            raise errors.ValidationError(f"{OF_REQUEST} has images of a folder; rebuild it with `pictrawl rebuild --folder`")
        export = rebuilds.export_of(checked, body.export_format)
        stored = await rebuilds.store_lock(resources, checked)
    spec = rebuilds.spec_of(resources.settings, checked, stored, export=export, allow_missing=body.allow_missing)
    return await submit.submit_build(resources, spec, name=checked.header.dataset.name, caller=caller)
