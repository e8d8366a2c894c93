"""The orders to the forking process, and the test's side of that process."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.services import PIDS

__all__ = ["ROOT", "Forge", "Order", "bare_environment"]

ROOT = Path(__file__).parents[2]

_FEW_THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Environment of the forking process: a process with threads must not be forked."""


@dataclass(frozen=True, slots=True)
class Order:
    """One process to fork. ``exit_file`` gets its exit code, negative for a signal as in :mod:`subprocess`."""

    program: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    log_file: str
    exit_file: str
    mutants: Sequence[str] = field(default_factory=tuple)


def bare_environment() -> dict[str, str]:
    """The environment of this process without the product's settings."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("PICTRAWL_")}


class Forge:
    """The forking process. One serves all drills of a test process."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "forge.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.drills.worker"],
                cwd=ROOT,
                env=bare_environment() | _FEW_THREADS,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        PIDS.add(self._process.pid)
        self._read()

    def fork(self, order: Order) -> int:
        """Start a process and return its pid."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._read()["pid"])

    def close(self) -> None:
        """End it and its remaining children."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(15)
        self._process.stdout.close()
        PIDS.discard(self._process.pid)

    def _read(self) -> dict[str, int]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the forking process died:\n{self._log.read_text()[-2000:]}")
        answer: dict[str, int] = json.loads(line)
        return answer
