"""``/v1/datasets/{id}/report``: the report of a dataset, a page that needs nothing else."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.db import datasets
from app.report import POLICY, make_report
from app.web.api.conventions import DatasetId, Here, NoQuery
from app.web.api.downloads import has_current

__all__ = ["router"]

router = APIRouter(tags=["datasets"])

SANDBOX = f"{POLICY}; frame-ancestors 'none'; sandbox allow-scripts"
"""The page shows texts of strangers: it gets no origin, so that whatever ran in it could read nothing of this server."""


@router.get(
    "/v1/datasets/{dataset_id}/report",
    operation_id="datasets_report",
    summary="The report of a dataset, to look at",
    response_class=Response,
    responses={
        200: {"description": "An HTML page that loads nothing.", "content": {"text/html": {"schema": {"type": "string"}}}},
        304: {"description": "The client has it (If-None-Match)."},
    },
)
async def get_report(call: Here, request: Request, dataset_id: DatasetId, _: Annotated[NoQuery, Query()]) -> Response:
    """Pictures by label and split, the funnel, what was left out and why, duplicates, distributions, licences, hosts and retries.

    Made of the rows as they are now. The same rows give the same bytes.
    """
    await datasets.get_dataset(call.resources.db, dataset_id, user_id=call.user_id)
    body = await make_report(call.resources.db, call.resources.store, dataset_id)
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": SANDBOX,
        "Content-Disposition": f'inline; filename="{dataset_id}-report.html"',
        "Referrer-Policy": "no-referrer",
    }
    if has_current(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="text/html; charset=utf-8")
