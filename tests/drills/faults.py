"""Faults that a drill injects into a worker: images that kill it, a failing store, death at a given step, an older version.

Registered and applied like mutants, but they take no safety of the product away.
"""

import asyncio
import errno
import itertools
import os
import random
import time
from pathlib import Path
from typing import Any

from tests.drills import lethal as poison
from tests.drills.mutants import _put, locate, mutant

__all__ = ["BALLAST", "DIES_AT", "FORGOTTEN", "STEPS", "STORE_FAULTS"]

DIES_AT, FORGOTTEN, STORE_FAULTS = "DIES_AT", "FORGOTTEN_FUNCTION", "STORE_FAULTS"
"""Environment variables: a step of an export, the name of a job function, and the share of store calls that fail."""

BALLAST = "ballast"
"""Name of the file that fills a disk."""


@mutant
def lethal() -> None:
    """The images of :mod:`tests.drills.lethal` kill this process, and the process of a unit in quarantine."""
    from workers.worker_pool import WorkerPool

    begin = WorkerPool.__init__

    def armed(pool: Any, *args: Any, **named: Any) -> None:
        begin(pool, *args, **named)
        pool.context.isolated_command = poison.COMMAND

    poison.arm()
    _put("workers.worker_pool.WorkerPool.__init__", armed)


@mutant
def failing_store() -> None:
    """A share of all writes and reads of the store fail with EIO, below the product's error border."""
    import obstore

    from app.storage import local_files

    share = float(os.environ[STORE_FAULTS])
    dice = random.Random(os.getpid())

    def failing(call: Any) -> Any:
        def called(*args: Any, **named: Any) -> Any:
            if dice.random() < share:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return call(*args, **named)

        return called

    _put("app.storage.local_files.write_file", failing(local_files.write_file))
    _put("obstore.get_async", failing(obstore.get_async))


@mutant
def slow_store() -> None:
    """Every write takes 0.7 s."""
    from app.storage import local_files

    write = local_files.write_file

    def late(path: str, body: bytes) -> None:
        time.sleep(0.7)
        write(path, body)

    _put("app.storage.local_files.write_file", late)


@mutant
def full_before_export() -> None:
    """The disk is full when the first export begins."""
    from workers.stages import export

    write_export = export.write_export

    async def write(ctx: Any, unit: Any) -> None:
        if not Path("was-full").exists():
            Path("was-full").touch()
            fill(Path("store"))
        await write_export(ctx, unit)

    _put("workers.stages.export.write_export", write)


def fill(folder: Path) -> None:
    """Fill the disk of a folder."""
    with (folder / BALLAST).open("ab", buffering=0) as ballast:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while ballast.write(bytes(size)) == size:
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


@mutant
def forgetful() -> None:
    """A worker of an older version, which lacks one job function."""
    from workers.worker import make_worker

    def older(*args: Any, **named: Any) -> Any:
        worker = make_worker(*args, **named)
        worker.functions.pop(os.environ[FORGOTTEN], None)
        return worker

    _put("workers.worker_pool.make_worker", older)


@mutant
def impatient() -> None:
    """URLs deferred for lack of retry budget come back after 12 s."""
    _put("downloader.client._BUDGET_WAIT_S", 12.0)


def _at(step: str) -> None:
    """Die if this is the chosen step, once in a drill."""
    marker = Path(f"died-{step}")
    if os.environ[DIES_AT] == step and not marker.exists():
        marker.touch()
        poison.die()


def _dies_around(name: str, before: str | None, after: str | None) -> None:
    call = getattr(*locate(name))

    async def called(*args: Any, **named: Any) -> Any:
        if before:
            _at(before)
        answer = await call(*args, **named)
        if after:
            _at(after)
        return answer

    _put(name, called)


STEPS = (
    "before writing",
    "between two samples",
    "before the rename",
    "after the rename",
    "before verifying",
    "while verifying",
    "before the row is ready",
    "before the commit",
)
"""Steps of an export at which its worker can die."""


@mutant
def dies_at_a_step() -> None:
    """The process dies at the step in ``DIES_AT``."""
    from app.exports import formats
    from app.storage import local_files
    from workers.stages import export

    _dies_around("workers.stages.export.write_export", "before writing", None)
    _dies_around("workers.stages.export.verify_export", "before verifying", None)
    _dies_around("workers.stages.export._publish", "before the row is ready", None)
    _dies_around("app.db.datasets.set_report", None, "before the commit")
    _put("workers.stages.export._make_reader", _dying_reader(export._make_reader))
    _put("app.storage.local_files.put_in_place", _dying_rename(local_files.put_in_place))
    _put("app.exports.formats.get_exporter", _dying_verifier(formats.get_exporter))


def _dying_reader(make: Any) -> Any:
    def reader(ctx: Any) -> Any:
        read, counter = make(ctx), itertools.count()

        async def read_some(samples: Any) -> Any:
            if next(counter) == 1:  # the second batch
                _at("between two samples")
            return await read(samples)

        return read_some

    return reader


def _dying_rename(put: Any) -> Any:
    def renamed(source: Path, target: Path) -> None:
        _at("before the rename")
        put(source, target)
        _at("after the rename")

    return renamed


def _dying_verifier(get: Any) -> Any:
    """Wrap exporters so that the process dies shortly after a verification has begun."""

    def exporter(name: str) -> Any:
        found = get(name)
        verify = found.verify

        async def cut_off(*args: Any) -> Any:
            if os.environ[DIES_AT] == "while verifying":
                task = asyncio.create_task(verify(*args))
                await asyncio.wait([task], timeout=0.005)
                _at("while verifying")
                return await task
            return await verify(*args)

        return _Exporter(found, cut_off)

    return exporter


class _Exporter:
    def __init__(self, found: Any, verify: Any) -> None:
        self.write, self.verify, self.extensions = found.write, verify, found.extensions
