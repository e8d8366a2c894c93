"""A worker process's health file: the process touches it, and a container's healthcheck reads it.

The file stays fresh as long as the event loop runs and none of the worker's own loops is stuck. A database or Redis outage does not make
a worker unhealthy, because a restart would not help.
"""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["FOLDER", "STUCK_S", "is_alive", "remove", "resident_bytes", "touch"]

FOLDER = Path(f"/tmp/pictrawl-health-{os.getuid()}")  # noqa: S108 - a container's own tmpfs
"""Holds one file for each worker process of a user, named by the process id."""

STUCK_S = 60.0
"""A loop whose last iteration began longer ago than this many seconds is stuck."""


def touch(iterated_at: Iterable[float], folder: Path | None = None) -> None:
    """Touch this process's file, unless a loop is stuck.

    Args:
        iterated_at: when each loop began its last iteration, monotonic seconds.
        folder: other than :data:`FOLDER`.
    """
    if any(time.monotonic() - at > STUCK_S for at in iterated_at):
        return
    folder = folder or FOLDER
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / str(os.getpid())).write_text(f"{time.time():.0f}\n")


def remove(folder: Path | None = None) -> None:
    """Remove this process's file."""
    ((folder or FOLDER) / str(os.getpid())).unlink(missing_ok=True)


def is_alive(*, fresh_s: float, folder: Path | None = None) -> bool:
    """Whether worker processes run on this machine and each has touched its file within ``fresh_s``. Removes stale files."""
    found = []
    with suppress(OSError):
        for file in (folder or FOLDER).iterdir():
            if not Path(f"/proc/{file.name}").exists() and Path("/proc/self").exists():
                file.unlink(missing_ok=True)
            else:
                found.append(time.time() - file.stat().st_mtime < fresh_s)
    return bool(found) and all(found)


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not report it."""
    with suppress(OSError, ValueError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
