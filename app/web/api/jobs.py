"""``/v1/jobs``: submit a build, list and read jobs, pause, resume, cancel, retry. Owns what a job looks like in JSON."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.datasets.update import submit_into
from app.db import image_search, jobs, rows
from app.domain import Reason
from app.explain.hosts import HostUse, load_hosts
from app.job_states import DesiredState
from app.jobs import settle, submit
from app.jobs.attendance import mark_unattended
from app.spec import JobRequest, ListSpec
from app.web.api.conventions import ACCEPTED, Call, Here, IdempotencyKey, JobId, JobQuery, NoQuery, Page, PageQuery, accepted, may_fail
from app.web.api.images import Image, image_view
from app.web.api.job_views import Job, JobHosts, JobSummary, host_view, job_summary, load_job

__all__ = ["NewJob", "build", "router"]

router = APIRouter(tags=["jobs"])

NAME_CHARS = 100
MOST_HOSTS = 50


class NewJob(JobRequest):
    """A dataset to build: keywords or URLs, how many, how good, and in which form."""

    model_config = ConfigDict(
        title="NewJob",
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [
                {"keywords": ["red panda"], "max_images": 200, "export_format": "webdataset"},
                {"keywords": [{"keyword": "labrador", "label": "dog"}, {"keyword": "tabby", "label": "cat"}], "per_label": 100},
                {"urls": ["https://example.org/1.jpg", {"url": "https://example.org/2.jpg", "label": "lynx", "group_id": "trap 7"}]},
            ]
        },
    )


class JobChange(BaseModel):
    """The wanted state of a job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    desired_state: DesiredState


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
    """The job is stored when this answers, whether or not a worker is alive."""
    caller = call.caller(key, body)
    made = await call.made_before(caller) or await build(call, body, caller)
    return await _answer(call, response, made.job_id)


async def build(call: Call, body: NewJob, caller: submit.Caller, *, listed: ListSpec | None = None) -> submit.Submitted:
    """Store what a request asks for as a job.

    Args:
        listed: a list in the store, which is built instead of the URLs of the request.
    """
    settle.resolve_spec(call.resources, body)  # refuse before anything is stored
    if listed is None and body.urls is not None:
        listed = await settle.store_urls(call.resources, body.urls)
    spec = settle.resolve_spec(call.resources, body, url_list=listed)
    if body.into is not None:
        return await submit_into(call.resources, body, spec, body.into, caller=caller)
    name = body.name or ", ".join(item.keyword for item in body.asked)[:NAME_CHARS] or (body.pages.host if body.pages else "urls")
    return await submit.submit_build(call.resources, spec, name=name, priority=body.priority, caller=caller)


async def _answer(call: Call, response: Response, job_id: str) -> Job:
    accepted(response, f"/v1/jobs/{job_id}")
    return await _one(call, job_id)


async def _one(call: Call, job_id: str) -> Job:
    (job,) = await _seen(call, [await jobs.get(call.resources.db, job_id, user_id=call.user_id)])
    return await load_job(call.resources.db, job, call.meters)


async def _seen(call: Call, found: Sequence[rows.Job]) -> list[rows.Job]:
    """The jobs, with those marked that no process works on."""
    return await mark_unattended(call.resources.db, call.resources.workspace, found)


@router.get("/v1/jobs", operation_id="jobs_list", summary="List jobs, newest first")
async def list_jobs(call: Here, query: Annotated[JobQuery, Query()]) -> Page[JobSummary]:
    """Without figures: ask for one job to get them."""
    page = await jobs.page(
        call.resources.db, user_id=call.user_id, state=query.state, kind=query.kind, limit=query.limit, cursor=query.cursor
    )
    return Page(items=[job_summary(job) for job in await _seen(call, page.items)], next_cursor=page.next_cursor)


@router.get("/v1/jobs/{job_id}", operation_id="jobs_get", summary="One job with its figures")
async def get_job(call: Here, job_id: JobId, _: Annotated[NoQuery, Query()]) -> Job:
    """The figures are those of the job's dataset; attempts and retries are the job's own."""
    return await _one(call, job_id)


@router.get("/v1/jobs/{job_id}/images", operation_id="jobs_images", summary="List a job's pictures, newest first")
async def list_job_images(call: Here, job_id: JobId, query: Annotated[PageQuery, Query()]) -> Page[Image]:
    """The images whose bytes were fetched, whatever became of them: the last candidates of the job first."""
    job = await jobs.get(call.resources.db, job_id, user_id=call.user_id)
    page = await image_search.newest(call.resources.db, job.id, limit=query.limit, cursor=query.cursor)
    return Page(items=[image_view(image) for image in page.items], next_cursor=page.next_cursor)


@router.get("/v1/jobs/{job_id}/hosts", operation_id="jobs_hosts", summary="List the hosts of a job")
async def list_job_hosts(call: Here, job_id: JobId, _: Annotated[NoQuery, Query()]) -> JobHosts:
    """At most 50: first those that are asked or waited for now, then those that took the most time."""
    job = await jobs.get(call.resources.db, job_id, user_id=call.user_id)
    return hosts_view(await load_hosts(call.resources.db, job.id))


def hosts_view(found: Sequence[HostUse]) -> JobHosts:
    """The first hosts as they are sent."""
    return JobHosts(items=[host_view(use) for use in found[:MOST_HOSTS]], hosts_in_all=len(found))


@router.patch("/v1/jobs/{job_id}", operation_id="jobs_update", summary="Pause, resume, cancel or finish a job", responses=may_fail(409))
async def change_job(call: Here, job_id: JobId, body: JobChange, _: Annotated[NoQuery, Query()]) -> Job:
    """Running work learns of it within two seconds. A job that has ended cannot be changed.

    `finished` is for builds: nothing more is fetched, and the dataset is made of the images that are there.
    """
    await submit.set_desired_state(call.resources, job_id, body.desired_state, user_id=call.user_id)
    return await _one(call, job_id)


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
