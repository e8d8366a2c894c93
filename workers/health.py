"""A worker process's signs of life for whoever watches processes: a file that is touched, and read by a container's healthcheck.

The file is fresh as long as the event loop turns and none of the worker's own loops stands still. A database or a Redis that is away
does not make a worker ill: starting it anew would not help.
"""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["FOLDER", "STUCK_S", "forget", "is_alive", "resident_bytes", "touch"]

FOLDER = Path(f"/tmp/pictrawl-health-{os.getuid()}")  # noqa: S108 - a container's own tmpfs
"""One file for each worker process of a user, named by the process's id."""

STUCK_S = 60.0
"""Seconds after which a loop that has not turned stands still."""


def touch(turned_at: Iterable[float], folder: Path | None = None) -> None:
    """Show a sign of life, unless one of the loops, by when it last turned (monotonic seconds), stands still."""
    if any(time.monotonic() - at > STUCK_S for at in turned_at):
        return
    folder = folder or FOLDER
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / str(os.getpid())).write_text(f"{time.time():.0f}\n")


def forget(folder: Path | None = None) -> None:
    """Take this process's sign of life away."""
    ((folder or FOLDER) / str(os.getpid())).unlink(missing_ok=True)


def is_alive(*, fresh_s: float, folder: Path | None = None) -> bool:
    """Whether worker processes run on this machine and each showed a sign of life lately. Files of processes that are gone are removed."""
    found = []
    with suppress(OSError):
        for file in (folder or FOLDER).iterdir():
            if not Path(f"/proc/{file.name}").exists() and Path("/proc/self").exists():
                file.unlink(missing_ok=True)
            else:
                found.append(time.time() - file.stat().st_mtime < fresh_s)
    return bool(found) and all(found)


def resident_bytes() -> int:
    """Memory of this process that is in RAM; 0 where the system does not say."""
    with suppress(OSError, ValueError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
