"""Tars that are packed, unpacked once for a process: a member is then read by its offset, however many are read in whatever order."""

import io
import os
import tempfile
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import errors
from app.discovery.folders import local_file
from app.discovery.lists import streams

__all__ = ["MAX_UNPACKED", "TarFiles", "is_packed"]

MAX_UNPACKED = 4
"""Unpacked tars that are kept at once, as unnamed temporary files, which the system deletes with the process."""

MAX_GROWTH = 100
"""Times its size that a packed tar may have unpacked; images hardly pack."""

MIN_BYTES = 1 << 28
"""Unpacked, that any of them may have."""

_Version = tuple[int, int]


def is_packed(path: str) -> bool:
    """Whether a tar is packed, by its name."""
    return path.lower().endswith((".gz", ".tgz", ".zst"))


class TarFiles:
    """Opens tars for reading by offset; every call is made in a thread.

    Args:
        folder: where tars are unpacked; None for the system's temporary folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, _Version], BinaryIO] = OrderedDict()

    def open(self, path: str) -> BinaryIO:
        """Open a tar, unpacked, at its beginning. The caller closes it.

        Raises:
            OSError: the file cannot be read.
            errors.StorageError: there is no room to unpack it.
        """
        if not is_packed(path):
            return local_file.open_regular(path)[0]
        with local_file.opened(path) as (_, found):
            pass  # it can be read
        key = (path, (found.st_mtime_ns, found.st_size))
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._unpack(path, max(MIN_BYTES, MAX_GROWTH * found.st_size))
            self._kept.move_to_end(key)
            while len(self._kept) > MAX_UNPACKED:
                self._kept.popitem(last=False)[1].close()
            return io.BufferedReader(_View(os.dup(self._kept[key].fileno())))

    def close(self) -> None:
        """Free the disk space."""
        with self._lock:
            while self._kept:
                self._kept.popitem()[1].close()

    def _unpack(self, path: str, max_bytes: int) -> BinaryIO:
        """Unpack what can be unpacked: where the data is damaged or too much the tar ends, and its reader says so."""
        packing = ".zst" if path.lower().endswith(".zst") else ".gz"
        try:
            file: BinaryIO = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - kept
        except OSError as exc:
            raise errors.StorageError(f"unpacking {path} failed: {exc.strerror}") from exc
        with streams.opened(Path(path), packing) as reader, suppress(streams.DamagedError):
            while (block := reader.read(streams.BLOCK_BYTES)) and file.tell() < max_bytes:
                _write(file, block, path)
        file.flush()
        return file


class _View(io.RawIOBase):
    """Reads a file from a place of its own, until it is closed, whatever others read and even if the file is closed meanwhile."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = os.pread(self._descriptor, len(buffer), self._at)
        buffer[: len(block)] = block
        self._at += len(block)
        return len(block)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        self._at = offset + (os.fstat(self._descriptor).st_size if start is None else start)
        return self._at

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def _write(file: BinaryIO, block: bytes, path: str) -> None:
    try:
        file.write(block)
    except OSError as exc:
        file.close()
        raise errors.StorageError(f"unpacking {path} failed: {exc.strerror}") from exc
