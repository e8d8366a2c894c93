"""Figures of growth, and those that need no database: the search for near duplicates, and exports.

A figure is one thing at one size; several of them show its growth.
"""

import asyncio
import ctypes
import gc
import hashlib
import itertools
import math
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import measuring
import numpy as np
import numpy.typing as npt

from app.db.image_search import Fingerprint
from app.domain import ImageState, Sample
from app.exports.exporter import ExportOptions
from app.exports.formats import get_exporter
from app.images.dedupe import find_exact, find_near

__all__ = [
    *("Figure", "cpu_s", "exponents", "measure_export", "measure_near"),
    *("show", "show_answers", "measured"),
]

LIBC: Final = ctypes.CDLL(None)
CLEAR_PEAK: Final = "5"
"""Value for ``/proc/self/clear_refs`` that resets the peak (proc(5))."""

STEEP: Final = 1.0 + math.log10(1.3)
"""Exponent above which a stage is marked as steep: 1.3 times the time per image in each decade."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing at one size.

    Attributes:
        total_s: CPU time that all images of that size take, a PostgreSQL server's included: a machine that others use as well does not
            change it much. Of an answer, the wall time that it takes itself.
        peak_mb: what is held at most, above what was held before.
    """

    where: str
    what: str
    size: int
    total_s: float
    peak_mb: float | None = None
    is_answer: bool = False


@dataclass(slots=True)
class Cost:
    """Filled in when the body of :func:`measured` ends."""

    cpu_s: float = 0.0
    peak_mb: float = 0.0


@contextmanager
def measured(server: int | None = None) -> Iterator[Cost]:
    """Measure the CPU time of this process and of a PostgreSQL server, and the peak memory above what is held before."""
    found = Cost()
    gc.collect()
    LIBC.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text(CLEAR_PEAK)
    before = measuring.peak_rss_bytes()
    used = cpu_s(server)
    yield found
    found.cpu_s = cpu_s(server) - used
    found.peak_mb = (measuring.peak_rss_bytes() - before) / 1e6


def cpu_s(server: int | None) -> float:
    """Return the CPU seconds of this process and of a PostgreSQL server, by its process id."""
    return time.process_time() + (0.0 if server is None else measuring.cpu_s(server))


def exponents(totals: Mapping[int, float]) -> list[float]:
    """Return the slopes between neighbouring sizes on logarithmic axes: 1 is linear, n log n is 1.09 between 10,000 and 1,000,000."""
    pairs = itertools.pairwise(sorted(totals))
    return [math.log(totals[more] / totals[less]) / math.log(more / less) for less, more in pairs]


def show(figures: Sequence[Figure]) -> None:
    """Print a table: CPU milliseconds for 1,000 images at each size, exponents between sizes, and the peaks of memory."""
    if not figures:
        return
    sizes = sorted({figure.size for figure in figures})
    heads = ["", "", *(f"{size:,}" for size in sizes), "Exponents", "Peak, MB"]
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for where, what in dict.fromkeys((figure.where, figure.what) for figure in figures):
        found = {figure.size: figure for figure in figures if (figure.where, figure.what) == (where, what)}
        each = [f"{found[size].total_s / size * 1e6:.1f}" if size in found else "-" for size in sizes]
        slopes = exponents({size: figure.total_s for size, figure in found.items()})
        peaks = [figure.peak_mb for _, figure in sorted(found.items()) if figure.peak_mb is not None]
        steep = ", ".join(f"{slope:.2f}{' steep' * (slope > STEEP)}" for slope in slopes)
        print(f"| {where} | {what} | {' | '.join(each)} | {steep} | {' / '.join(f'{peak:,.0f}' for peak in peaks) or '-'} |")


def show_answers(figures: Sequence[Figure], target_ms: float) -> None:
    """Print a table of the milliseconds of each query at every size, and whether the target is met."""
    if not figures:
        return
    sizes = sorted({figure.size for figure in figures})
    heads = ["", "", *(f"{size:,}" for size in sizes), f"Under {target_ms:.0f} ms"]
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for where, what in dict.fromkeys((figure.where, figure.what) for figure in figures):
        found = {figure.size: figure.total_s * 1000 for figure in figures if (figure.where, figure.what) == (where, what)}
        each = [f"{found[size]:.1f}" if size in found else "-" for size in sizes]
        print(f"| {where} | {what} | {' | '.join(each)} | {'ok' if max(found.values()) < target_ms else 'MISSED'} |")


# --- near duplicates

DISTANCE = 6
"""The default distance of near duplicates."""

NEAR, PLACEHOLDERS, FLAT = 0.05, 0.02, 0.05
"""Shares of copies of another image within 3 bits, of copies of one placeholder, and of flat pictures."""

FLAT_BITS = 12
"""Bits in which hashes of flat pictures differ: they share a few buckets, and most of them have a near duplicate."""


def measure_near(size: int) -> Iterator[Figure]:
    """Measure random hashes alone, and the mixture of a crawl."""
    rng = np.random.default_rng(size)
    for what, hashes in (("random hashes", _random(rng, size)), ("hashes of a crawl", _crawled(rng, size))):
        items = [
            Fingerprint(at, ImageState.VALID, f"{at:064x}", f"{value:016x}", 307_200, 100_000 + at % 777)
            for at, value in enumerate(hashes.tolist())
        ]
        with measured() as found:
            find_near(items, DISTANCE)
        yield Figure("find_near", what, size, found.cpu_s, found.peak_mb)
    with measured() as found:
        find_exact(items)
    yield Figure("find_exact", "digests", size, found.cpu_s, found.peak_mb)


def _random(rng: np.random.Generator, size: int) -> npt.NDArray[np.uint64]:
    return rng.integers(0, 2**64, size, dtype=np.uint64)


def _crawled(rng: np.random.Generator, size: int) -> npt.NDArray[np.uint64]:
    hashes = _random(rng, size)
    copies, same, flat = (int(size * share) for share in (NEAR, PLACEHOLDERS, FLAT))
    originals = hashes[rng.integers(size // 2, size, copies)]
    hashes[:copies] = originals ^ _bits(rng, copies, 3, 64)
    hashes[copies : copies + same] = hashes[-1]
    hashes[copies + same : copies + same + flat] = np.uint64(0xF0F0) ^ _bits(rng, flat, FLAT_BITS, 32)
    return rng.permutation(hashes)


def _bits(rng: np.random.Generator, count: int, most: int, width: int) -> npt.NDArray[np.uint64]:
    """Return masks for ``count`` hashes, each with up to ``most`` of the lowest ``width`` bits."""
    found = np.zeros(count, dtype=np.uint64)
    for _ in range(most):
        found |= np.uint64(1) << rng.integers(0, width, count, dtype=np.uint64)
    return found


# --- exports

FORMATS = ("webdataset", "files")
SPLITS = ("train", "train", "train", "validation")
SHARD_SAMPLES = 1_000
SIZE_BYTES = 400


def measure_export(size: int, folder: Path) -> Iterator[Figure]:
    """Measure writing and verifying in each format."""
    for name in FORMATS:
        with tempfile.TemporaryDirectory(dir=folder, prefix="pictrawl-scale-") as place:
            yield from asyncio.run(_export(name, size, Path(place) / "export"))


async def _export(name: str, size: int, target: Path) -> list[Figure]:
    options = ExportOptions(dataset_name="scale", dataset_id="ds_1", created_at=1_790_000_000.0, shard_samples=SHARD_SAMPLES)
    with measured() as wrote:
        report = await get_exporter(name).write(_samples(size), _read, target, options)
    with measured() as read:
        found = await get_exporter(name).verify(target, report)
    assert found.samples == size, found
    assert not found.problems, found.problems
    return [
        Figure("export", f"{name}, written", size, wrote.cpu_s, wrote.peak_mb),
        Figure("export", f"{name}, verified", size, read.cpu_s, read.peak_mb),
    ]


def _body(index: int) -> bytes:
    return f"{index:010d}".encode() * (SIZE_BYTES // 10)


async def _read(batch: Sequence[Sample]) -> list[bytes]:
    return [_body(sample.index) for sample in batch]


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
