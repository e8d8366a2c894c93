"""Writing a file while hashing it."""

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ["FileFacts", "HashedFile", "hash_open_file"]

_READ_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Size and digest of a file."""

    size_bytes: int
    sha256: str


class HashedFile:
    """A file that is written once, front to back, and knows its size and digest at the end. Its name is final only then."""

    def __init__(self, path: Path) -> None:
        self.size_bytes = 0
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._file: BinaryIO = self._part.open("xb")
        self._digest = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Append ``piece``."""
        self._file.write(piece)
        self._digest.update(piece)
        self.size_bytes += len(piece)

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
    while piece := file.read(_READ_BYTES):
        digest.update(piece)
        size += len(piece)
    return FileFacts(size, digest.hexdigest())
