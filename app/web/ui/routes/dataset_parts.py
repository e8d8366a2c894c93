"""Parts of the page of a dataset that are counted when somebody looks: labels, licences, leaks, and what differs from another version.

Each is a page of its own too, so that it works without scripts.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import Field, model_validator
from starlette.responses import Response

from app.web.api import dataset_figures, datasets, versions
from app.web.api.conventions import Call, DatasetId, NoQuery, Text, call_of
from app.web.api.dataset_figures import LabelsQuery
from app.web.api.datasets import LicenceQuery
from app.web.api.versions import DiffQuery
from app.web.ui.templating import is_fragment, render

__all__ = ["router"]

router = APIRouter()

LICENCES: Final = {
    "open": "open: may be shared and changed by anybody",
    "commercial": "commercial use",
    "derivatives": "changed copies",
    "by,by-sa,cc0,pdm": "by, by-sa, cc0 or public domain",
    "cc0,pdm": "cc0 or public domain",
}
"""Choices that are offered; any other one can be typed."""

SAMPLES: Final = 24
"""Pictures of each kind of difference."""


class PartLicenceQuery(LicenceQuery):
    """A choice of licences; fields that were left empty do not count."""

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        licences = [part for value in given.get("license", ()) for part in value.split(",") if part.strip()]
        return {name: value for name, value in given.items() if name != "license"} | ({"license": licences} if licences else {})


class PartDiffQuery(NoQuery):
    """What to compare with, by default the version before, and how many pictures are shown."""

    against: Text | None = Field(None, min_length=4, max_length=40)
    limit: int = Field(SAMPLES, ge=0, le=1000)


async def _part(request: Request, call: Call, dataset_id: str, twin: str, title: str, **values: Any) -> Response:
    """The part alone for a script, or a page with it. Its template is named like its twin."""
    template = f"dataset_{twin.partition('?')[0]}.html"
    if is_fragment(request):
        return render(request, template, dataset_id=dataset_id, **values)
    dataset = await datasets.get_dataset(call, dataset_id, NoQuery())
    return render(request, "dataset_part.html", part=template, twin=twin, title=title, dataset=dataset, dataset_id=dataset_id, **values)


@router.get("/datasets/{dataset_id}/labels")
async def labels(request: Request, dataset_id: DatasetId, query: Annotated[LabelsQuery, Query()]) -> Response:
    """Labels and splits of the kept images."""
    call = call_of(request)
    found = await dataset_figures.get_labels(call, dataset_id, query)
    return await _part(request, call, dataset_id, "labels", "Labels and splits", found=found)


@router.get("/datasets/{dataset_id}/licences")
async def licences(request: Request, dataset_id: DatasetId, query: Annotated[PartLicenceQuery, Query()]) -> Response:
    """Licences of the images, and what a choice of them would leave."""
    call = call_of(request)
    found = await datasets.get_licences(call, dataset_id, query)
    return await _part(request, call, dataset_id, "licences", "Licences", found=found, query=query, choices=LICENCES)


@router.get("/datasets/{dataset_id}/leaks")
async def leaks(request: Request, dataset_id: DatasetId) -> Response:
    """What images of two splits share."""
    call = call_of(request)
    found = await datasets.get_leaks(call, dataset_id, NoQuery())
    return await _part(request, call, dataset_id, "leaks", "Leaks between splits", found=found)


@router.get("/datasets/{dataset_id}/diff")
async def diff(request: Request, dataset_id: DatasetId, query: Annotated[PartDiffQuery, Query()]) -> Response:
    """What differs from another version, with pictures."""
    call = call_of(request)
    lineage = (await versions.list_versions(call, dataset_id, NoQuery())).items
    names = {version.dataset_id: version.version for version in reversed(lineage)}
    against = query.against or next((version.dataset_id for version in lineage if version.dataset_id != dataset_id), dataset_id)
    found = await versions.get_diff(call, dataset_id, DiffQuery(against=against, limit=query.limit))
    by_kind = {kind: [item for item in found.items if kind in item.kinds][: query.limit] for kind in found.changes}
    return await _part(request, call, dataset_id, f"diff?against={against}", "What differs", found=found, by_kind=by_kind, names=names)
