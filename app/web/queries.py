"""What may stand in a URL: ids, pages and filters. What is not listed is refused, so that a typing error is never an empty answer."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.db import paging
from app.domain import ImageState, JobKind, JobState, Reason, UnitKind

__all__ = [
    "CheckId",
    "DatasetId",
    "DeadQuery",
    "ExportId",
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
    "at",
]

T = TypeVar("T")


def _id(prefix: str, what: str) -> Any:
    return Path(pattern=f"^{prefix}_[0-9a-f]{{32}}$", description=f"Id of the {what}.")


JobId = Annotated[str, _id("job", "job")]
DatasetId = Annotated[str, _id("ds", "dataset")]
ExportId = Annotated[str, _id("exp", "export")]
CheckId = Annotated[str, _id("chk", "check")]
ImageId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Id of the image.")]


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


Text = Annotated[str, AfterValidator(_without_nul)]


class View(BaseModel):
    """Base of everything that is sent."""

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
    error: Text | None = Field(None, max_length=200, description="What the error begins with: its class, as in `MemoryError`.")


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
    """A time of the database, Unix seconds, as it is sent: RFC 3339 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
