"""``/v1/dead``: dead units, which will not run again by themselves. List, retry or discard them."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.db import dead_units, paging
from app.job_states import UnitKind, UnitState
from app.jobs import control, submit
from app.web.api.conventions import DeadQuery, Here, NoQuery, Page, View, at, may_fail

__all__ = ["router"]

router = APIRouter(tags=["fleet"])

UNIT_ID = r"^unit_[0-9a-f]{32}$"

UnitId = Annotated[str, StringConstraints(pattern=UNIT_ID)]
JobId = Annotated[str, StringConstraints(pattern=r"^job_[0-9a-f]{32}$")]


class DeadUnit(View):
    """A unit of work that is or was dead."""

    id: str
    job_id: str
    kind: UnitKind
    status: UnitState = Field(description="dead; pending once it was retried, cancelled once it was discarded.")
    error: str | None = Field(description="The error: usually its class, a colon and its message.")
    crashes: int = Field(description="Crashes of its workers since its last progress.")
    chunk_id: str | None
    search_id: str | None
    created_at: datetime
    died_at: datetime


class Discarded(DeadUnit):
    """A discarded unit."""

    images: int = Field(description="Its open images, which have failed with the reason `cancelled`.")


class Retried(View):
    """Units set back to pending."""

    items: list[DeadUnit]


class AllDiscarded(View):
    """Discarded units."""

    items: list[Discarded]


class WhichUnits(BaseModel):
    """These units, or all dead units of a job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit_ids: list[UnitId] | None = Field(None, min_length=1, max_length=paging.MAX_LIMIT, description="Each must be dead.")
    job_id: JobId | None = Field(None, description="All dead units of this job; at least one must be.")

    @model_validator(mode="after")
    def _one_of_both(self) -> "WhichUnits":
        if (self.unit_ids is None) is (self.job_id is None):
            raise ValueError("give unit_ids or job_id, one of both")
        return self

    def which(self) -> dead_units.Which:
        """Convert to the selection of the database queries."""
        return dead_units.Which(tuple(dict.fromkeys(self.unit_ids or ())), self.job_id)


class NewDiscard(WhichUnits):
    """These units, or all dead units of a job, and whether the job continues without them."""

    resume: bool = Field(False, description="Continue a failed job once none of its units is dead.")


@router.get("/v1/dead", operation_id="dead_list", summary="List dead units, newest first")
async def list_dead(call: Here, query: Annotated[DeadQuery, Query()]) -> Page[DeadUnit]:
    """A job with dead units ends as failed, with all its other work done."""
    wanted = dead_units.DeadFilter(query.job_id, query.kind, query.error)
    page = await dead_units.page(call.resources.db, wanted, user_id=call.user_id, limit=query.limit, cursor=query.cursor)
    return Page(items=[DeadUnit(**_row(unit)) for unit in page.items], next_cursor=page.next_cursor)


@router.post("/v1/dead/retry", operation_id="dead_retry", summary="Retry dead units", responses=may_fail(404, 409))
async def retry_dead(call: Here, body: WhichUnits, _: Annotated[NoQuery, Query()]) -> Retried:
    """All of them, or none. A job that failed because of them continues."""
    revived = await control.retry_dead(call.resources.db, body.which(), user_id=call.user_id)
    await submit.wake(call.resources, *{unit.job_id for unit in revived})
    return Retried(items=[DeadUnit(**_row(unit)) for unit in revived])


@router.post("/v1/dead/discard", operation_id="dead_discard", summary="Discard dead units", responses=may_fail(404, 409))
async def discard_dead(call: Here, body: NewDiscard, _: Annotated[NoQuery, Query()]) -> AllDiscarded:
    """All of them, or none. Their open images fail with the reason `cancelled`; a retry of the job fetches them again."""
    given_up = await control.discard_dead(call.resources.db, body.which(), user_id=call.user_id, resume=body.resume)
    await submit.wake(call.resources, *{item.unit.job_id for item in given_up})
    return AllDiscarded(items=[Discarded(**_row(item.unit), images=item.images) for item in given_up])


def _row(unit: dead_units.DeadUnit) -> dict[str, Any]:
    names = ("id", "job_id", "kind", "error", "crashes", "chunk_id", "search_id")
    times = {"created_at": at(unit.created_at), "died_at": at(unit.died_at)}
    return {name: getattr(unit, name) for name in names} | times | {"status": unit.state}
