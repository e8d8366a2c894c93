"""One process at work in a workspace: two embedded workers on one SQLite file would dispatch each other's units."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli import codes
from app.cli.failures import Refused

if TYPE_CHECKING:
    from app.settings import Settings

__all__ = ["is_embedded", "working_alone"]

LOCK_FILE = "lock"


def is_embedded(settings: "Settings") -> bool:
    """Whether this process does the work itself."""
    return settings.queue.backend == "embedded"


@contextmanager
def working_alone(settings: "Settings", command: str) -> Iterator[None]:
    """Hold the workspace for the body's time. The kernel lets go of it when the process ends, however it ends.

    Raises:
        Refused: another process holds it.
    """
    path = settings.workspace.path.absolute() / LOCK_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _held(path) from None
        file.truncate(0)
        file.write(f"{os.getpid()} {command}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _held(path: Path) -> Refused:
    pid, _, command = path.read_text(encoding="utf-8").strip().partition(" ")
    who = f"`pictrawl {command}` (process {pid})" if command else "another process"
    if command.startswith(("serve", "worker")):
        hint = "hand it the work with `pictrawl build … --detach`, or name another folder with --workspace"
    else:
        hint = "wait for its end, stop it with Ctrl-C, or name another folder with --workspace"
    return Refused(f"the workspace {path.parent} is in use by {who}", hint, code=codes.ENVIRONMENT)
