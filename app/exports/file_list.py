"""The files of a published export in the order of its ``SHA256SUMS``, read from the store in pieces: there may be ten million.

That file names every image and every other file but itself and ``manifest.json``, which come last. A position is a byte in it, so that a
page of any export costs the same wherever it begins.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import errors
from app.exports.sidecars import MANIFEST, SUMS, parse_sum
from app.storage import Store

__all__ = ["ListedFile", "list_files"]

_BLOCK_BYTES = 64_000  # a page of 200 files in one request
_DIGEST_CHARS = 64
_LAST = (SUMS, MANIFEST)


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of an export.

    Attributes:
        path: relative to the export.
        sha256: ``None`` for ``SHA256SUMS`` and ``manifest.json``, of which the first does not know its own, nor that of the second.
        following: position of the file after it.
    """

    path: str
    sha256: str | None
    following: int


async def list_files(store: Store, prefix: str, sums_bytes: int, start: int = 0) -> AsyncGenerator[ListedFile, None]:
    """Yield the files from a position on.

    Args:
        prefix: of the export in the store.
        sums_bytes: size of its ``SHA256SUMS``.
        start: 0, or ``following`` of a file.

    Raises:
        errors.ValidationError: no file begins at ``start``.
        MissingObject: the export is no longer in the store.
    """
    if not 0 <= start < sums_bytes + len(_LAST):
        raise _no_position(start)
    position = min(start, sums_bytes)
    async for line in _lines(store, f"{prefix}/{SUMS}", start, sums_bytes):
        sha256, path = parse_sum(line)
        position += len(line) + 1
        yield ListedFile(path, sha256, position)
    for number, path in enumerate(_LAST):
        if sums_bytes + number >= start:
            yield ListedFile(path, None, sums_bytes + number + 1)


async def _lines(store: Store, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
    """The lines from ``start`` on, without their line feeds. The byte before the first line must end another."""
    if start >= stop:
        return
    rest = b"" if start else b"\n"
    is_first = True
    async for block in store.stream_range(key, max(start - 1, 0), stop, piece_bytes=_BLOCK_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        if is_first and (lines.pop(0) if lines else rest):
            raise _no_position(start)
        is_first = False
        for line in lines:
            yield line
    if rest:
        raise errors.StorageError(f"get {key}: its last line is cut off")


def _no_position(start: int) -> errors.ValidationError:
    return errors.ValidationError(f"cursor: no file of the export begins at {start}; omit it to start at the beginning")
