"""Time, CPU and peak memory of one command and its whole process tree. Linux only."""

import contextlib
import os
import platform
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["Usage", "cpu_s", "machine", "peak_rss_bytes", "tail", "timed"]

SAMPLE_S: Final = 0.25
"""Seconds between two samples of a tree's memory. A sample takes 5 ms for pictrawl and 8 ms for img2dataset with its 140 threads."""

LIMIT_S: Final = 1800.0
"""A run that takes longer hangs; the slowest one needs half a minute."""

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_TAIL: Final = 2000
"""Characters of a failed command's output that are shown."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Usage of one command. ``started_at`` is Unix time at exec; ``cpu_s`` is user and system time, of its child processes too."""

    started_at: float
    wall_s: float
    cpu_s: float
    peak_mb: float
    code: int


def timed(command: Sequence[str], folder: Path, env: Mapping[str, str], *, needs: Sequence[int], beside: Sequence[int] = ()) -> Usage:
    """Flush the disk, then run a command in a folder with its output in ``out.log``.

    Args:
        needs: processes that the command depends on; it is killed where one of them ends.
        beside: processes that were started before and work for the command; their memory and CPU count too.
    """
    os.sync()
    with (folder / "out.log").open("wb") as out:
        before = sum(cpu_s(pid) for pid in beside)
        started_at, began = time.time(), time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        with _ended_with(process), _watched(process.pid, [*needs, *beside], beside) as peak:
            _, status, used = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    spent = used.ru_utime + used.ru_stime + sum(cpu_s(pid) for pid in beside) - before
    return Usage(started_at, wall_s, spent, peak[0] / 1024, process.returncode)


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and of its children, those that have ended too."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) / _TICKS + sum(cpu_s(child) for child in _children(pid))
    return 0.0


def peak_rss_bytes() -> int:
    """Return the peak memory of this process. ru_maxrss would include its parent's memory at the fork."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [peak] = [line for line in lines if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1024


def tail(log: Path) -> str:
    """Return the end of a command's output."""
    with contextlib.suppress(OSError):
        return log.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
    return ""


def machine(**versions: str) -> dict[str, Any]:
    """Return what the figures depend on."""
    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False).stderr.strip()
    models = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": models[0] if models else platform.machine(),
        "python": platform.python_version(),
        "origin": nginx.rpartition(": ")[2],
        **versions,
        "load_before": round(os.getloadavg()[0], 2),
    }


@contextlib.contextmanager
def _ended_with(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill the command's process group after an interrupt here, or after its time limit."""
    timer = threading.Timer(LIMIT_S, _kill, [process.pid])
    timer.start()
    try:
        yield
    except BaseException:
        _kill(process.pid)
        process.wait()
        raise
    finally:
        timer.cancel()


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


@contextlib.contextmanager
def _watched(pid: int, needs: Sequence[int], beside: Sequence[int]) -> Iterator[list[int]]:
    """Yield the peak memory so far, KB, of these process trees together; kill the first process when one of its needs has ended."""
    peak, done = [0], threading.Event()

    def look() -> None:
        while not done.is_set():
            peak[0] = max(peak[0], sum(_tree_kb(root) for root in (pid, *beside)))
            if not all(_is_running(other) for other in needs):
                _kill(pid)
            done.wait(SAMPLE_S)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _is_running(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _tree_kb(pid: int) -> int:
    return _pss_kb(pid) + sum(_tree_kb(child) for child in _children(pid))


def _pss_kb(pid: int) -> int:
    """Return the proportional set size: a page shared by several processes counts once in all. 0 where the process has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def _children(pid: int) -> list[int]:
    """Return the children of all threads of a process."""
    found = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found
