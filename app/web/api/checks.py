"""``/v1/checks``: integrity, duplicates and validation of a whole dataset, run again."""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.db import datasets, jobs
from app.domain import LabelConflicts
from app.job_states import CheckKind
from app.jobs import submit
from app.rules import Level
from app.spec import Side
from app.strict import Strict
from app.web.api.conventions import ACCEPTED, CheckId, DatasetId, Here, IdempotencyKey, NoQuery, OfDataset, Page, accepted, may_fail
from app.web.api.exports import Check, check_view

__all__ = ["router"]

router = APIRouter(tags=["checks"])


class NoOptions(Strict):
    """No options."""


class DuplicateOptions(Strict):
    """Options of the duplicate check."""

    mode: Literal["exact", "near"] = "near"
    near_distance: int | None = Field(
        None, ge=0, le=16, description="Bits of 64 in which near duplicates may differ; default: the server's."
    )
    label_conflicts: LabelConflicts | None = Field(
        None,
        description="What is kept of a picture with several labels: nothing, the first label's, or one per label; default: the server's.",
    )
    apply: bool = Field(
        False, description="Take duplicates, placeholders and label conflicts out of the dataset; else they are only reported."
    )


class ValidationOptions(Strict):
    """Rules of the validation; default: those of the build."""

    level: Level | None = None
    min_width: Side | None = None
    min_height: Side | None = None


class OneKind(BaseModel):
    """Base of the bodies that `kind` tells apart; pydantic allows no validator before a discriminator."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class IntegrityCheck(OneKind):
    """Read every stored object and compare its digest."""

    kind: Literal["integrity"]
    options: NoOptions = NoOptions()


class DuplicateCheck(OneKind):
    """Compare every image with every other."""

    kind: Literal["duplicates"]
    options: DuplicateOptions = DuplicateOptions()


class ValidationCheck(OneKind):
    """Decode and check every image again."""

    kind: Literal["validation"]
    options: ValidationOptions = ValidationOptions()


NewCheck = Annotated[IntegrityCheck | DuplicateCheck | ValidationCheck, Body(discriminator="kind")]


@router.post(
    "/v1/datasets/{dataset_id}/checks",
    operation_id="checks_create",
    summary="Check a dataset",
    status_code=202,
    responses=ACCEPTED | may_fail(409),
)
async def create_check(
    call: Here, dataset_id: DatasetId, body: NewCheck, response: Response, _: Annotated[NoQuery, Query()], key: IdempotencyKey = None
) -> Check:
    """Run integrity, duplicates or validation on the dataset."""
    options = body.options.model_dump(exclude_none=True)
    made = await submit.submit_check(
        call.resources, CheckKind(body.kind), dataset_id=dataset_id, options=options, caller=call.caller(key, body)
    )
    accepted(response, f"/v1/checks/{made.resource}")
    return await _load(call, made.resource)


@router.get("/v1/checks", operation_id="checks_list", summary="List checks, newest first")
async def list_checks(call: Here, query: Annotated[OfDataset, Query()]) -> Page[Check]:
    """Verifications of exports are among them."""
    db = call.resources.db
    page = await datasets.page_checks(db, dataset_id=query.dataset_id, user_id=call.user_id, limit=query.limit, cursor=query.cursor)
    by_id = await jobs.get_many(db, [check.job_id for check in page.items])
    items = [check_view(check, by_id[check.job_id]) for check in page.items if check.job_id in by_id]
    return Page(items=items, next_cursor=page.next_cursor)


@router.get("/v1/checks/{check_id}", operation_id="checks_get", summary="One check with what it found")
async def get_check(call: Here, check_id: CheckId, _: Annotated[NoQuery, Query()]) -> Check:
    """The report is set once the status is final."""
    return await _load(call, check_id)


async def _load(call: Here, check_id: str) -> Check:
    check = await datasets.get_check(call.resources.db, check_id, user_id=call.user_id)
    return check_view(check, await jobs.get(call.resources.db, check.job_id))
