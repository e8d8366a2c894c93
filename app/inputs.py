"""What a build reads where it searches nothing: a list, a folder, or a lock, as its job names them."""

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["FolderSpec", "ListSpec", "LockSpec", "MergedDataset"]


class ListSpec(BaseModel):
    """A URL list in the store: its key, its format, and the columns to read.

    Attributes:
        origin: the file of this machine that it was stored from, which an update reads again.
        base: a folder; the list is one of files in it, by their paths relative to it. Empty: by ``file:`` URLs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    suffix: str
    name: str = "list"
    url_column: str | None = None
    caption_column: str | None = None
    label_column: str | None = None
    license_column: str | None = None
    group_column: str | None = None
    keep_columns: list[str] | None = None
    base: str | None = None
    origin: str | None = None


class FolderSpec(BaseModel):
    """A folder of this machine.

    Attributes:
        path: absolute, without links.
        name: by which it is shown.
        file: the only file in it that is read, a tar, a Parquet file or an image; None for all of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    name: str
    file: str | None = None


class LockSpec(BaseModel):
    """A lock in the store, which a build follows.

    Attributes:
        packing: ``.gz``, ``.zst`` or empty.
        digest: names the lock.
        header: its first line, JSON of `app.datasets.lock_format.LockHeader`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    packing: str
    digest: str
    header: dict[str, Any]


class MergedDataset(BaseModel):
    """A dataset whose images a merge takes, and its name and version at that time, as in ``cats 1.2.0``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset_id: str
    version: str
