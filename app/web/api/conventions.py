"""What every route shares: ids, pages and filters in the URL, the call with its user and Idempotency-Key, the 202 answer.

Unknown query parameters are refused, so that a typing error never gives an empty answer.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Header, Path, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.datastructures import Headers

from app.db import api_keys, paging
from app.domain import ImageState, Reason
from app.job_states import JobKind, JobState, UnitKind
from app.jobs import submit
from app.jobs.pace import PaceMeters
from app.resources import Resources
from app.web.api import problems

__all__ = [
    "ACCEPTED",
    "Call",
    "CheckId",
    "DatasetId",
    "DeadQuery",
    "ExportId",
    "Here",
    "IdempotencyKey",
    "ImageId",
    "ImageQuery",
    "JobId",
    "JobQuery",
    "NoQuery",
    "OfDataset",
    "Page",
    "PageQuery",
    "Text",
    "View",
    "accepted",
    "at",
    "call_of",
    "json_only",
    "may_fail",
]

T = TypeVar("T")


def _id(prefix: str, what: str) -> Any:
    return Path(pattern=f"^{prefix}_[0-9a-f]{{32}}$", description=f"Id of the {what}.")


JobId = Annotated[str, _id("job", "job")]
DatasetId = Annotated[str, _id("ds", "dataset")]
ExportId = Annotated[str, _id("exp", "export")]
TombstoneId = Annotated[str, _id("tomb", "tombstone")]
CheckId = Annotated[str, _id("chk", "check")]
ImageId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Id of the image.")]


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


Text = Annotated[str, AfterValidator(_without_nul)]


class View(BaseModel):
    """Base of every response body."""

    model_config = ConfigDict(frozen=True)


class Page(View, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last.")


class NoQuery(BaseModel):
    """The query of a route that takes none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PageQuery(NoQuery):
    """Which page."""

    limit: int = Field(50, ge=1, le=paging.MAX_LIMIT, description="Items on one page.")
    cursor: Text | None = Field(None, max_length=500, description="`next_cursor` of the page before.")


class JobQuery(PageQuery):
    """Which jobs."""

    state: JobState | None = None
    kind: JobKind | None = None


class DeadQuery(PageQuery):
    """Which dead units."""

    job_id: Text | None = Field(None, max_length=40)
    kind: UnitKind | None = None
    error: Text | None = Field(None, max_length=200, description="Prefix of the error, such as `MemoryError`.")


class OfDataset(PageQuery):
    """Of which dataset."""

    dataset_id: Text | None = Field(None, max_length=40)


class ImageQuery(OfDataset):
    """Which images."""

    job_id: Text | None = Field(None, max_length=40)
    state: ImageState | None = None
    reason: Reason | None = None
    source: Text | None = Field(None, max_length=40)
    label: Text | None = Field(None, max_length=100)
    split: Text | None = Field(None, max_length=32)


def at(seconds: float | None) -> datetime | None:
    """Convert Unix seconds of the database to a UTC datetime (RFC 3339 in JSON)."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key with the same request gives the same answer for a day; with another request it is refused.",
    ),
]


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    resources: Resources
    user_id: str
    request_id: str
    path: str
    is_head: bool = False
    traceparent: str | None = None
    meters: PaceMeters = field(default_factory=PaceMeters)

    def caller(self, key: str | None = None, body: BaseModel | None = None) -> submit.Caller:
        """The submitter. An Idempotency-Key belongs to path and body together."""
        if key is None:
            return submit.Caller(self.user_id, self.request_id, traceparent=self.traceparent)
        sent = body.model_dump_json(exclude_unset=True) if body is not None else ""
        idempotency = (key, submit.body_digest(f"{self.path}\n{sent}".encode()))
        return submit.Caller(self.user_id, self.request_id, idempotency, self.traceparent)

    async def made_before(self, caller: submit.Caller) -> submit.Submitted | None:
        """Return what the caller's Idempotency-Key already created, for routes that do more than write rows."""
        if caller.idempotency is None:
            return None
        key, digest = caller.idempotency
        async with self.resources.db.read() as connection:
            known = await api_keys.recall_idempotent(connection, user_id=caller.user_id, key=key, body_digest=digest)
        return submit.Submitted(known, known, is_new=False) if known else None


def call_of(request: Request) -> Call:
    """The call that a request makes."""
    state = request.scope["state"]
    return Call(
        request.app.state.resources,
        state["user_id"],
        state["request_id"],
        request.scope["path"],
        is_head=bool(state.get("is_head")),
        traceparent=state.get("traceparent"),
        meters=request.app.state.meters,
    )


async def _here(request: Request) -> Call:
    """A coroutine, because FastAPI calls plain functions in a thread."""
    return call_of(request)


Here = Annotated[Call, Depends(_here)]


async def json_only(request: Request) -> None:
    """Refuse a body that is not declared as JSON, including forms, which any web page may post."""
    headers = Headers(scope=request.scope)
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = media_type.startswith("application/") and (media_type == "application/json" or media_type.endswith("+json"))
    if has_body and request.method not in ("GET", "DELETE") and not is_json:
        raise problems.Refusal("unsupported-media-type", "Send the body as application/json.", headers={"Accept": "application/json"})


POLL_S = 1
"""Retry-After of accepted work, in seconds."""

ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "Accepted; the work is stored and will be done.",
        "headers": {
            "Location": {"description": "URL of the resource to poll.", "schema": {"type": "string"}},
            "Retry-After": {"description": "Seconds before the first poll.", "schema": {"type": "integer"}},
        },
    }
}


def accepted(response: Response, location: str) -> None:
    """Set Location and Retry-After of accepted work (RFC 9110 15.3.3)."""
    response.headers["Location"] = location
    response.headers["Retry-After"] = str(POLL_S)


def may_fail(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for problems specific to a route; those of every route are added by :mod:`app.web.api.openapi`."""
    return {status: {} for status in statuses}
