"""Reads the database's rows by plain SQL and the store's files from disk, without the product's code."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self, TypeVar

import asyncpg  # type: ignore[import-untyped]

__all__ = ["Attempt", "Disk", "Export", "Image", "Job", "Rows", "Unit", "connect", "read_disk", "read_rows"]


@dataclass(frozen=True, slots=True)
class Job:
    """A row of ``jobs``."""

    id: str
    dataset_id: str
    state: str
    desired_state: str
    open_units: int
    error: str | None
    finished_at: float | None


@dataclass(frozen=True, slots=True)
class Unit:
    """A row of ``units``."""

    id: str
    job_id: str
    kind: str
    state: str
    epoch: int
    owner: str | None
    crashes: int
    error: str | None
    finished_at: float | None


@dataclass(frozen=True, slots=True)
class Image:
    """A row of ``images``."""

    id: int
    job_id: str
    url: str
    state: str
    reason: str | None
    sha256: str | None
    duplicate_of: int | None
    updated_at: float | None
    out_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row of ``attempts``."""

    job_id: str
    image_id: int
    number: int
    epoch: int
    state: str
    status: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Export:
    """A row of ``exports``."""

    id: str
    job_id: str
    format: str
    state: str
    prefix: str | None
    samples: int | None
    report: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Rows:
    """One snapshot of the tables."""

    jobs: tuple[Job, ...] = ()
    units: tuple[Unit, ...] = ()
    images: tuple[Image, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    exports: tuple[Export, ...] = ()

    def of(self, job_id: str) -> Self:
        """The rows of one job."""
        return type(self)(
            tuple(job for job in self.jobs if job.id == job_id),
            tuple(unit for unit in self.units if unit.job_id == job_id),
            tuple(image for image in self.images if image.job_id == job_id),
            tuple(attempt for attempt in self.attempts if attempt.job_id == job_id),
            tuple(export for export in self.exports if export.job_id == job_id),
        )


Row = TypeVar("Row", Job, Unit, Image, Attempt, Export)


async def connect(dsn: str) -> "asyncpg.Connection[Any]":
    """Open a connection that decodes JSON columns."""
    connection = await asyncpg.connect(dsn.replace("+asyncpg", ""), timeout=10)
    await connection.set_type_codec("json", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    return connection


async def read_rows(connection: "asyncpg.Connection[Any]") -> Rows:
    """Read every row that the invariants check, in one snapshot."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return Rows(
            await _all(connection, Job, "jobs"),
            await _all(connection, Unit, "units"),
            await _all(connection, Image, "images"),
            await _all(connection, Attempt, "attempts"),
            await _all(connection, Export, "exports"),
        )


async def _all(connection: "asyncpg.Connection[Any]", kind: type[Row], table: str) -> tuple[Row, ...]:
    names = [field.name for field in fields(kind)]
    rows = await connection.fetch(f"SELECT {', '.join(names)} FROM {table} ORDER BY 1, 2")
    return tuple(kind(**dict(row)) for row in rows)


@dataclass(frozen=True, slots=True)
class Disk:
    """The store's files.

    Attributes:
        blobs: the digest of each blob's bytes, by the digest in its name.
        exports: by export id, the digest of every file by its path.
        strays: half-written files, scratch folders and unknown names.
    """

    blobs: Mapping[str, str] = field(default_factory=dict)
    exports: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    strays: tuple[str, ...] = ()


_FOLDERS = ("blobs", "thumbs", "lists", "exports", "check")


def read_disk(root: Path) -> Disk:
    """Read and hash all files of a local store."""
    blobs: dict[str, str] = {}
    exports: dict[str, dict[str, str]] = {}
    strays: list[str] = []
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        parts = path.relative_to(root).parts
        if parts[0] not in _FOLDERS or "#" in path.name:
            strays.append("/".join(parts))
        elif parts[0] == "blobs":
            blobs[path.name] = _digest(path)
        elif parts[0] == "exports":
            exports.setdefault(parts[1], {})["/".join(parts[2:])] = _digest(path)
    return Disk(blobs, exports, tuple(strays))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
