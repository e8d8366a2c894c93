"""``/v1/jobs``: submit, list, look, steer, retry."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from app.db import jobs
from app.domain import JobState, Reason
from app.jobs import submit
from app.spec import JobRequest
from app.web import job_views
from app.web.answers import ACCEPTED, accepted, may_fail
from app.web.calls import Call, Here, IdempotencyKey
from app.web.job_views import Job, JobSummary
from app.web.queries import JobId, JobQuery, NoQuery, Page

__all__ = ["router"]

router = APIRouter(tags=["jobs"])

NAME_CHARS = 100


class NewJob(JobRequest):
    """A dataset to build: keywords or URLs, how many, how good, and in which form."""

    model_config = ConfigDict(
        title="NewJob",
        allow_inf_nan=False,
        json_schema_extra={"examples": [{"keywords": ["red panda"], "max_images": 200, "export_format": "webdataset"}]},
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nul(cls, value: Any) -> Any:
        if _holds_nul(value):
            raise ValueError("text must not contain NUL")
        return value


def _holds_nul(value: Any) -> bool:
    """PostgreSQL stores no NUL. A loop: JSON may be nested deeper than we may recurse."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, str) and "\0" in current:
            return True
        if isinstance(current, dict):
            waiting += [*current.keys(), *current.values()]
        elif isinstance(current, list):
            waiting += current
    return False


class JobChange(BaseModel):
    """What a job shall do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    desired_state: Literal["running", "paused", "cancelled"]


class NewRetry(BaseModel):
    """Which failures to fetch again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reasons: list[Reason] | None = Field(None, min_length=1, description="Default: every reason that may have passed.")

    @field_validator("reasons")
    @classmethod
    def _each_once(cls, value: list[Reason] | None) -> list[Reason] | None:
        return value and sorted(set(value))


@router.post("/v1/jobs", operation_id="jobs_create", summary="Build a dataset", status_code=202, responses=ACCEPTED)
async def create_job(call: Here, body: NewJob, response: Response, _: Annotated[NoQuery, Query()], key: IdempotencyKey = None) -> Job:
    """The job is on record when this answers, whether or not a worker is there to begin it."""
    caller = call.caller(key, body)
    made = await call.made_before(caller) or await _build(call, body, caller)
    return await _answer(call, response, made.job_id)


async def _build(call: Call, body: NewJob, caller: submit.Caller) -> submit.Submitted:
    submit.settle(call.resources, body)  # what is refused is refused before anything is stored
    listed = None if body.urls is None else await submit.store_urls(call.resources, body.urls)
    spec = submit.settle(call.resources, body, url_list=listed)
    name = body.name or ", ".join(body.keywords)[:NAME_CHARS] or "urls"
    return await submit.submit_build(call.resources, spec, name=name, priority=body.priority, caller=caller)


async def _answer(call: Call, response: Response, job_id: str) -> Job:
    accepted(response, f"/v1/jobs/{job_id}")
    return await job_views.load_job(call.resources.db, await jobs.get(call.resources.db, job_id, user_id=call.user_id))


@router.get("/v1/jobs", operation_id="jobs_list", summary="List jobs, newest first")
async def list_jobs(call: Here, query: Annotated[JobQuery, Query()]) -> Page[JobSummary]:
    """Without figures: ask for one job to get them."""
    page = await jobs.page(
        call.resources.db, user_id=call.user_id, state=query.state, kind=query.kind, limit=query.limit, cursor=query.cursor
    )
    return Page(items=[job_views.job_summary(job) for job in page.items], next_cursor=page.next_cursor)


@router.get("/v1/jobs/{job_id}", operation_id="jobs_get", summary="One job with its figures")
async def get_job(call: Here, job_id: JobId, _: Annotated[NoQuery, Query()]) -> Job:
    """The figures are those of the job's dataset; attempts and retries are the job's own."""
    return await job_views.load_job(call.resources.db, await jobs.get(call.resources.db, job_id, user_id=call.user_id))


@router.patch("/v1/jobs/{job_id}", operation_id="jobs_update", summary="Pause, resume or cancel a job", responses=may_fail(409))
async def change_job(call: Here, job_id: JobId, body: JobChange, _: Annotated[NoQuery, Query()]) -> Job:
    """Running work learns of it within two seconds. A job that has ended cannot be changed."""
    await submit.steer(call.resources, job_id, JobState(body.desired_state), user_id=call.user_id)
    return await job_views.load_job(call.resources.db, await jobs.get(call.resources.db, job_id, user_id=call.user_id))


@router.post(
    "/v1/jobs/{job_id}/retries",
    operation_id="jobs_retry",
    summary="Fetch again what failed",
    status_code=202,
    responses=ACCEPTED | may_fail(409),
)
async def retry_job(
    call: Here, job_id: JobId, response: Response, _: Annotated[NoQuery, Query()], body: NewRetry | None = None, key: IdempotencyKey = None
) -> Job:
    """A new job on the same dataset. The job it follows must have ended."""
    reasons = frozenset(body.reasons) if body is not None and body.reasons else submit.RETRYABLE
    made = await submit.submit_retry(call.resources, job_id, reasons, caller=call.caller(key, body))
    return await _answer(call, response, made.job_id)
