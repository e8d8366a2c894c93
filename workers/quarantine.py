"""A unit whose workers died again and again runs in a process of its own, one image at a time: whatever kills that process is to blame,
and nothing else is harmed. Here is the worker's side; :mod:`workers.isolated_process` is what runs in the process.
"""

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import TYPE_CHECKING

import errors
from app.db import images, units
from app.domain import ImageState, Reason, UnitKind
from app.settings import as_flags
from logging_setup import get_logger, spans
from workers.stops import Stopped, StopReason

if TYPE_CHECKING:
    from workers.unit import Work

__all__ = ["BEGAN", "SUSPECT", "DiedAlone", "run_alone"]

log = get_logger(__name__)

SUSPECT = "suspect"
"""Key of a unit's payload: the image that its process works at, alone."""

BEGAN = b"began\n"
"""What the process says before it touches the unit: one that ends earlier is no fault of the unit's."""

ENDED_BY_OTHERS = (-signal.SIGTERM, -signal.SIGINT)
"""Exit codes that say that somebody asked the process to end."""

ROOT = str(Path(__file__).resolve().parents[1])
"""Where this package was found for us, the process finds it."""

TERMINATED_DELAY_S = 60.0
"""Seconds a unit rests whose process somebody else ended."""


class DiedAlone(Exception):
    """The process of a unit in quarantine died while it worked at no image: the unit itself is to blame."""


async def run_alone(work: "Work") -> None:
    """See a claimed unit in quarantine through. An image that kills the process is condemned, and the next process goes on without it.

    Raises:
        DiedAlone: it died over the unit itself.
        Exception: what the unit raised in its process.
    """
    log.warning("quarantine.began", kind=work.unit.kind.value, crashes=work.unit.crashes)
    while True:
        await work.suspect(None)
        code, told = await _process(work)
        if code == 0:
            break
        if code in ENDED_BY_OTHERS or work.stop.is_set():  # told to end before it could listen
            await work.release(delay_s=0.0 if work.stop.is_set() else TERMINATED_DELAY_S)
            return
        if not told.startswith(BEGAN):
            raise errors.StorageError(f"a process for quarantine ended by {_how(code)} before it began")
        await _condemn(work, _how(code))
    answer = json.loads(told.removeprefix(BEGAN))
    if answer["error"] is not None:
        raise revived(answer["error"], answer["message"])
    work.is_settled = True
    log.info("quarantine.ended")


async def _process(work: "Work") -> tuple[int, bytes]:
    """Run the unit in a process of its own; return its exit code and what it said."""
    path = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path}
    try:
        process = await asyncio.create_subprocess_exec(
            *work.ctx.alone_command, stdin=PIPE, stdout=PIPE, env=environment, start_new_session=True
        )
    except OSError as error:
        raise errors.StorageError(f"cannot start a process for quarantine: {error.strerror}") from error
    drain = asyncio.create_task(_drain(work, process))
    try:
        told, _ = await process.communicate(_order(work))
    finally:
        drain.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())
    return process.returncode or 0, told


async def _drain(work: "Work", process: Process) -> None:
    await work.stop.wait()
    with contextlib.suppress(ProcessLookupError):
        process.terminate()


def _order(work: "Work") -> bytes:
    """What the process is told; settings go through its standard input, where nobody reads along."""
    ctx = work.ctx
    chunk = {"chunk_id": work.unit.payload["chunk_id"]} if "chunk_id" in work.unit.payload else {}
    ids = {"job_id": work.job.id, "unit_id": work.unit.id} | chunk
    traced = {**work.job.traced, **spans.carried()}
    order = {"parent": os.getpid(), "settings": as_flags(ctx.settings), "kind": work.unit.kind, "ids": ids, "traced": traced}
    return json.dumps(order | {"epoch": work.unit.epoch, "worker": ctx.worker_id, "run": ctx.run}).encode()


async def _condemn(work: "Work", how: str) -> None:
    unit = await units.adopt(work.ctx.db, work.unit.id, work.unit.epoch)
    image_id = unit.payload.get(SUSPECT)
    if image_id is None:
        raise DiedAlone(f"its workers died {work.unit.crashes} times; alone in a process, it ended by {how}")
    log.error("image.poison", image_id=image_id, how=how)
    state = ImageState.FAILED if unit.kind is UnitKind.FETCH else ImageState.REJECTED
    words = f"alone in a process, it ended by {how}"
    async with work.transaction() as connection:
        await images.update_many(connection, [{"id": image_id, "state": state, "reason": Reason.POISON, "detail": words}])


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def revived(name: str, message: str) -> BaseException:
    """An error that was raised in the other process, as one of this; of an unknown class only its name is left."""
    if name == Stopped.__name__:
        return Stopped(StopReason(message))
    kind = {"MemoryError": MemoryError, "LeaseLost": units.LeaseLost}.get(name) or getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        return kind(message)
    return RuntimeError(f"{name}: {message}")
