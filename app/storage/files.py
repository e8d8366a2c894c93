"""Writing one object's file into the folder of a local store. Blocking; knows paths and bytes, and raises what the system says.

Our own and not obstore's, by which a body and its thumbnail take half as much CPU again: ADR 0016.
"""

import contextlib
import os
import secrets
from pathlib import Path

__all__ = ["write"]

_NAME_BITS = 60
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_MODE = 0o666  # less what the umask says


def write(path: str, body: bytes) -> None:
    """Make ``path`` a file of these bytes, with its folders, in place of what was there: whole, or not at all.

    Until it has its name it is called as obstore calls what it has not finished, so obstore lists it nowhere and ``trees.clear_leftovers``
    takes it away if this process dies.
    """
    part = f"{path}#{secrets.randbits(_NAME_BITS)}"
    descriptor = _create(part)
    try:
        _fill(descriptor, body)
        os.rename(part, path)  # noqa: PTH104 - a Path takes longer to make than a file to rename
    except OSError:
        with contextlib.suppress(OSError):
            Path(part).unlink()
        raise


def _create(path: str) -> int:
    try:
        return os.open(path, _FLAGS, _MODE)
    except FileNotFoundError:  # the first one of its folder: asking each time would cost each of the others
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, _FLAGS, _MODE)


def _fill(descriptor: int, body: bytes) -> None:
    try:
        written = os.write(descriptor, body)
        while written < len(body):  # a signal, or the last bytes of a disk: the next call says which
            written += os.write(descriptor, memoryview(body)[written:])
    finally:
        os.close(descriptor)
