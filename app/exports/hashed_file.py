"""A file that is hashed while it is written, or while it is read back."""

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.storage import local_files

__all__ = ["FileFacts", "HashedFile", "hash_bytes", "hash_open_file"]

_READ_BYTES = 1 << 18
"""Bytes read at once into one reused buffer, which fits into a core's cache."""

_WRITEBACK_BYTES = 32_000_000
"""Bytes after which writeback to the disk is started, so that little of a shard of 1 GB is left for the final flush."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Size and digest of a file."""

    size_bytes: int
    sha256: str


class HashedFile:
    """A file that is written once, front to back. It gets its final name when its size and digest are known."""

    def __init__(self, path: Path) -> None:
        self.size_bytes = 0
        self._writeback_bytes = 0
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._file: BinaryIO = self._part.open("xb")
        self._digest = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Append ``piece``."""
        self._file.write(piece)
        self._digest.update(piece)
        self.size_bytes += len(piece)
        if self.size_bytes - self._writeback_bytes >= _WRITEBACK_BYTES:
            local_files.start_writeback(self._file.fileno(), self._writeback_bytes, self.size_bytes - self._writeback_bytes)
            self._writeback_bytes = self.size_bytes

    def finish(self) -> FileFacts:
        """Close the file and rename it to its final name."""
        self._file.close()
        self._part.rename(self._path)
        return FileFacts(self.size_bytes, self._digest.hexdigest())

    def abandon(self) -> None:
        """Close the file without renaming it. Does nothing after :meth:`finish`."""
        with contextlib.suppress(OSError):  # closing flushes, and the disk may be full
            self._file.close()


def hash_open_file(file: BinaryIO) -> FileFacts:
    """Size and digest of an open file from its position to its end."""
    digest, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(_READ_BYTES))
    while count := file.readinto(buffer):  # type: ignore[attr-defined]  # binary files of `open` have it
        digest.update(buffer[:count])
        size += count
    return FileFacts(size, digest.hexdigest())


def hash_bytes(body: bytes) -> FileFacts:
    """Size and digest of a file that is in memory."""
    return FileFacts(len(body), hashlib.sha256(body).hexdigest())
