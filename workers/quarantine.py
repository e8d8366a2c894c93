"""Runs the suspects of a quarantined unit, whose workers died repeatedly, in an isolated process, one image at a time.

Whatever kills that process is to blame, and no other unit is harmed. The unit's other images are left to an ordinary run. This is the
worker's side; the process runs :mod:`workers.isolated_process`.
"""

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import errors
from app.db import images, takeover, units
from app.db.takeover import IN_HAND
from app.domain import ImageState, Reason
from app.job_states import UnitKind
from app.observability import tracing
from app.settings import as_flags
from logging_setup import get_logger
from workers.unit import ClaimedUnit, Stopped, StopReason

__all__ = ["STARTED", "IsolatedProcessDied", "run_isolated"]

log = get_logger(__name__)

STARTED = b"began\n"
"""The process writes this before it claims the unit. If it ends earlier, the unit is not to blame."""

TERMINATED = (-signal.SIGTERM, -signal.SIGINT)
"""Return codes of a process that was asked to end."""

ROOT = str(Path(__file__).resolve().parents[1])
"""The folder of this package, put on the process's import path."""

TERMINATED_DELAY_S = 60.0
"""Seconds before a unit runs again whose process was terminated from outside."""


class IsolatedProcessDied(Exception):
    """The isolated process died while it worked on no image: the unit itself is to blame."""


async def run_isolated(unit: ClaimedUnit) -> None:
    """Run the suspects of a claimed, quarantined unit. An image that kills the process is marked as poison, and a new process continues.

    Raises:
        IsolatedProcessDied: the unit itself killed the process.
        Exception: what the unit raised in its process.
    """
    log.warning("quarantine.began", kind=unit.row.kind.value, crashes=unit.row.crashes, suspects=unit.evidence.count)
    while True:
        await unit.mark_in_progress(None)
        code, output = await _run_process(unit)
        if code == 0:
            break
        if code in TERMINATED or unit.stop.is_set():  # SIGTERM came before the process had installed its handler
            await unit.release(delay_s=0.0 if unit.stop.is_set() else TERMINATED_DELAY_S)
            return
        if not output.startswith(STARTED):
            raise errors.StorageError(f"an isolated process ended by {_describe_exit(code)} before it started the unit")
        if not await _blame(unit, _describe_exit(code)):
            return
    answer = json.loads(output.removeprefix(STARTED))
    if answer["error"] is not None:
        raise rebuild_error(answer["error"], answer["message"])
    unit.is_settled = True
    log.info("quarantine.ended")


async def _run_process(unit: ClaimedUnit) -> tuple[int, bytes]:
    """Run the unit in a process of its own; return its return code and its standard output."""
    path = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path}
    try:
        process = await asyncio.create_subprocess_exec(
            *unit.ctx.isolated_command, stdin=PIPE, stdout=PIPE, env=environment, start_new_session=True
        )
    except OSError as error:
        raise errors.StorageError(f"cannot start an isolated process: {error.strerror}") from error
    terminator = asyncio.create_task(_terminate_on_stop(unit, process))
    try:
        output, _ = await process.communicate(_encode_request(unit))
    finally:
        terminator.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())
    return process.returncode or 0, output


async def _terminate_on_stop(unit: ClaimedUnit, process: Process) -> None:
    await unit.stop.wait()
    with contextlib.suppress(ProcessLookupError):
        process.terminate()


def _encode_request(unit: ClaimedUnit) -> bytes:
    """The request for the process. It goes through standard input, because settings hold secrets and arguments are public."""
    ctx = unit.ctx
    chunk = {"chunk_id": unit.row.payload["chunk_id"]} if "chunk_id" in unit.row.payload else {}
    ids = {"job_id": unit.job.id, "unit_id": unit.row.id} | chunk
    traced = {**unit.job.traced, **tracing.carried()}
    request = {"parent": os.getpid(), "settings": as_flags(ctx.settings), "kind": unit.row.kind, "ids": ids, "traced": traced}
    return json.dumps(request | {"epoch": unit.row.epoch, "worker": ctx.worker_id, "run": ctx.run}).encode()


async def _blame(unit: ClaimedUnit, how: str) -> bool:
    """Mark the image that was alone in the process as poison; return whether the rest goes on in a new process.

    Where several images were in hand, these are the suspects from now on, and the unit is released for an ordinary run.
    """
    row = await units.adopt(unit.ctx.db, unit.row.id, unit.row.epoch)
    in_hand = row.payload.get(IN_HAND)
    if in_hand and len(in_hand) == 1:
        await _mark_poison(unit, in_hand[0], how)
        return True
    async with unit.transaction() as connection:
        several = await takeover.find_in_hand(connection, row)
        if not several:
            raise IsolatedProcessDied(f"its workers died {unit.row.crashes} times; alone in a process, it ended by {how}")
        await takeover.take_back(connection, row, unit.evidence.after_death(several), max_crashes=unit.ctx.settings.jobs.max_crashes)
    unit.is_settled = True
    return False


async def _mark_poison(unit: ClaimedUnit, image_id: int, how: str) -> None:
    log.error("image.poison", image_id=image_id, how=how)
    state = ImageState.FAILED if unit.row.kind is UnitKind.FETCH else ImageState.REJECTED
    poison = {"id": image_id, "state": state, "reason": Reason.POISON, "detail": f"alone in a process, it ended by {how}"}
    async with unit.transaction() as connection:
        await images.update_many(connection, [poison])


def _describe_exit(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def rebuild_error(name: str, message: str) -> BaseException:
    """Rebuild an error that was raised in the isolated process; an unknown class becomes a RuntimeError with its name."""
    if name == Stopped.__name__:
        return Stopped(StopReason(message))
    kind = {"MemoryError": MemoryError, "LeaseLost": units.LeaseLost}.get(name) or getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        return kind(message)
    return RuntimeError(f"{name}: {message}")
