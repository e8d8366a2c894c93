"""``/v1/.../explain``: why an image is or is not in its dataset, what a page gave, and why a job is slow, as text and as data."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from app.db import images
from app.domain import ImageState, StoredImage
from app.explain import (
    ImageHistory,
    JobHistory,
    PageHistory,
    explain_image,
    explain_job,
    explain_subject,
    image_lines,
    page_lines,
    page_verdict,
    verdict_words,
)
from app.explain.keywords import KeywordFigures, load_keywords
from app.job_states import UnitKind, UnitState
from app.jobs.attendance import mark_unattended
from app.web.api.conventions import Call, Here, ImageId, JobId, NoQuery, Text, View
from app.web.api.images import Attempt, Image, attempt_view, image_view
from app.web.api.job_views import Keyword, ShortClass, keywords_of, short_classes_of

__all__ = ["Stage", "job_explanation", "read_history", "router"]

router = APIRouter()


class Read(View):
    """A response model built from an object with the same attributes."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Line(Read):
    """One line of the explanation."""

    topic: str
    words: str
    at: datetime | None


class ImageCheck(Read):
    """One check of the image."""

    name: str
    value: float | str | None
    limit: str
    outcome: str = Field(description="passed, failed, not_reached once another failed, or not_asked at this level.")


class DuplicateOf(View):
    """The image that a duplicate repeats, and the distance."""

    of: int
    is_exact: bool
    distance: int | None = Field(description="Bits of 64 in which the hashes differ.")
    limit: int = Field(description="Largest distance of near duplicates.")
    words: str = Field(description="Why the other image is kept.")


class Also(View):
    """Another row of the same image."""

    id: int
    dataset_id: str
    job_id: str
    url: str
    status: ImageState


class ImageExplanation(View):
    """Everything recorded about an image."""

    image: Image
    verdict: str
    dataset_name: str
    keyword: str | None = Field(description="The keyword searched, or the name of the list.")
    robots_txt: str | None
    level: str = Field(description="Validation level.")
    requests: list[Attempt]
    checks: list[ImageCheck] = Field(description="In the order of evaluation.")
    duplicate: DuplicateOf | None
    exports: list[str] = Field(description="Finished exports that contain it.")
    also: list[Also]
    lines: list[Line] = Field(description="The explanation as text lines, in order.")


class Page(Read):
    """A page of a crawl."""

    id: int
    job_id: str
    url: str
    status: str = Field(description="waiting, read, failed, or alias: another address of a page that was read.")
    depth: int = Field(description="Links between it and a page that was named.")
    found_on: str | None = Field(description="The page that led to it; null for one that was named.")
    requests: int
    robots: str | None = Field(description="What robots.txt says about it, as of an image.")
    opt_out: str | None
    evidence: str | None = Field(description="What a refusal rests on.")
    reason: str | None
    detail: str | None
    kind: str | None = Field(description="html, sitemap, feed, iiif, links or image.")
    images: int | None = Field(description="Images that were taken.")
    links: int | None = Field(description="Links that were followed.")


class PageExplanation(View):
    """Everything recorded about a page of a crawl."""

    page: Page
    verdict: str
    dataset_name: str
    lines: list[Line] = Field(description="The explanation as text lines, in order.")


class Stage(Read):
    """One kind of work."""

    kind: str
    units: int
    open: int
    began_at: datetime
    ended_at: datetime | None


class Host(Read):
    """Time spent on one host; seconds are summed over requests, many of which run at once."""

    host: str
    requests: int
    failed: int
    took_s: float
    queued_s: float
    backoff_s: float
    retry_after_s: float


class DeferredImages(Read):
    """Images deferred for one reason."""

    reason: str
    images: int
    first_at: datetime = Field(description="When the first of them is due.")
    last_at: datetime


class Troubled(Read):
    """A unit that is dead, quarantined, or released after a failure."""

    id: str
    kind: UnitKind
    state: UnitState
    crashes: int
    error: str | None


class JobExplanation(View):
    """Where a job's time went."""

    job_id: str
    rows_read: int = Field(description="Rows of the list of the job's dataset; 0 without one.")
    distinct_urls: int = Field(description="Different URLs among them.")
    merged_rows: int = Field(description="Rows that name the URL of an earlier row.")
    short_classes: list[ShortClass] | None = Field(description="Classes with few images or none, empty ones first; null before the end.")
    keywords: list[Keyword]
    waited_for_worker_s: float
    stages: list[Stage] = Field(description="In the order in which they began; they overlap.")
    hosts: list[Host] = Field(description="The hosts that took the most time, in descending order.")
    hosts_in_all: int
    failures: dict[str, int] = Field(description="Requests that failed, by reason, most frequent first.")
    requests: int
    retried: int = Field(description="URLs that needed more than one request.")
    recovered: int
    exhausted: int = Field(description="URLs that failed after retries.")
    without_outcome: int = Field(description="Requests that may have been sent: their process died before an outcome.")
    search_requests: int = Field(description="Requests to sources.")
    search_retries: int = Field(description="Those of them that repeated one.")
    deferred: list[DeferredImages]
    waits_for: list[str] = Field(description="What the job waits for now.")
    troubled: list[Troubled]
    lines: list[Line] = Field(description="The explanation as text lines.")


class WhatQuery(NoQuery):
    """The image or page to explain."""

    what: Text = Field(
        min_length=1,
        max_length=8192,
        description="A URL of an image or a page, also in another spelling or without its query; an image id; or a SHA-256.",
    )


@router.get("/v1/explain", operation_id="explain", summary="Explain a URL or a digest", tags=["images"])
async def get_explanation(call: Here, query: Annotated[WhatQuery, Query()]) -> ImageExplanation | PageExplanation:
    """Explains the newest of several matching rows and lists the others. A URL of no image is looked up among the pages of crawls."""
    history = await explain_subject(call.resources.db, query.what.strip(), user_id=call.user_id)
    return _page(history) if isinstance(history, PageHistory) else _image(history)


@router.get("/v1/images/{image_id}/explain", operation_id="images_explain", summary="Explain an image", tags=["images"])
async def get_image_explanation(call: Here, image_id: ImageId, _: Annotated[NoQuery, Query()]) -> ImageExplanation:
    """Each request with its wait, each check with value and limit, each decision."""
    db = call.resources.db
    return _image(await explain_image(db, [await images.get(db, image_id, user_id=call.user_id)]))


@router.get("/v1/jobs/{job_id}/explain", operation_id="jobs_explain", summary="Where a job's time went", tags=["jobs"])
async def get_job_explanation(call: Here, job_id: JobId, _: Annotated[NoQuery, Query()]) -> JobExplanation:
    """Time by stage and by host, waits by cause, and what the job waits for now."""
    return await job_explanation(call, await read_history(call, job_id))


async def read_history(call: Call, job_id: str) -> JobHistory:
    """The history of a job; whether a process works on it is said too."""
    history = await explain_job(call.resources.db, job_id, user_id=call.user_id)
    (job,) = await mark_unattended(call.resources.db, call.resources.workspace, [history.job])
    return replace(history, job=job)


async def job_explanation(call: Call, history: JobHistory) -> JobExplanation:
    """A job's history as it is sent."""
    return _job(history, await load_keywords(call.resources.db, history.job))


def _image(history: ImageHistory) -> ImageExplanation:
    image, duplicate = history.image, history.duplicate
    return ImageExplanation(
        image=image_view(image),
        verdict=verdict_words(image),
        dataset_name=history.dataset.name,
        keyword=history.search.keyword if history.search else None,
        robots_txt=history.robots_txt,
        level=history.rules.level,
        requests=[attempt_view(made.job_id, made.state, made.attempt) for made in history.requests],
        checks=[ImageCheck.model_validate(line) for line in history.checks],
        duplicate=None
        if duplicate is None
        else DuplicateOf(of=duplicate.original.id, words=duplicate.words(), **_named(duplicate, "is_exact", "distance", "limit")),
        exports=[export.id for export in history.exports],
        also=[_also(other) for other in history.others],
        lines=[Line.model_validate(line) for line in image_lines(history)],
    )


_OF_PAGE = tuple(name for name in Page.model_fields if name not in ("status", "found_on"))


def _page(history: PageHistory) -> PageExplanation:
    page, parent = history.page, history.parent
    return PageExplanation(
        page=Page(status=page.state, found_on=parent.url if parent else None, **_named(page, *_OF_PAGE)),
        verdict=page_verdict(page, is_final=history.job.is_final),
        dataset_name=history.dataset.name,
        lines=[Line.model_validate(line) for line in page_lines(history)],
    )


def _named(value: object, *names: str) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def _also(image: StoredImage) -> Also:
    return Also(status=image.state, **_named(image, "id", "dataset_id", "job_id", "url"))


def _job(history: JobHistory, keywords: Sequence[KeywordFigures]) -> JobExplanation:
    return JobExplanation(
        job_id=history.job.id,
        short_classes=short_classes_of(history.job),
        keywords=keywords_of(keywords),
        waited_for_worker_s=history.waited_s,
        stages=[Stage.model_validate(item) for item in history.stages],
        hosts=[Host.model_validate(item) for item in history.costly_hosts],
        hosts_in_all=len(history.hosts),
        failures=dict(history.failures),
        requests=history.made,
        deferred=[DeferredImages.model_validate(item) for item in history.deferred],
        waits_for=history.waits(),
        troubled=[Troubled.model_validate(item) for item in history.troubled],
        lines=[Line.model_validate(line) for line in history.slow()],
        without_outcome=history.lost,
        **_named(history, "retried", "recovered", "exhausted", "search_requests", "search_retries"),
        **_named(history.rows, "rows_read", "distinct_urls", "merged_rows"),
    )
