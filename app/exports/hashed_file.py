"""Writing a file while hashing it."""

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.storage import local_files

__all__ = ["FileFacts", "HashedFile", "hash_open_file"]

_READ_BYTES = 1 << 18
"""Read at once, into the same memory again and again: fits into a core's cache beside the digest's."""

_WRITEBACK_BYTES = 32_000_000
"""So much of a file begins its way to the disk at once: of a shard of a gigabyte little is left when it is to be flushed."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Size and digest of a file."""

    size_bytes: int
    sha256: str


class HashedFile:
    """A file that is written once, front to back, and knows its size and digest at the end. Its name is final only then."""

    def __init__(self, path: Path) -> None:
        self.size_bytes = 0
        self._on_its_way = 0
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._file: BinaryIO = self._part.open("xb")
        self._digest = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Append ``piece``."""
        self._file.write(piece)
        self._digest.update(piece)
        self.size_bytes += len(piece)
        if self.size_bytes - self._on_its_way >= _WRITEBACK_BYTES:
            local_files.start_writeback(self._file.fileno(), self._on_its_way, self.size_bytes - self._on_its_way)
            self._on_its_way = self.size_bytes

    def finish(self) -> FileFacts:
        """Close the file and give it its name."""
        self._file.close()
        self._part.rename(self._path)
        return FileFacts(self.size_bytes, self._digest.hexdigest())

    def abandon(self) -> None:
        """Close the file as it is; it keeps its unfinished name. Harmless after :meth:`finish`."""
        with contextlib.suppress(OSError):  # closing flushes, and the disk may be full
            self._file.close()


def hash_open_file(file: BinaryIO) -> FileFacts:
    """Size and digest of what an open file still holds."""
    digest, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(_READ_BYTES))
    while count := file.readinto(buffer):  # type: ignore[attr-defined]  # of every binary file that `open` gives
        digest.update(buffer[:count])
        size += count
    return FileFacts(size, digest.hexdigest())
