"""Having the system write a file out while it is still being made. Blocking; asks for nothing that must come true."""

import ctypes
from typing import Final

__all__ = ["begin"]

_WRITE: Final = 2  # SYNC_FILE_RANGE_WRITE, linux/fs.h


def begin(descriptor: int, start: int, size_bytes: int) -> None:
    """Start writing these bytes of a file to its disk, and wait for none of them (sync_file_range(2), Linux).

    An fsync at the end then has little left to wait for. It alone says whether all is on the disk: what goes wrong here it reports too,
    and where the system cannot do this it does everything.
    """
    try:
        sync_file_range = ctypes.CDLL(None).sync_file_range
    except AttributeError:
        return
    sync_file_range(descriptor, ctypes.c_int64(start), ctypes.c_int64(size_bytes), _WRITE)
