"""The processes of a drill: starts them, signals them, restarts them as a supervisor does, and kills them all at the end."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.drills.invariants import InvariantBroken
from tests.drills.orders import ROOT, Forge, Order, bare_environment
from tests.drills.stopwatch import Stopwatch

__all__ = ["Exit", "Fleet", "Process"]

LOOK_S = 0.03
"""Seconds between two polls of exit codes; also the supervisor's delay before a restart."""

QUIET = ('"INFO"', '"DEBUG"', "download.retry")
"""Log lines with one of these do not explain a failure."""

END_S = 60.0
"""Seconds a killed process has to be gone. Only that it goes matters."""


@dataclass(slots=True)
class Process:
    """One process of the product. ``name`` stays through restarts, the pid does not."""

    name: str
    pid: int
    log_file: Path
    exit_file: Path
    order: Order
    popen: "subprocess.Popen[bytes] | None" = None
    is_kept: bool = True
    started_at: float = field(default_factory=time.monotonic)

    @property
    def exit_code(self) -> int | None:
        """``None`` while it runs, negative if a signal ended it."""
        if self.popen is not None:
            return self.popen.poll()
        return int(self.exit_file.read_text()) if self.exit_file.exists() else None

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self.exit_code is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send(signal.SIGKILL)

    def stop(self) -> None:
        """Send SIGSTOP: it freezes, as when a virtual machine is moved."""
        self.send(signal.SIGSTOP)

    def cont(self) -> None:
        """Send SIGCONT: it continues."""
        self.send(signal.SIGCONT)

    def term(self) -> None:
        """Send SIGTERM."""
        self.send(signal.SIGTERM)

    async def ended(self, within_s: float = END_S) -> int:
        """Wait for its end and return its exit code."""
        async with asyncio.timeout(within_s):
            while (code := self.exit_code) is None:
                await asyncio.sleep(LOOK_S)
        return code

    async def leaves(self, within_s: float) -> None:
        """Send SIGTERM. Breaks the invariant ``goes_in_order`` unless it exits with 0 in time, on a :class:`Stopwatch`."""
        watch = Stopwatch()
        self.term()
        while (code := self.exit_code) is None and watch.elapsed_s < within_s:
            await asyncio.sleep(LOOK_S)
        if code != 0:
            what = "still runs" if code is None else f"exited with {code}"
            raise InvariantBroken("goes_in_order", f"{self.name} {what} {watch.elapsed_s:.1f} s after SIGTERM")

    def descriptors(self) -> int:
        """Number of open files and sockets."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def resident_bytes(self) -> int:
        """Resident memory (VmRSS)."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


@dataclass(frozen=True, slots=True)
class Exit:
    """A process that exited or was killed while it was supervised."""

    name: str
    pid: int
    code: int


class Fleet:
    """The processes of one drill.

    Args:
        environment: the product's settings as environment variables.
    """

    def __init__(self, forge: Forge, folder: Path, environment: Mapping[str, str]) -> None:
        self._forge = forge
        self._folder = folder
        self.environment = dict(environment)
        self.processes: dict[str, Process] = {}
        self.logs: list[Path] = []
        self.exits: list[Exit] = []
        self._starts = 0

    @property
    def living(self) -> list[Process]:
        """The processes that run now."""
        return [process for process in self.processes.values() if process.is_alive]

    def start_workers(self, count: int, *, mutants: Sequence[str] = (), prefix: str = "worker") -> list[Process]:
        """Start ``python -m workers all`` so many times."""
        return [self.start(f"{prefix}-{number}", "workers", ["all"], mutants=mutants) for number in range(count)]

    def start(self, name: str, program: str, arguments: Sequence[str], *, mutants: Sequence[str] = ()) -> Process:
        """Fork a program of :mod:`tests.drills.worker`."""
        log, exit_file = self._files(name)
        order = Order(program, list(arguments), self.environment, str(self._folder), str(log), str(exit_file), list(mutants))
        return self._keep(Process(name, self._forge.fork(order), log, exit_file, order))

    def start_command(self, name: str, *arguments: str) -> Process:
        """Start ``python`` with these arguments: no fork, no shortened times, no restart."""
        log, exit_file = self._files(name)
        with log.open("ab") as stream:
            environment = bare_environment() | {"PYTHONPATH": str(ROOT)} | self.environment
            popen = subprocess.Popen([sys.executable, *arguments], cwd=self._folder, env=environment, stdout=stream, stderr=stream)
        order = Order("", list(arguments), self.environment, str(self._folder), str(log), str(exit_file))
        return self._keep(Process(name, popen.pid, log, exit_file, order, popen, is_kept=False))

    def _files(self, name: str) -> tuple[Path, Path]:
        self._starts += 1
        log = self._folder / f"{name}.{self._starts}.log"
        self.logs.append(log)
        return log, log.with_suffix(".exit")

    def _keep(self, process: Process) -> Process:
        self.processes[process.name] = process
        return process

    def again(self, process: Process, *, mutants: Sequence[str] | None = None) -> Process:
        """Restart a process that has ended, with these mutants if given, else with the same ones."""
        order = process.order
        return self.start(process.name, order.program, order.arguments, mutants=order.mutants if mutants is None else mutants)

    @asynccontextmanager
    async def supervised(self) -> AsyncIterator[None]:
        """Restart every process that ends, as a container's restart policy does, while the body runs."""
        task = asyncio.create_task(self._supervise())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _supervise(self) -> None:
        while True:
            for process in list(self.processes.values()):
                code = process.exit_code
                if code is not None and process.is_kept:
                    self.exits.append(Exit(process.name, process.pid, code))
                    self.again(process)
            await asyncio.sleep(LOOK_S)

    def pick(self, dice: random.Random) -> Process:
        """A random running worker."""
        return dice.choice([process for process in self.living if process.order.program == "workers"])

    def tail(self, lines: int = 8) -> str:
        """The last warnings in the log of every process, for the note of a failure."""
        parts = []
        for log in self.logs:
            text = log.read_text(errors="replace").splitlines() if log.exists() else []
            loud = [line[:500] for line in text if not any(word in line for word in QUIET)]
            parts.append(f"--- {log} ({len(text)} lines)\n" + "\n".join(loud[-lines:]))
        return "\n".join(parts)

    async def close(self) -> None:
        """Kill all processes and wait for their ends."""
        for process in self.processes.values():
            process.is_kept = False
            process.kill()
        for process in self.processes.values():
            await process.ended()
