"""The search for near duplicates, among hashes as a crawl has them: nearly all alone, some copies, placeholders, and flat pictures."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scale_figures import Figure, taken

from app.db.fingerprints import Fingerprint
from app.domain import ImageState
from app.images import find_exact, find_near

__all__ = ["measure"]

DISTANCE = 6
"""The default."""

NEAR, PLACEHOLDERS, FLAT = 0.05, 0.02, 0.05
"""Shares: copies of another image within 3 bits, one image again and again, and pictures of little but a gradient."""

FLAT_BITS = 12
"""Bits in which hashes of flat pictures vary: they crowd in a few buckets, and most of them are near some other one."""


def measure(size: int) -> Iterator[Figure]:
    """Random hashes alone, and the mixture."""
    rng = np.random.default_rng(size)
    for what, hashes in (("random hashes", _random(rng, size)), ("hashes of a crawl", _crawled(rng, size))):
        items = [
            Fingerprint(at, ImageState.VALID, f"{at:064x}", f"{value:016x}", 307_200, 100_000 + at % 777)
            for at, value in enumerate(hashes.tolist())
        ]
        with taken() as found:
            find_near(items, DISTANCE)
        yield Figure("find_near", what, size, found.cpu_s, found.peak_mb)
    with taken() as found:
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
    """For each of so many hashes, up to ``most`` of its lowest bits."""
    found = np.zeros(count, dtype=np.uint64)
    for _ in range(most):
        found |= np.uint64(1) << rng.integers(0, width, count, dtype=np.uint64)
    return found
