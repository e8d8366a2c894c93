"""Re-reads a dataset's stored objects and compares their digests with the rows. Reports; changes nothing.

Retry: none here. A run that is interrupted starts again from the first object.
"""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

from app.db import datasets, images
from logging_setup import get_logger
from workers.stages.decode import image_source
from workers.unit import ClaimedUnit, JobContext

__all__ = ["check_objects", "sha256_of"]

log = get_logger(__name__)

PAGE = 500
"""Images read at once."""

MAX_REPORTED = 100
"""Problems that the report lists; all are counted."""


async def check_objects(ctx: JobContext, unit: ClaimedUnit) -> None:
    """Read every object that a dataset refers to and compare its SHA-256 with its row."""
    checked = last_id = 0
    problems: list[dict[str, Any]] = []
    while True:
        async with ctx.db.read() as connection:
            page = await images.kept_after(connection, unit.job.dataset_id, last_id=last_id, limit=PAGE)
        for image in page:
            for digest in filter(None, {image.sha256, image.out_sha256}):
                checked += 1
                problem = await _find_problem(ctx, digest)
                if problem:
                    problems.append({"image": image.id, "sha256": digest, "problem": problem})
            unit.require_lease()
        if len(page) < PAGE:
            break
        last_id = page[-1].id
    async with unit.transaction() as connection:
        report = {"checked": checked, "problems": problems[:MAX_REPORTED], "problem_count": len(problems)}
        await datasets.set_report(connection, unit.job.id, report)
        await unit.finish_in(connection)
    log.log("ERROR" if problems else "INFO", "dataset.reread", checked=checked, problems=len(problems))


async def _find_problem(ctx: JobContext, digest: str) -> str | None:
    source = await image_source(ctx, digest)
    if source is None:
        return "missing"
    found = await sha256_of(source)
    return None if found == digest else f"bytes differ: sha256 is {found}"


async def sha256_of(source: bytes | Path) -> str:
    """SHA-256 of an object, hex, computed in a thread, where a file is also read."""
    body = source if isinstance(source, bytes) else await asyncio.to_thread(source.read_bytes)
    return await asyncio.to_thread(lambda: hashlib.sha256(body).hexdigest())
