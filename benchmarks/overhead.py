"""What retrying, recording attempts and logging cost of the CPU that an image takes on its way through the pipeline.

::

    python benchmarks/overhead.py                  # 1,500 images
    python benchmarks/overhead.py --images 300 --json FILE

Three measurements: how much CPU `pictrawl build` takes for an image, child processes included; how often an image has each thing done
to it, counted by the profiler in a run of its own; and what each costs, called alone as the pipeline calls it. Needs nginx and taskset.
"""

import argparse
import asyncio
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import origin

from app.db import attempts, tables
from app.db.engine import Database
from downloader import Attempt, FetchRequest, RetryRules
from downloader.attempt import Errand
from downloader.policy import RetryPolicy
from downloader.trail import Trail
from logging_setup import configure, get_logger, redact

ROOT: Final = Path(__file__).parent.parent
MOST: Final = {"retrying and attempts": 0.05, "logging": 0.01}
GROUP: Final = 32
"""Rows that the pipeline reserves in one statement."""

BATCHES: Final = 7
CALLS: Final = 3000
CONTEXT: Final = {"job_id": "job_1", "unit_id": "unit_1", "chunk_id": "chunk_1", "worker": "wrk_1", "run": 1}
URL: Final = "https://images.example.com/photos/2024/05/a-name-of-some-length-1234567.jpg"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is done to an image: how often, at what cost."""

    part: str
    what: str
    calls: float
    cost_us: float

    @property
    def us_per_image(self) -> float:
        return self.calls * self.cost_us


@dataclass(frozen=True, slots=True)
class Build:
    """One run of the pipeline."""

    cpu_us_per_image: float
    lines_per_image: float


def build(folder: Path, base: str, images: int, profile: Path | None = None) -> Build:
    """Run ``pictrawl build`` over images of the origin, with its defaults but for what loopback asks for."""
    folder.mkdir()
    (folder / "list.txt").write_text("".join(f"{url}\n" for url in origin.urls_of(base, images)))
    settings = {
        "workspace.path": folder / "workspace",
        "fetch.allow_networks": '["127.0.0.0/8"]',
        "fetch.ports": "[]",
        "fetch.per_host": 64,
        "log.level": "INFO",
        "log.format": "json",
        "log.file": folder / "log.jsonl",
    }
    command = [sys.executable, *(["-m", "cProfile", "-o", str(profile)] if profile else []), "-m", "app.cli"]
    command += [f"--set={name}={value}" for name, value in settings.items()]
    command += ["build", "--urls", "list.txt", "--dedupe", "none", "--json"]
    before = _children_cpu_s()
    with (folder / "stderr").open("w") as log:
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, stdout=subprocess.PIPE, stderr=log
        )
    cpu_s = _children_cpu_s() - before
    kept = json.loads(done.stdout)["funnel"]["kept"]
    if kept != images:
        raise SystemExit(f"{kept} of {images} images were kept")
    lines = len((folder / "log.jsonl").read_text().splitlines())
    return Build(cpu_s / images * 1e6, lines / images)


def _children_cpu_s() -> float:
    """CPU of all children that have ended, and of theirs."""
    times = os.times()
    return times.children_user + times.children_system


def counts(profile: Path, images: int) -> dict[str, float]:
    """Calls for one image. The profiler counts every resumption of a coroutine, so none is among these; a context is a generator of two."""
    wanted = {
        ("tenacity/__init__.py", "begin"): "retries",
        ("downloader/trail.py", "__init__"): "trails",
        ("loguru/_logger.py", "_log"): "lines",
        ("logging_setup/redact.py", "redact"): "redacted",
    }
    found = dict.fromkeys(wanted.values(), 0.0) | {"contexts": 0.0}
    stats: dict[Any, Any] = pstats.Stats(str(profile)).stats  # type: ignore[attr-defined]
    for (file, _, function), (_, calls, _, _, _) in stats.items():
        if file.endswith("loguru/_logger.py") and function == "contextualize":
            found["contexts"] += calls / 2 / images  # entered and left
        for (ending, name), key in wanted.items():
            if file.endswith(ending) and function == name:
                found[key] += calls / images
    return found


def cost_us(call: Callable[[], object]) -> float:
    """The least CPU of several batches, in microseconds a call."""
    best = float("inf")
    for _ in range(BATCHES):
        started = time.process_time()
        for _ in range(CALLS):
            call()
        best = min(best, time.process_time() - started)
    return best / CALLS * 1e6


async def cost_of_coroutine_us(call: Callable[[], Awaitable[object]]) -> float:
    """As `cost_us`, for what is awaited."""
    best = float("inf")
    for _ in range(BATCHES):
        started = time.process_time()
        for _ in range(CALLS):
            await call()
        best = min(best, time.process_time() - started)
    return best / CALLS * 1e6


class _Memory:
    """An attempt log that remembers one thing."""

    async def reserve(self, request: FetchRequest, number: int) -> None:
        self.last: object = number

    def record(self, request: FetchRequest, attempt: Attempt) -> None:
        self.last = attempt


async def retrying_costs(workspace: Path) -> dict[str, float]:
    """Tenacity, the record in memory, the record's rows in the run's own database."""
    policy = RetryPolicy(RetryRules(), sleep=asyncio.sleep)
    request, log, errand = FetchRequest(URL, key="1"), _Memory(), Errand(120.0)
    watch = Trail(request, errand, log, time.time)

    async def nothing(number: int = 1) -> int:
        return number

    async def recorded() -> None:
        trail = Trail(request, errand, log, time.time)
        await trail.follow(1, lambda: trail.reserve(1))
        trail.close()

    bare = await cost_of_coroutine_us(nothing)
    return {
        "retry": await cost_of_coroutine_us(lambda: policy.run(nothing, host="images.example.com", watch=watch)) - bare,
        "record": await cost_of_coroutine_us(recorded) - bare,
        "rows": await rows_cost_us(workspace),
    }


async def rows_cost_us(workspace: Path) -> float:
    """Reserve and record a second attempt for every image of the run, in groups as the pipeline does."""
    [file] = [path for path in workspace.glob("*.db") if path.is_file()]
    db = Database(f"sqlite+aiosqlite:///{file}")
    try:
        async with db.write() as connection:
            rows = (await connection.execute(tables.attempts.select())).all()
        unit: Any = SimpleNamespace(job_id=rows[0].job_id, epoch=rows[0].epoch)
        started = time.process_time()
        for at in range(0, len(rows), GROUP):
            group = [row.image_id for row in rows[at : at + GROUP]]
            async with db.write() as connection:
                await attempts.reserve(connection, unit, [(image_id, 2) for image_id in group])
            async with db.write() as connection:
                await attempts.record(connection, unit, [(image_id, 2, Attempt(2, time.time(), 0.1, status=200)) for image_id in group])
        return (time.process_time() - started) / len(rows) * 1e6
    finally:
        await db.close()


def logging_costs(folder: Path) -> dict[str, float]:
    """A line to the stream and the file, a line that is filtered out, a context, a URL made fit for a line."""
    with Path(os.devnull).open("w") as stream:
        configure("INFO", "json", str(folder / "lines.jsonl"), stream)
        log = get_logger(__name__)

        def context() -> None:
            with log.contextualize(url=URL):
                pass

        with log.contextualize(**CONTEXT):
            costs = {
                "line": cost_us(lambda: log.info("chunk.fetched", ok=97, failed=3)),
                "filtered": cost_us(lambda: log.debug("download.fetched", status=200, size_bytes=100_000)),
                "context": cost_us(context),
            }
    return costs | {"redact": cost_us(lambda: redact(URL))}


def table(run: Build, often: dict[str, float], cost: dict[str, float]) -> list[Line]:
    """Put counts and costs together."""
    retrying, logging = MOST
    return [
        Line(retrying, "Tenacity call", often["retries"], cost["retry"]),
        Line(retrying, "attempt record, in memory", often["trails"], cost["record"]),
        Line(retrying, f"attempt record, its rows ({GROUP} a statement)", often["trails"], cost["rows"]),
        Line(logging, "line to stream and file", run.lines_per_image, cost["line"]),
        Line(logging, "line that is filtered out", max(0.0, often["lines"] - run.lines_per_image), cost["filtered"]),
        Line(logging, "context entered and left", often["contexts"], cost["context"]),
        Line(logging, "text made fit for a line", often["redacted"], cost["redact"]),
    ]


def show(run: Build, lines: list[Line]) -> dict[str, bool]:
    """Print the table; return what is within its bound."""
    print(f"CPU for one image, from list to dataset: {run.cpu_us_per_image:,.0f} us\n")
    print(f"{'part':<24}{'what':<44}{'calls':>8}{'us a call':>11}{'us an image':>13}{'share':>9}")
    for line in lines:
        share = line.us_per_image / run.cpu_us_per_image
        print(f"{line.part:<24}{line.what:<44}{line.calls:>8.2f}{line.cost_us:>11.2f}{line.us_per_image:>13.2f}{share:>9.3%}")
    verdicts = {}
    print()
    for part, most in MOST.items():
        share = sum(line.us_per_image for line in lines if line.part == part) / run.cpu_us_per_image
        verdicts[part] = share < most
        print(f"{part}: {share:.2%} of an image's CPU, bound {most:.0%}: {'ok' if verdicts[part] else 'MISSED'}")
    return verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "pictrawl-bench", help="scratch folder, kept")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    place = origin.make_place(options.home)
    with tempfile.TemporaryDirectory(prefix="pictrawl-overhead-") as name, origin.started(place, origin.cores()[1]) as served:
        folder = Path(name)
        run = build(folder / "timed", served.http, options.images)
        build(folder / "counted", served.http, options.images, folder / "profile")
        often = counts(folder / "profile", options.images)
        cost = asyncio.run(retrying_costs(folder / "timed" / "workspace")) | logging_costs(folder)
    lines = table(run, often, cost)
    verdicts = show(run, lines)
    if options.json:
        report = {"build": asdict(run), "lines": [asdict(line) for line in lines], "within": verdicts}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
