"""Fills a database by SQL with one dataset of any size whose last chunks are not fetched yet."""

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import asyncpg
from sqlalchemy import text
from sqlalchemy.engine import make_url

from app.db import Database, datasets, jobs, lifecycle, schema
from app.job_states import JobKind, JobState
from app.rules import CompressionRules
from app.spec import JobSpec

__all__ = ["CHUNK", "USER", "chunk_id", "fill", "server_of"]

CHUNK = 100
USER = "bench"
STEP = 50_000
"""Rows per statement."""

UNIT_KINDS = (("fetch", "builder"), ("validate", "validator"))
NUMBERS = "WITH RECURSIVE s(n) AS (SELECT {low} UNION ALL SELECT n + 1 FROM s WHERE n < {high})"

HOST = "'https://host' || (n % 5000) || '.example.com"
BYTES = "(n - (n % 20) / 19)"
"""Every twentieth image has the bytes of the one before it."""

COLUMNS: dict[str, dict[str, str]] = {
    "images": {
        "id": "n",
        "dataset_id": "'{dataset}'",
        "job_id": "'{job}'",
        "chunk_id": "'chunk_' || ((n - 1) / 100)",
        "search_id": "'srch_' || (n % 10)",
        "url": f"{HOST}/images/' || n || '.jpg'",
        "url_key": "md5('u' || n) || md5('v' || n)",
        "source": "'source' || (n % 3)",
        "state": "CASE WHEN n % 25 = 0 THEN 'failed' ELSE 'valid' END",
        "reason": "CASE WHEN n % 25 = 0 THEN 'http_404' END",
        "rank": "n / 10",
        "page_url": "'https://example.com/page/' || n",
        "final_url": f"{HOST}/images/' || n || '.jpg'",
        "title": "'Photograph number ' || n",
        "license": "'CC-BY-4.0'",
        "creator": "'Author ' || (n % 999)",
        "robots": "'allowed'",
        "opt_out": "'none'",
        "updated_at": "1790000000.0",
        "fetched_at": "1790000000.0",
        "sha256": f"CASE WHEN n % 25 <> 0 THEN md5('s' || {BYTES}) || md5('t' || {BYTES}) END",
        "size_bytes": "100000 + n % 777",
        "media_type": "'image/jpeg'",
        "width": "640",
        "height": "480",
        "phash": "substr(md5('p' || n), 1, 16)",
        "measures": '(\'{{"width": 640.0, "height": 480.0, "entropy": 6.5}}\')::json',
    },
    "attempts": {
        "job_id": "'{job}'",
        "image_id": "n",
        "number": "1",
        "epoch": "1",
        "state": "'done'",
        "started_at": "1790000000.0",
        "queued_s": "0.1",
        "elapsed_s": "0.2",
        "status": "200",
        "wait_s": "0.0",
        "wait_cause": "''",
    },
    "events": {
        "job_id": "'{job}'",
        "at": "1790000000.0 + n / 100.0",
        "level": "CASE WHEN n % 10 = 0 THEN 'WARNING' ELSE 'INFO' END",
        "event": "CASE WHEN n % 10 = 0 THEN 'download.retry' ELSE 'chunk.fetched' END",
        "data": '(\'{{"ok": 97, "failed": 3}}\')::json',
        "host": "CASE WHEN n % 10 = 0 THEN 'host' || (n % 5000) || '.example.com' END",
        "chunk_id": "'chunk_' || (n / 100)",
    },
    "chunks": {"id": "'chunk_' || n", "job_id": "'{job}'", "size": "100", "created_at": "1790000000.0"},
    "units": {
        "id": "'unit_{kind}_' || n",
        "job_id": "'{job}'",
        "kind": "'{kind}'",
        "queue": "'{queue}'",
        "state": "'done'",
        "payload": "('{{\"chunk_id\": \"chunk_' || n || '\"}}')::json",
        "epoch": "1",
        "not_before": "0",
        "crashes": "0",
        "created_at": "1790000000.0 + n",
        "finished_at": "1790000009.0 + n",
    },
}
"""The value of each column in row n. One image in 25 has failed, one log line in 10 is a warning."""

UNTRIED = (
    "UPDATE images SET state = 'pending', reason = NULL, sha256 = NULL, size_bytes = NULL, phash = NULL, measures = NULL, width = NULL,"
    " height = NULL WHERE id > {low}",
    "DELETE FROM attempts WHERE image_id > {low}",
)


def chunk_id(number: int) -> str:
    """Return the chunk of the images 100 * number + 1 to 100 * number + 100."""
    return f"chunk_{number}"


async def fill(
    db: Database,
    size: int,
    *,
    untried: int,
    filled: Sequence[str] = ("images", "attempts", "events"),
    images: Mapping[str, str] = MappingProxyType({}),
) -> tuple[str, str]:
    """Insert a job and its dataset of ``size`` images, the last ``untried`` of them pending. Return both ids.

    Args:
        filled: the tables with a row for each image.
        images: values of columns of images, in place of those in `COLUMNS`.
    """
    await schema.upgrade(db)
    spec = JobSpec(compression=CompressionRules(format="webp"), splits={"train": 0.8, "validation": 0.1, "test": 0.1})
    async with db.write() as connection:
        dataset = await datasets.create_dataset(connection, user_id=USER, name="scale")
        job = await lifecycle.create(
            connection, user_id=USER, dataset_id=dataset, kind=JobKind.BUILD, spec=spec.model_dump(mode="json"), first=[]
        )
        await jobs.set_stage(connection, job, state=JobState.RUNNING, stage=None)
        await jobs.add_searches(connection, job, [(f"source{number % 3}", f"word {number}", f"label {number}") for number in range(10)])
    await db.close()
    await _run(db.url, _statements(job, dataset, size, untried, filled, images))
    return job, dataset


def _statements(job: str, dataset: str, size: int, untried: int, filled: Sequence[str], images: Mapping[str, str]) -> list[str]:
    found = [f"UPDATE searches SET id = 'srch_' || substr(keyword, 6) WHERE job_id = '{job}'"]
    for low in range(1, size + 1, STEP):
        high = min(low + STEP - 1, size)
        found += [_into(table, low, high, images if table == "images" else {}, job=job, dataset=dataset) for table in filled]
    last_chunk = size // CHUNK - 1
    found.append(_into("chunks", 0, last_chunk, {}, job=job))
    found += [_into("units", 0, last_chunk, {}, job=job, kind=kind, queue=queue) for kind, queue in UNIT_KINDS]
    return found + [statement.format(low=size - untried) for statement in UNTRIED if untried]


def _into(table: str, low: int, high: int, more: Mapping[str, str], **values: str) -> str:
    columns = COLUMNS[table] | more
    expressions = ", ".join(columns.values()).format(**values)
    numbers = NUMBERS.format(low=low, high=high)
    return f"{numbers} INSERT INTO {table} ({', '.join(columns)}) SELECT {expressions} FROM s"


async def server_of(db: Database) -> int | None:
    """Return the process id of the PostgreSQL server on this machine; its children do the work."""
    if db.is_sqlite:
        return None
    async with db.read() as connection:
        pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def _run(url: str, statements: list[str]) -> None:
    where = make_url(url)
    if where.get_backend_name() == "sqlite":
        _run_sqlite(str(where.database), statements)
        return
    connection = await asyncpg.connect(where.set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        for statement in statements:
            await connection.execute(statement)
        await connection.execute("SELECT setval(pg_get_serial_sequence('images', 'id'), (SELECT max(id) FROM images))")
        await connection.execute("VACUUM ANALYZE")  # as autovacuum does later
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def _run_sqlite(path: str, statements: list[str]) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.create_function("md5", 1, lambda text: hashlib.md5(str(text).encode()).hexdigest(), deterministic=True)
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-200000")
        for statement in statements:
            connection.execute(statement.replace("::json", ""))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
