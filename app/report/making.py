"""Makes a report: rows or a folder are read, thumbnails are laid out, the page is rendered. Pixels leave the event loop."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from app.db import Database
from app.images.pool.pool import DecoderPool
from app.report import collect, contact_sheets, page
from app.report.folder import read_folder
from app.report.model import Report
from app.storage import Store, paths

__all__ = ["make_folder_report", "make_report"]


async def make_report(db: Database, store: Store, dataset_id: str) -> bytes:
    """Return the report of a dataset. The same rows give the same bytes.

    Raises:
        errors.NotFoundError: there is no such dataset.
        errors.StorageError: the store does not answer.
    """
    report = await collect.collect(db, dataset_id)
    wanted = report.thumbs()
    bodies = await store.get_many([paths.thumb(digest) for digest in wanted])
    return await asyncio.to_thread(_render, report, dict(zip(wanted, bodies, strict=True)))


async def make_folder_report(folder: Path, decoders: DecoderPool) -> bytes:
    """Return the report of a delivered dataset, as far as its folder tells.

    Raises:
        errors.StorageError: it cannot be read, or no decoder can be started.
    """
    return await asyncio.to_thread(_render, *await read_folder(folder, decoders))


def _render(report: Report, thumbs: Mapping[str, bytes | None]) -> bytes:
    return page.render(report, contact_sheets.lay_out(thumbs.items()))
