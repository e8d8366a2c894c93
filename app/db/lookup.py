"""What a user may write instead of an id: the beginning of one, or the name of a dataset."""

import re
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, exists, select

import errors
from app.db import tables, versions
from app.db.engine import Connection, Database
from app.job_states import JobKind, UnitState

__all__ = ["chunk_id", "dataset_id", "dead_unit_id", "job_id", "key_id"]

_WITH_VERSION: Final = re.compile(r"(.+)@([0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9})", re.DOTALL)
"""``cats@1.2.0``. A name may hold an ``@`` itself."""

_SHOWN: Final = 3
"""Ids that a message about an ambiguous beginning names."""


async def job_id(db: Database, text: str, *, only: bool = False) -> str:
    """Return the id of a job: ``text`` is an id, the beginning of one, or a dataset's name, whose newest build is meant.

    Args:
        only: refuse a name that several builds have, as a command does that cannot be undone.

    Raises:
        errors.NotFoundError: nothing has this id, beginning or name.
        errors.ValidationError: several ids begin so, or several builds have the name.
    """
    async with db.read() as connection:
        found = await _by_beginning(connection, tables.jobs, text, "job")
        if found is None and (dataset := await _by_name(connection, text)) is not None:
            if only:
                await _refuse_several(connection, tables.jobs, _is_build_of(text), f"builds are named {text}")
            of_dataset = tables.jobs.c.dataset_id == dataset
            is_build = tables.jobs.c.kind == JobKind.BUILD
            found = await _newest(connection, tables.jobs, of_dataset & is_build) or await _newest(connection, tables.jobs, of_dataset)
    if found is None:
        raise errors.NotFoundError(f"no job or dataset {text}; pictrawl jobs ls")
    return found


async def dataset_id(db: Database, text: str, *, only: bool = False) -> str:
    """Return the id of a dataset.

    ``text`` is an id, the beginning of one, or a name, which means the newest version of the newest dataset of that name and what it was
    made of; any of them with a version, as in ``cats@1.2.0``.

    Args:
        only: refuse a name that several datasets have, versions of each other or not, as a command does that cannot be undone.

    Raises:
        errors.NotFoundError: nothing has this id, beginning, name or version.
        errors.ValidationError: several ids begin so, or several datasets have the name.
    """
    async with db.read() as connection:
        found = await _dataset(connection, text, only=only)
        if found is None and (match := _WITH_VERSION.fullmatch(text)) is not None:
            found = await _of_version(connection, *match.groups())
    if found is None:
        raise errors.NotFoundError(f"no dataset {text}; pictrawl datasets ls")
    return found


async def _dataset(connection: Connection, text: str, *, only: bool = False) -> str | None:
    found = await _by_beginning(connection, tables.datasets, text, "dataset")
    if found is not None:
        return found
    if only:
        await _refuse_versions(connection, text)
        await _refuse_several(connection, tables.datasets, tables.datasets.c.name == text, f"datasets are named {text}")
    newest = await _by_name(connection, text)
    version = await versions.newest_of_lineage(connection, await _lineage(connection, newest)) if newest else None
    return version.dataset_id if version else newest


async def _of_version(connection: Connection, text: str, number: str) -> str | None:
    """The dataset that is this version now; what a job has changed in place since is not there any more."""
    dataset = await _dataset(connection, text)
    if dataset is None:
        return None
    found = await versions.numbered(connection, await _lineage(connection, dataset), number)
    now = await versions.newest_of_dataset(connection, found.dataset_id) if found else None
    if found is None or now is None:
        raise errors.NotFoundError(f"{text} has no version {number}; pictrawl datasets versions {text}")
    if now.number != found.number:
        raise errors.NotFoundError(f"version {number} of {text} was changed in place ({now.kind}) and is {now.number} now")
    return found.dataset_id


async def _lineage(connection: Connection, dataset: str) -> str:
    return str((await connection.execute(select(tables.datasets.c.lineage_id).where(tables.datasets.c.id == dataset))).scalar_one())


async def _refuse_versions(connection: Connection, name: str) -> None:
    """Refuse a name that only versions of one dataset have, with their numbers."""
    query = select(tables.datasets.c.id, tables.datasets.c.lineage_id).where(tables.datasets.c.name == name)
    rows = (await connection.execute(query.order_by(tables.datasets.c.created_at.desc()))).all()
    if len(rows) < 2 or len({row.lineage_id for row in rows}) > 1:
        return
    newest = [await versions.newest_of_dataset(connection, row.id) for row in rows[: _SHOWN + 1]]
    shown = [f"{name}@{version.number}" if version else row.id for row, version in zip(rows, newest, strict=False)]
    raise errors.ValidationError(f"{name} has {len(rows)} versions: {_shown(shown)}; write one of them")


async def chunk_id(db: Database, job_id: str, text: str) -> str | None:
    """Return the id of the chunk of a job that begins with ``text``; ``None`` where there is none.

    Raises:
        errors.ValidationError: several ids begin so.
    """
    async with db.read() as connection:
        return await _by_beginning(connection, tables.chunks, text, "chunk", tables.chunks.c.job_id == job_id)


async def dead_unit_id(db: Database, text: str) -> str:
    """Return the id of the dead unit that begins with ``text``; where there is none, ``text`` itself.

    Raises:
        errors.ValidationError: several ids begin so.
    """
    async with db.read() as connection:
        return await _by_beginning(connection, tables.units, text, "dead unit", tables.units.c.state == UnitState.DEAD) or text


async def key_id(db: Database, text: str) -> str:
    """Return the id of the API key in force that begins with ``text``; where there is none, ``text`` itself.

    Raises:
        errors.ValidationError: several ids begin so.
    """
    async with db.read() as connection:
        return await _by_beginning(connection, tables.api_keys, text, "API key", tables.api_keys.c.revoked_at.is_(None)) or text


async def _by_beginning(connection: Connection, table: Table, text: str, what: str, *conditions: ColumnElement[bool]) -> str | None:
    """The only id that begins with ``text``, which must be longer than the prefix that all ids share (``job_``)."""
    if len(text) <= len(text.partition("_")[0]) + 1:
        return None
    begins = table.c.id.startswith(text, autoescape=True)
    query = select(table.c.id).where(begins, *conditions).order_by(table.c.id).limit(_SHOWN + 1)
    ids: Sequence[str] = [row.id for row in (await connection.execute(query)).all()]
    if len(ids) > 1 and text not in ids:
        raise errors.ValidationError(f"several {what}s begin with {text}: {_shown(ids)}; write more of the id")
    return text if text in ids else next(iter(ids), None)


async def _refuse_several(connection: Connection, table: Table, condition: ColumnElement[bool], what: str) -> None:
    query = select(table.c.id).where(condition).order_by(table.c.id).limit(_SHOWN + 1)
    ids = [str(row.id) for row in (await connection.execute(query)).all()]
    if len(ids) > 1:
        raise errors.ValidationError(f"several {what}: {_shown(ids)}; write the id")


def _is_build_of(name: str) -> ColumnElement[bool]:
    named = select(tables.datasets.c.id).where(tables.datasets.c.name == name)
    return tables.jobs.c.dataset_id.in_(named) & (tables.jobs.c.kind == JobKind.BUILD)


def _shown(ids: Sequence[str]) -> str:
    return ", ".join(ids[:_SHOWN]) + (", ..." if len(ids) > _SHOWN else "")


async def _by_name(connection: Connection, name: str) -> str | None:
    """The newest dataset of a name. One that was rebuilt from a lock has the name of its original, and takes it from none that is here."""
    c, jobs = tables.datasets.c, tables.jobs.c
    is_rebuilt = exists(select(1).where(jobs.dataset_id == c.lineage_id, jobs.spec[("lock", "digest")].as_string().is_not(None)))
    original = await _newest(connection, tables.datasets, (c.name == name) & ~is_rebuilt)
    return original or await _newest(connection, tables.datasets, c.name == name)


async def _newest(connection: Connection, table: Table, condition: Any) -> str | None:
    query = select(table.c.id).where(condition).order_by(table.c.created_at.desc(), table.c.id.desc()).limit(1)
    row = (await connection.execute(query)).first()
    return None if row is None else str(row.id)
