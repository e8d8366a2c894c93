"""Datasets as a build leaves them, written as rows, with real thumbnails."""

import functools
import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sqlalchemy import insert, update

from app.db import Database, tables
from app.storage import Store, open_store, paths
from tests.browser.scenes import draw
from tests.db.builders import add_job

XSS = (
    "<script>__xss('script')</script>",
    "\"><img src=x onerror=__xss('img')>",
    "' onmouseover='__xss(1)",
    "</title></style></script><svg onload=__xss('svg')>",
    "{{ 7 * 7 }}${7*7}<!-- sheets -->",
)
"""Texts that would run, or break the page, where one is written without being escaped."""


@dataclass(frozen=True)
class Rows:
    """A dataset and its build."""

    dataset_id: str
    job_id: str


async def add_dataset(db: Database, images: Iterable[Mapping[str, Any]], name: str = "photos", **spec: Any) -> Rows:
    """A dataset with these images, numbered from 1 in it; what is not given is that of a kept photograph."""
    job_id = await add_job(db, 0, spec=spec)
    async with db.write() as connection:
        dataset_id = (await connection.execute(tables.jobs.select().where(tables.jobs.c.id == job_id))).one().dataset_id
        changed = update(tables.datasets).where(tables.datasets.c.id == dataset_id)
        await connection.execute(changed.values(name=name, created_at=1_700_000_000.0))
        rows = [_row(number, values) | {"dataset_id": dataset_id, "job_id": job_id} for number, values in enumerate(images, start=1)]
        for start in range(0, len(rows), 5_000):
            await connection.execute(insert(tables.images), rows[start : start + 5_000])
    return Rows(dataset_id, job_id)


def digest(number: int) -> str:
    """The digest of image ``number``."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def _row(number: int, values: Mapping[str, Any]) -> dict[str, Any]:
    url = f"https://img{number % 3}.example.org/{number}.jpg"
    kept: dict[str, Any] = {
        "url": url,
        "source": "list",
        "state": "kept",
        "label": "cat",
        "split": "train",
        "sha256": digest(number),
        "size_bytes": 50_000 + 100 * (number % 400),
        "media_type": "image/jpeg",
        "width": 640 + number % 7,
        "height": 480,
        "measures": {"brightness": 90 + number % 40, "sharpness": 300 + number % 900, "entropy": 6 + number % 10 / 10},
        "license": "CC-BY-4.0",
        "license_confidence": "asserted",
    }
    optional = ("reason", "detail", "evidence", "page_url", "title", "caption", "phash", "duplicate_of", "creator", "attribution")
    row = {"id": number, "url_key": hashlib.sha256(f"url {number}".encode()).hexdigest()} | kept | dict.fromkeys(optional)
    assert values.keys() <= row.keys()
    return row | dict(values)


def failed(reason: str = "http_404", **values: Any) -> dict[str, Any]:
    """An image that was never there."""
    nothing = dict.fromkeys(("label", "split", "sha256", "size_bytes", "media_type", "width", "height", "measures"))
    return nothing | {"state": "failed", "reason": reason, "detail": "the origin answered 404"} | values


def rejected(reason: str = "blurry", detail: str = "sharpness 3.2, limit 20", **values: Any) -> dict[str, Any]:
    """An image that a check refused."""
    return {"state": "rejected", "reason": reason, "detail": detail, "split": None} | values


def duplicate(of: int, reason: str = "duplicate_near", **values: Any) -> dict[str, Any]:
    """A copy of another image."""
    return {"state": "duplicate", "reason": reason, "duplicate_of": of, "split": None} | values


@functools.cache
def thumbnail(seed: int) -> bytes:
    """A thumbnail as the decoders make them."""
    picture = draw(("dunes", "harbour", "meadow", "skyline")[seed % 4], seed)
    picture.thumbnail((256, 256))
    return _jpeg(picture)


@functools.cache
def noise(seed: int) -> bytes:
    """A thumbnail that compresses as badly as any."""
    return _jpeg(Image.fromarray(np.random.default_rng(seed).integers(0, 256, (192, 256, 3), dtype=np.uint8)))


def _jpeg(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return out.getvalue()


def store_of(folder: Path, bodies: Mapping[int, bytes]) -> Store:
    """A store with the thumbnails of these images; those with the same bytes are one file, so that there may be many."""
    files: dict[bytes, Path] = {}
    for number, body in bodies.items():
        path = folder / paths.thumb(digest(number))
        path.parent.mkdir(parents=True, exist_ok=True)
        if body in files:
            path.hardlink_to(files[body])
        else:
            path.write_bytes(body)
            files[body] = path
    return open_store(str(folder))
