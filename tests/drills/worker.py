"""A process that has imported everything and forks the product's processes on request, in milliseconds instead of seconds.

The fork runs the entry point itself (``python -m workers all``, ``pictrawl serve``) with its own session, environment, folder, output and
signals; its end and its exit code are those of any process. Mutants and the shortened times of :mod:`tests.drills.mutants` are applied in
the fork, before the entry point runs.
"""

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

from tests.drills.orders import Order

LOOK_MS = 20
"""Milliseconds between two polls for children that ended."""

PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""

PRELOADED = (
    "app.cli.entry",
    "app.cli.serve",
    "app.cli.worker",
    "app.web.server",
    "tests.drills.faults",
    "tests.drills.mutants",
    "tests.drills.mutants_matter",
    "workers.__main__",
)


def main() -> None:
    """Fork until standard input ends. Returns in a child only, at the end of its program."""
    _import_everything()
    os.write(1, b'{"ready": true}\n')
    run(_serve())


def _import_everything() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def _serve() -> Order:
    """Read orders from standard input, one a line, and answer with the pid. Returns in the child, with its order."""
    children: dict[int, str] = {}
    while True:
        _reap(children)
        if not select.select([0], [], [], LOOK_MS / 1000)[0]:
            continue
        line = os.read(0, 1 << 16)
        if not line:
            _end(children)
        order = Order(**json.loads(line))
        pid = os.fork()
        if not pid:
            return order
        children[pid] = order.exit_file
        os.write(1, json.dumps({"pid": pid}).encode() + b"\n")


def _reap(children: dict[int, str]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        path = Path(children.pop(pid))
        part = path.with_suffix(".part")
        part.write_text(str(os.waitstatus_to_exitcode(status)))
        part.rename(path)


def _end(children: dict[int, str]) -> None:
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)
    os._exit(0)


def run(order: Order) -> None:
    """Run the program that the order names."""
    _set_up(order)
    from tests.drills import mutants

    mutants.hasten()
    for name in order.mutants:
        mutants.MUTANTS[name]()
    _PROGRAMS[order.program](order.arguments)


def _set_up(order: Order) -> None:
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    log = os.open(order.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    os.close(log)
    os.close(nothing)
    os.chdir(order.folder)
    os.environ.update(order.environment)


def _workers(arguments: list[str]) -> None:
    import workers.__main__

    sys.argv = ["workers", *arguments]
    workers.__main__.main()


def _pictrawl(arguments: list[str]) -> None:
    from app.cli import entry

    sys.exit(entry.run(arguments))


_PROGRAMS: dict[str, Any] = {"workers": _workers, "pictrawl": _pictrawl}


if __name__ == "__main__":
    main()
