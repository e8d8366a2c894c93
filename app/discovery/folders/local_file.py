"""Opens files of a folder: only regular ones, and without waiting for a pipe that nobody writes to."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

import errors
from downloader.content import sniff

__all__ = ["begins_like_image", "leads_out", "open_regular", "opened", "read_beside"]

HEAD_BYTES = 64


def open_regular(path: str) -> tuple[BinaryIO, os.stat_result]:
    """Open a file and say what it is. The caller closes it.

    Raises:
        OSError: it cannot be opened.
        errors.UnreadableError: it is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise errors.UnreadableError("it is no regular file")
    return os.fdopen(descriptor, "rb"), found


@contextmanager
def opened(path: str) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """Open a file for the body's time, as `open_regular` does."""
    file, found = open_regular(path)
    with file:
        yield file, found


def read_beside(path: str, root: str, max_bytes: int) -> bytes | None:
    """Return the first bytes of a file that describes images; None where there is none, or a link that leads out of ``root``."""
    with suppress(OSError, errors.UnreadableError):
        if not leads_out(path, root):
            with opened(path) as (file, _):
                return file.read(max_bytes)
    return None


def leads_out(path: str, root: str, *, real_folder: Callable[[str], str] = os.path.realpath) -> bool:
    """Whether a path leads out of ``root`` by a link. A loop of links leads nowhere.

    Raises:
        OSError: there is nothing at the path.
    """
    is_link = stat.S_ISLNK(os.lstat(path).st_mode)
    folder, _, name = path.rpartition("/")
    real = os.path.realpath(path) if is_link else f"{real_folder(folder)}/{name}"
    return not real.startswith(f"{root.rstrip('/')}/")


def begins_like_image(path: str) -> bool:
    """Whether the first bytes of a file are those of an image."""
    with suppress(OSError, errors.UnreadableError), opened(path) as (file, _):
        return sniff(file.read(HEAD_BYTES)) is not None
    return False
