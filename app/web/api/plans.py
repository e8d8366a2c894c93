"""``/v1/plans``: what a build would find and cost. The sources are asked for counts only, and nothing is stored."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from app.discovery.licences.gate import policy_of
from app.discovery.planner import BYTES_BASIS
from app.jobs import plan, settle
from app.jobs.plan import ListPlan
from app.jobs.source_client import make_source_client
from app.resources import make_downloader
from app.spec import ListSpec
from app.web.api.conventions import Call, Here, NoQuery, View
from app.web.api.jobs import NewJob

__all__ = ["Plan", "create_plan", "plan_list", "router"]

router = APIRouter(tags=["jobs"])


class PlannedSearch(View):
    """One keyword in one source."""

    keyword: str
    label: str
    source: str
    results: int | None = Field(description="That the source has, of whatever licence; null where it does not say.")
    allowed: int | None = Field(description="Those whose licences are taken; null where the source cannot be asked.")
    reachable: int | None = Field(description="That a search gets to, in parts where it is too deep for one.")
    candidates: int = Field(description="That the first round asks for.")
    calls: int = Field(description="Of the source's API, for these.")
    problem: str | None = Field(description="Why the source gave no count.")


class PlannedSource(View):
    """All searches in one source."""

    source: str
    calls: int
    seconds: float = Field(description="That these calls take at the limits.")
    limits: list[str] = Field(description="That were reckoned with.")
    notes: list[str]


class PlannedList(View):
    """What the URLs of a request are."""

    rows: int
    usable: int = Field(description="Rows with a usable URL.")
    refused: int = Field(description="Of these, those that license refuses by what is stated of them.")
    all_hosts: int
    hosts: dict[str, int] = Field(description="The largest hosts, with their rows.")


class PlannedPages(View):
    """Pages that a build would begin with; what they hold is known only when they are read."""

    named: int
    max_pages: int
    depth: int
    hosts: dict[str, int] = Field(description="The largest hosts, with their pages.")


class Plan(View):
    """A build that is not made."""

    target: int | None = Field(description="Images wanted; null for all URLs.")
    candidates: int = Field(description="That the first round fetches; later ones fetch what is missing.")
    reachable: int = Field(description="Results in all, where known; a picture that two sources have counts twice.")
    calls: int = Field(description="Of the APIs of all sources.")
    seconds: float = Field(description="Of the slowest source.")
    size_bytes: int = Field(description="Expected of the candidates.")
    bytes_basis: str = Field(description="What size_bytes rests on.")
    searches: list[PlannedSearch]
    sources: list[PlannedSource]
    urls: PlannedList | None = Field(description="With urls instead of keywords.")
    pages: PlannedPages | None = Field(description="With pages instead of keywords.")
    in_the_way: list[str] = Field(description="What keeps the build from all that was asked for.")
    requests: int = Field(description="Counts that the plan asked sources for.")


@router.post("/v1/plans", operation_id="plans_create", summary="Plan a build without making it")
async def create_plan(call: Here, body: NewJob, _: Annotated[NoQuery, Query()]) -> Plan:
    """The body is that of `POST /v1/jobs`. A source that does not answer is named, and the plan goes on."""
    settings = call.resources.settings
    spec = settle.settle_spec(settings, body)
    if body.pages is not None:
        return _empty(target=body.max_images, pages=PlannedPages(**asdict(plan.plan_pages(body.pages))))
    if body.urls is not None:
        return _of_urls(await asyncio.to_thread(plan.plan_urls, body.urls, policy=policy_of(spec), most=body.max_images), body.max_images)
    async with make_downloader(settings) as downloader:
        made = await plan.plan_searches(settings, spec, lambda name: make_source_client(settings, name, downloader, call.resources.db))
    return Plan(**asdict(made), urls=None, pages=None)


async def plan_list(call: Call, body: NewJob, path: Path, listed: ListSpec) -> Plan:
    """As `create_plan`, of a list in a file instead of the URLs of the request."""
    policy = policy_of(settle.settle_spec(call.resources.settings, body))
    return _of_urls(await asyncio.to_thread(plan.plan_list, path, listed, policy=policy, most=body.max_images), body.max_images)


def _of_urls(made: ListPlan, target: int | None) -> Plan:
    values = asdict(made)
    listed = PlannedList(**{name: values[name] for name in PlannedList.model_fields})
    taken = made.usable - made.refused
    candidates = taken if target is None else min(taken, target)
    return _empty(target=target, urls=listed, candidates=candidates, reachable=taken, size_bytes=made.size_bytes)


def _empty(**values: Any) -> Plan:
    """A plan without searches."""
    figures = dict.fromkeys(("candidates", "reachable", "calls", "seconds", "size_bytes", "requests"), 0)
    lists: dict[str, Any] = {"searches": [], "sources": [], "in_the_way": [], "urls": None, "pages": None, "bytes_basis": BYTES_BASIS}
    return Plan(**figures | lists | values)
