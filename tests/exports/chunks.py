"""Content-defined chunks of a file, as Xet cuts the files of the Hugging Face hub: what an update adds is what it costs to upload.

Gear hashing with a window of 64 bytes and chunks of 64 KiB on average, 8 to 128 KiB (Xet protocol specification, "Content-Defined
Chunking"). The table of the gear is our own: where a boundary lies is another matter than how far a change moves one.
"""

import hashlib
from pathlib import Path

import numpy as np

MEAN_BYTES, MIN_BYTES, MAX_BYTES = 1 << 16, 1 << 13, 1 << 17
_BLOCK = 1 << 20
_WINDOW = 64
_GEAR = np.frombuffer(b"".join(hashlib.sha256(bytes([byte])).digest()[:8] for byte in range(256)), dtype=np.uint64)
_MASK = np.uint64((MEAN_BYTES - 1) << 48)


def chunks(folder: Path, pattern: str) -> dict[bytes, int]:
    """The size of each different chunk of the files, by its digest."""
    found: dict[bytes, int] = {}
    for path in sorted(folder.glob(pattern)):
        body = path.read_bytes()
        start = 0
        for end in [*_ends(body), len(body)]:
            while end - start > MAX_BYTES:
                found[hashlib.sha256(body[start : start + MAX_BYTES]).digest()] = MAX_BYTES
                start += MAX_BYTES
            if end - start >= MIN_BYTES or end == len(body):
                found[hashlib.sha256(body[start:end]).digest()] = end - start
                start = end
    return found


def new_bytes(before: dict[bytes, int], after: dict[bytes, int]) -> int:
    """The bytes of the chunks that were not there before."""
    return sum(size for digest, size in after.items() if digest not in before)


def _ends(body: bytes) -> list[int]:
    """Where the hash of the 64 bytes before says that a chunk may end."""
    ends: list[int] = []
    for start in range(0, len(body), _BLOCK):
        first = max(start - _WINDOW, 0)
        hashes = _GEAR[np.frombuffer(body[first : start + _BLOCK], dtype=np.uint8)]
        for shift in (1, 2, 4, 8, 16, 32):  # doubles the window: the sum of the gears, each shifted by its distance
            hashes[shift:] += hashes[:-shift] << np.uint64(shift)
        at = np.flatnonzero(hashes & _MASK == 0) + first + 1
        ends += at[at > start].tolist()
    return ends
