"""The memory of an export: written, and read back, over more and more samples of a few hundred bytes each."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from scale_figures import Figure, taken

from app.domain import Sample
from app.exports.exporter import ExportOptions
from app.exports.formats import get_exporter

__all__ = ["FORMATS", "measure"]

FORMATS = ("webdataset", "files")
SPLITS = ("train", "train", "train", "validation")
SHARD_SAMPLES = 1_000
SIZE_BYTES = 400


def measure(size: int, folder: Path) -> Iterator[Figure]:
    """Each format, written and verified."""
    for name in FORMATS:
        with tempfile.TemporaryDirectory(dir=folder, prefix="pictrawl-scale-") as place:
            yield from asyncio.run(_export(name, size, Path(place) / "export"))


async def _export(name: str, size: int, target: Path) -> list[Figure]:
    options = ExportOptions(dataset_name="scale", dataset_id="ds_1", created_at=1_790_000_000.0, shard_samples=SHARD_SAMPLES)
    with taken() as wrote:
        report = await get_exporter(name).write(_samples(size), _read, target, options)
    with taken() as read:
        found = await get_exporter(name).verify(target, report)
    assert found.samples == size, found
    assert not found.problems, found.problems
    return [
        Figure("export", f"{name}, written", size, wrote.cpu_s, wrote.peak_mb),
        Figure("export", f"{name}, verified", size, read.cpu_s, read.peak_mb),
    ]


def _body(index: int) -> bytes:
    return f"{index:010d}".encode() * (SIZE_BYTES // 10)


async def _read(sample: Sample) -> bytes:
    return _body(sample.index)


async def _samples(size: int) -> AsyncIterator[Sample]:
    for index in range(size):
        digest = hashlib.sha256(_body(index)).hexdigest()
        yield Sample(
            index=index,
            image_id=index + 1,
            sha256=digest,
            size_bytes=SIZE_BYTES,
            media_type="image/jpeg",
            extension="jpg",
            width=640,
            height=480,
            label=f"label {index % 10}",
            split=SPLITS[index % len(SPLITS)],
            caption=f"A photograph, number {index}",
            url=f"https://example.com/{index}.jpg",
            source="list",
            source_sha256=digest,
            page_url=None,
            title=None,
            license="CC-BY-4.0",
            license_url=None,
            creator=f"Author {index % 999}",
            attribution=None,
            phash=digest[:16],
        )
