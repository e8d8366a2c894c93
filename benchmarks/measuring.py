"""What one command takes: seconds from exec to exit, CPU and peak memory of its whole process tree. Linux only; knows no contestant."""

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

__all__ = ["Taken", "cpu_s", "machine", "peak_rss_bytes", "tail", "timed"]

SAMPLE_S: Final = 0.25
"""Seconds between two looks at the memory of a tree. A look takes 5 ms for pictrawl's and 8 ms for img2dataset's, which has 140 threads:
2 to 3 % of one of the cores that they run on."""

LIMIT_S: Final = 1800.0
"""A run that takes longer hangs: the slowest, img2dataset over https with a context for each connection, needs half a minute."""

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_TAIL: Final = 2000
"""Characters of a failed command's output that are quoted."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One command. ``started_at`` is Unix time at exec; ``cpu_s`` counts user and system time of it and of all it waited for."""

    started_at: float
    wall_s: float
    cpu_s: float
    peak_mb: float
    code: int


def timed(command: Sequence[str], folder: Path, env: Mapping[str, str], *, needs: Sequence[int], beside: Sequence[int] = ()) -> Taken:
    """Run a command in a folder, its output into ``out.log`` there, after what was written before has reached the disk.

    Args:
        needs: processes without which the run is void: it is killed where one of them ends, since it might wait for hours.
        beside: processes that were started before and work for it; their memory and CPU count too, and it needs them.
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
    return Taken(started_at, wall_s, spent, peak[0] / 1024, process.returncode)


def cpu_s(pid: int) -> float:
    """CPU of a process, its living children, and those of them that have ended."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) / _TICKS + sum(cpu_s(child) for child in _children(pid))
    return 0.0


def peak_rss_bytes() -> int:
    """The most memory this process has held. Not ru_maxrss, which counts what its parent held when it forked."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [peak] = [line for line in lines if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1024


def tail(log: Path) -> str:
    """The end of what a command said."""
    with contextlib.suppress(OSError):
        return log.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
    return ""


def machine(**versions: str) -> dict[str, Any]:
    """What the figures depend on."""
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
    """Nothing of a command outlives an interrupt here, or its limit."""
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
    """Yield the peak so far, KB, of what the trees of these processes hold together; kill the first one when its needs are gone."""
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
    """Whether a process is there and has not ended; one that nobody has waited for yet still has its number."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _tree_kb(pid: int) -> int:
    return _pss_kb(pid) + sum(_tree_kb(child) for child in _children(pid))


def _pss_kb(pid: int) -> int:
    """Proportional set size: a page that several processes share counts once among them. 0 where the process is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def _children(pid: int) -> list[int]:
    """Children of any of its threads."""
    found = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found
