"""Exports of a dataset: the table that follows them while they are written, the form for a new one, and one with its files."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi import Response as ApiResponse
from starlette.responses import RedirectResponse, Response

import errors
from app.web.api import datasets, exports
from app.web.api.conventions import DatasetId, ExportId, NoQuery, PageQuery, call_of
from app.web.ui.export_form import fields_of, place_of_error, read
from app.web.ui.forms import read_form
from app.web.ui.routes.datasets import current_parts, page_of_dataset
from app.web.ui.templating import is_fragment, render

__all__ = ["router"]

router = APIRouter()


@router.get("/datasets/{dataset_id}/exports")
async def show_all(request: Request, dataset_id: DatasetId) -> Response:
    """The table for a script, with what else the export changes on the page; everybody else is led to it."""
    if not is_fragment(request):
        return RedirectResponse(f"/datasets/{dataset_id}#exports", 303)
    return render(request, "dataset_following.html", **await current_parts(call_of(request), dataset_id))


@router.post("/datasets/{dataset_id}/exports")
async def create(request: Request, dataset_id: DatasetId) -> Response:
    """Start an export, or show the form again with what is wrong."""
    fields = fields_of(await read_form(request))
    body, problems = read(fields)
    if body is not None:
        try:
            await datasets.create_export(call_of(request), dataset_id, body, ApiResponse(), NoQuery())
            return RedirectResponse(f"/datasets/{dataset_id}#exports", 303)
        except (errors.ValidationError, errors.ConfigurationError) as error:
            problems = {place_of_error(error.message): error.message}
    return await page_of_dataset(request, dataset_id, fields=fields, problems=problems)


@router.get("/exports/{export_id}")
async def show(request: Request, export_id: ExportId, query: Annotated[PageQuery, Query()]) -> Response:
    """One export: what was asked for, what it holds, and its files with their digests."""
    call = call_of(request)
    export = await exports.get_export(call, export_id, NoQuery())
    dataset = await datasets.get_dataset(call, export.dataset_id, NoQuery())
    files, gone = None, ""
    if export.status == exports.PUBLISHED:
        try:
            files = await exports.list_files(call, export_id, query)
        except errors.NotFoundError as error:
            gone = error.message
    return render(request, "export.html", export=export, dataset=dataset, files=files, gone=gone)
