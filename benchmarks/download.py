"""Speed, CPU and memory of the downloader, compared with other clients.

::

    python benchmarks/download.py                                       # 5 rounds, a table, the targets
    python benchmarks/download.py --rounds 3 --img2dataset --json FILE  # with img2dataset over https

Every client runs in a fresh process on one core, nginx on the other; the clients take turns in every round, and ratios are of one
round each, because a machine's speed drifts. Needs nginx and taskset. What is measured beside us is installed into a scratch folder.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import clients
import httpx
import origin
import peers

ROOT: Final = Path(__file__).parent.parent
SLOW: Final = frozenset({"httpx-kept", "httpx-default"})
"""These get the plain count of images, the others twice as many, so that no run takes a minute."""

IN_FLIGHT: Final = 64
SWEEP: Final = (16, 256)
IMG2DATASET_IMAGES: Final = 600
IMG2DATASET_THREADS: Final = 16


# --- targets

Runs = dict[str, list[dict[str, Any]]]
"""The results of every client, by its label, a round each."""

_MOST_RSS_MB: Final = 150.0
_MOST_DRIFT: Final = 0.2
_RECEIVING_MB: Final = 1.5
"""What a connection may hold beside its body: the read-ahead of aiohttp and one read of the event loop, both copied."""

_GROWING: Final = 1.125
"""A buffer that grows without a known length is an eighth larger than its content."""


@dataclass(frozen=True, slots=True)
class Check:
    """One target. ``measured`` is a median over the rounds, ``spread`` their range."""

    name: str
    bound: str
    measured: float
    spread: str
    met: bool


def label(client: str, in_flight: int, scheme: str) -> str:
    """Return the name of a line of the table."""
    return f"{client}, {scheme}, {in_flight} in flight"


def check(runs: Runs, worst: Sequence[dict[str, Any]]) -> list[Check]:
    """Return all targets whose clients have run."""
    ours = label("pictrawl", 64, "http")
    found = [
        _speed(runs, "x httpx that keeps 64 connections", ours, label("httpx-kept", 64, "http"), 8),
        _speed(runs, "x httpx with its default limits", ours, label("httpx-default", 64, "http"), 3),
        _speed(runs, "x 16 httpx clients with 4 connections each", ours, label("httpx-sharded", 64, "http"), 2),
        _cpu(runs, "CPU per image, in that of bare aiohttp", ours, label("aiohttp", 64, "http"), 4),
        *(_flat(runs, other) for other in (64, 256)),
        _speed(runs, "x img2dataset over https", label("pictrawl", 64, "https"), label("img2dataset", 16, "https"), 8),
        _memory(runs, ours),
        *(_bounded(result) for result in worst),
    ]
    return [check for check in found if check is not None]


def _speed(runs: Runs, name: str, ours: str, other: str, least: float) -> Check | None:
    return _ratio(runs, name, "images_per_s", (ours, other), f">= {least:g}", lambda ratio: ratio >= least)


def _cpu(runs: Runs, name: str, ours: str, other: str, most: float) -> Check | None:
    return _ratio(runs, name, "cpu_ms", (ours, other), f"<= {most:g}", lambda ratio: ratio <= most)


def _flat(runs: Runs, in_flight: int) -> Check | None:
    low, high = 1 - _MOST_DRIFT, 1 + _MOST_DRIFT
    pair = (label("pictrawl", in_flight, "http"), label("pictrawl", 16, "http"))
    name = f"CPU per image with {in_flight} in flight, in that with 16"
    return _ratio(runs, name, "cpu_ms", pair, f"{low:g} to {high:g}", lambda ratio: low <= ratio <= high)


def _ratio(runs: Runs, name: str, field: str, pair: tuple[str, str], bound: str, met: Callable[[float], bool]) -> Check | None:
    ours, others = (runs.get(client) for client in pair)
    if not ours or not others:
        return None
    ratios = [mine[field] / other[field] for mine, other in zip(ours, others, strict=True)]
    median = statistics.median(ratios)
    return Check(name, bound, round(median, 3), f"{min(ratios):.2f} to {max(ratios):.2f}", met(median))


def _memory(runs: Runs, ours: str) -> Check | None:
    peaks = [result["peak_rss_mb"] for result in runs.get(ours, [])]
    if not peaks:
        return None
    return Check("peak memory, MB", f"< {_MOST_RSS_MB:g}", max(peaks), f"{min(peaks):.0f} to {max(peaks):.0f}", max(peaks) < _MOST_RSS_MB)


def _bounded(worst: dict[str, Any]) -> Check:
    most = worst["before_mb"] + worst["in_flight"] * (worst["max_bytes_mb"] * _GROWING + _RECEIVING_MB)
    return Check(f"peak memory with {worst['kind']} bodies, MB", f"< {most:.0f}", worst["peak_mb"], "", worst["peak_mb"] < most)


# --- runs


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the table: a client, its requests in flight, its scheme."""

    client: str
    in_flight: int = IN_FLIGHT
    scheme: str = "http"

    @property
    def label(self) -> str:
        return label(self.client, self.in_flight, self.scheme)


HTTP: Final = (
    Entry("pictrawl"),
    *(Entry("pictrawl", in_flight) for in_flight in SWEEP),
    Entry("httpx-kept"),
    Entry("httpx-default"),
    Entry("httpx-sharded"),
    Entry("aiohttp"),
    Entry("our-transport"),
)
HTTPS: Final = (Entry("pictrawl", scheme="https"), Entry("aiohttp", scheme="https"))
WITH_IMG2DATASET: Final = Entry("img2dataset", IMG2DATASET_THREADS, "https")


class Bench:
    """Runs clients against one origin."""

    def __init__(self, place: origin.Place, served: origin.Origin, core: int, count: int) -> None:
        self._place = place
        self._base = {"http": served.http, "https": served.https}
        self._core = core
        self._count = count
        self._env = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(self, entry: Entry) -> dict[str, Any]:
        """Measure one client once."""
        base = self._base[entry.scheme]
        if entry.client == "img2dataset":
            return peers.img2dataset(self._place, base, IMG2DATASET_IMAGES, core=self._core, threads=entry.in_flight)
        count = self._count * (1 if entry.client in SLOW else 2)
        flags = {"client": entry.client, "base": base, "home": self._place.home, "count": count, "in-flight": entry.in_flight}
        return self._python(flags)

    def worst_case(self, kind: str) -> dict[str, Any]:
        """Measure the peak memory over bodies of the largest size."""
        return self._python({"bodies": kind, "base": self._base["http"], "home": self._place.home, "in-flight": IN_FLIGHT})

    def _python(self, flags: dict[str, Any]) -> dict[str, Any]:
        command = ["taskset", "-c", str(self._core), sys.executable, clients.__file__]
        command += [f"--{name}={value}" for name, value in flags.items()]
        done = subprocess.run(command, env=self._env, check=True, stdout=subprocess.PIPE, text=True)
        result: dict[str, Any] = json.loads(done.stdout)
        return result


def take_turns(bench: Bench, entries: Sequence[Entry], rounds: int) -> Iterator[Runs]:
    """Run every client once a round, each round starting with a different one; yield all results so far after each round."""
    runs: Runs = {entry.label: [] for entry in entries}
    for number in range(rounds):
        first = number * 3 % len(entries)
        for entry in (*entries[first:], *entries[:first]):
            print(f"round {number + 1}/{rounds}: {entry.label}    ", end="\r", file=sys.stderr, flush=True)
            runs[entry.label].append(bench.run(entry))
        yield runs


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False).stderr.strip()
    models = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": models[0] if models else platform.machine(),
        "python": platform.python_version(),
        "aiohttp": aiohttp.__version__,
        "httpx": httpx.__version__,
        "origin": nginx.rpartition(": ")[2],
        "load_before": os.getloadavg()[0],
    }


def print_table(runs: Runs) -> None:
    """Print a line for each client: median and range of the rounds."""
    print(f"\n{'client':<30}{'images/s':>10}{'range':>18}{'CPU ms/image':>14}{'range':>18}{'peak MB':>9}")
    for label, results in runs.items():
        speed = [result["images_per_s"] for result in results]
        cpu = [result["cpu_ms"] for result in results if "cpu_ms" in result]
        peak = max((result["peak_rss_mb"] for result in results if "peak_rss_mb" in result), default=None)
        line = f"{label:<30}{statistics.median(speed):>10,.0f}{f'{min(speed):,.0f} to {max(speed):,.0f}':>18}"
        if cpu:
            line += f"{statistics.median(cpu):>14.3f}{f'{min(cpu):.3f} to {max(cpu):.3f}':>18}{peak:>9,.0f}"
        print(line)


def print_worst(worst: Sequence[dict[str, Any]]) -> None:
    print()
    for found in worst:
        print(
            "{kind} bodies, {in_flight} in flight, max_bytes {max_bytes_mb} MB: {before_mb} MB before, {peak_mb} MB at most; "
            "in flight x max_bytes and what was before: {bound_mb} MB".format(**found)
        )


def print_targets(checks: Sequence[Check]) -> None:
    print(f"\n{'target':<58}{'bound':>10}{'measured':>10}{'range':>16}")
    for check in checks:
        print(f"{check.name:<58}{check.bound:>10}{check.measured:>10.2f}{check.spread:>16}  {'ok' if check.met else 'MISSED'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=3000, help="images of a run; twice as many for all but the slow ones")
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "pictrawl-bench", help="scratch folder, kept")
    parser.add_argument("--clients", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--img2dataset", action="store_true", help="also img2dataset, over https; its first run installs 1 GB")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run there, after every round")
    options = parser.parse_args()
    entries = [*HTTP, *HTTPS, *([WITH_IMG2DATASET] if options.img2dataset else [])]
    entries = [entry for entry in entries if options.clients is None or entry.client in options.clients]
    about = machine()
    client_core, origin_core = origin.cores()
    place = origin.make_place(options.home)
    with origin.started(place, origin_core) as served:
        bench = Bench(place, served, client_core, options.count)
        worst = [] if options.clients else [bench.worst_case(kind) for kind in clients.BODIES]
        for runs in take_turns(bench, entries, options.rounds):
            about["load_after"] = os.getloadavg()[0]
            checks = check(runs, worst)
            if options.json:  # after every round, so that an interrupt loses only that round
                report = {"machine": about, "runs": runs, "worst_case": worst, "targets": [asdict(check) for check in checks]}
                options.json.write_text(json.dumps(report, indent=1) + "\n")
    print(", ".join(f"{name} {value}" for name, value in about.items()), " " * 20)
    print_table(runs)
    print_worst(worst)
    print_targets(checks)


if __name__ == "__main__":
    main()
