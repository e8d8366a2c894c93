"""One run of ``pictrawl build`` in a process of its own: what it answered, what it logged, what CPU it took, children included."""

import json
import os
import pstats
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["Built", "Counts", "build", "counts", "records"]

PREFIX: Final = "PICTRAWL_"
BUILD: Final = ("build", "--urls", "list.txt", "--json")
ACCEPTED: Final = (0, 3, 4)
"""Exit codes of a build that ran to its end, whatever came of it."""


@dataclass(frozen=True, slots=True)
class Built:
    """One run.

    Attributes:
        document: what ``--json`` printed.
        lines: what was logged, see `records`.
        cpu_s: of the process and all its children.
        workspace: where its database is.
    """

    document: Mapping[str, Any]
    lines: tuple[Mapping[str, Any], ...]
    cpu_s: float
    workspace: Path


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls for one image, from a run under the profiler."""

    retries: float
    trails: float
    lines: float
    redacted: float
    contexts: float


def build(folder: Path, urls: Sequence[str], *more: str, level: str = "INFO", profile: Path | None = None) -> Built:
    """Run a build over URLs of loopback with the defaults but for what loopback asks for; no setting of the caller's reaches it.

    Args:
        folder: made; everything goes there.
        more: further options of ``build``.
        level: of the log.
        profile: where the profiler's figures go; without it nothing is profiled.

    Raises:
        RuntimeError: the build ended with anything but a result.
    """
    folder.mkdir(parents=True)
    (folder / "list.txt").write_text("".join(f"{url}\n" for url in urls), encoding="utf-8")
    code, cpu_s = _run(_command(folder, more, level, profile), folder)
    out, err = (folder / "stdout").read_text(encoding="utf-8"), (folder / "stderr").read_text(encoding="utf-8")
    if code not in ACCEPTED:
        raise RuntimeError(f"pictrawl build ended with {code}: {(out + err)[-2000:]}")
    lines = records((folder / "log.jsonl").read_text(encoding="utf-8"))
    return Built(json.loads(out), lines, cpu_s, folder / "workspace")


def _run(command: Sequence[str], folder: Path) -> tuple[int, float]:
    """Run a command; return its exit code and the CPU that it and the processes it waited for took, whoever else runs meanwhile."""
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(command, cwd=folder, env=_environment(), stdout=out, stderr=err)  # noqa: S603 - our own command
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_utime + used.ru_stime


def _command(folder: Path, more: Sequence[str], level: str, profile: Path | None) -> list[str]:
    settings = {
        "workspace.path": folder / "workspace",
        "fetch.allow_networks": '["127.0.0.0/8"]',
        "fetch.ports": "[]",
        "fetch.per_host": 64,
        "log.level": level,
        "log.format": "json",
        "log.file": folder / "log.jsonl",
    }
    profiler = ["-m", "cProfile", "-o", str(profile)] if profile else []
    return [sys.executable, *profiler, "-m", "app.cli", *(f"--set={name}={value}" for name, value in settings.items()), *BUILD, *more]


def records(log: str) -> tuple[Mapping[str, Any], ...]:
    """The records of a log file. A line that stands for several which say the same, by its field ``repeated``, counts as so many."""
    lines = [json.loads(line) for line in log.splitlines()]
    return tuple(line for line in lines for _ in range(line.get("repeated", 1)))


def _environment() -> dict[str, str]:
    """This process's, without settings; the packages are found where this process found them."""
    ours = str(Path(__file__).parents[2])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return kept | {"PYTHONPATH": os.pathsep.join([ours, *filter(None, [kept.get("PYTHONPATH")])])}


def counts(profile: Path, images: int) -> Counts:
    """Calls for one image. The profiler counts every resumption of a coroutine, so none is among these; a context is a generator of two."""
    wanted = {
        ("tenacity/__init__.py", "begin"): "retries",
        ("downloader/trail.py", "__init__"): "trails",
        ("loguru/_logger.py", "_log"): "lines",
        ("logging_setup/redact.py", "redact"): "redacted",
        ("loguru/_logger.py", "contextualize"): "contexts",
    }
    found = dict.fromkeys(wanted.values(), 0.0)
    stats: dict[Any, Any] = pstats.Stats(str(profile)).stats  # type: ignore[attr-defined]
    for (file, _, function), (_, calls, _, _, _) in stats.items():
        for (ending, name), key in wanted.items():
            if Path(file).as_posix().endswith(ending) and function == name:
                found[key] += calls / (2 if key == "contexts" else 1) / images  # entered and left
    return Counts(**found)
