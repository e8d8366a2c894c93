"""CPU that retries, attempt records and logging take of an image's way through the pipeline.

::

    python benchmarks/overhead.py                  # 1,500 images
    python benchmarks/overhead.py --images 300 --json FILE

The share of a part is its calls per image, times its cost per call, over the CPU of one image: a machine's speed drifts by more than the
shares, so a run with and a run without the part would show nothing. The CPU of an image is that of `pictrawl build`, child processes
included; the calls are counted by the profiler in a second run; the costs are measured by calling each part alone. Needs nginx and taskset.
"""

import argparse
import asyncio
import itertools
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import origin

from app.db import attempts, tables
from app.db.engine import Database
from downloader import Attempt, FetchRequest, RetryRules
from downloader.fetch_state import FetchState
from downloader.retry import RetryPolicy
from logging_setup import get_logger, redact
from logging_setup.config import configure

__all__ = ["BOUNDS", "LOGGING", "RETRYING", "Counts", "LoggingCosts", "Part", "RetryCosts", "build", "counts", "parts", "share_of"]

RETRYING: Final = "retries and attempts"
LOGGING: Final = "logging"
BOUNDS: Final[Mapping[str, float]] = {RETRYING: 0.05, LOGGING: 0.01}
"""The share that each may take of the CPU of an image."""

ROOT: Final = Path(__file__).parent.parent
GROUP: Final = 32
"""Rows that the pipeline reserves in one statement."""

BATCHES: Final = 7
DISTINCT: Final = 10_000
"""URLs that are redacted in turn: more than the cache of `redact` holds, since a crawl's URLs do not repeat."""

CONTEXT: Final = {"job_id": "job_1", "unit_id": "unit_1", "chunk_id": "chunk_1", "worker": "wrk_1", "run": 1}
URL: Final = "https://images.example.com/photos/2024/05/a-name-of-some-length-1234567.jpg"


@dataclass(frozen=True, slots=True)
class Built:
    """One run of ``pictrawl build``: what ``--json`` printed, its log lines, and the CPU of the process and its children."""

    document: Mapping[str, Any]
    lines: int
    cpu_s: float
    workspace: Path


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls per image, from a run under the profiler."""

    retries: float
    states: float
    lines: float
    redacted: float
    contexts: float


@dataclass(frozen=True, slots=True)
class RetryCosts:
    """Microseconds per call: Tenacity, the record of an attempt in memory, its rows in a database."""

    retry_us: float
    record_us: float
    rows_us: float


@dataclass(frozen=True, slots=True)
class LoggingCosts:
    """Microseconds per call: a written line, a filtered line, a context, a redacted URL."""

    line_us: float
    filtered_us: float
    context_us: float
    redact_us: float


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is done to an image: how often, at what cost."""

    of: str
    what: str
    calls: float
    cost_us: float

    @property
    def us_per_image(self) -> float:
        return self.calls * self.cost_us


def parts(often: Counts, lines_per_image: float, retrying: RetryCosts, logging: LoggingCosts) -> tuple[Part, ...]:
    """Combine counts and costs."""
    return (
        Part(RETRYING, "Tenacity call", often.retries, retrying.retry_us),
        Part(RETRYING, "attempt record, in memory", often.states, retrying.record_us),
        Part(RETRYING, f"attempt record, its rows ({GROUP} a statement)", often.states, retrying.rows_us),
        Part(LOGGING, "line to stream and file", lines_per_image, logging.line_us),
        Part(LOGGING, "line that is filtered out", max(0.0, often.lines - lines_per_image), logging.filtered_us),
        Part(LOGGING, "context entered and left", often.contexts, logging.context_us),
        Part(LOGGING, "URL redacted for a line", often.redacted, logging.redact_us),
    )


def share_of(of: str, found: Sequence[Part], cpu_us_per_image: float) -> float:
    """Return the share of an image's CPU that the parts of one kind take."""
    return sum(part.us_per_image for part in found if part.of == of) / cpu_us_per_image


# --- a run of the pipeline


def build(folder: Path, urls: Sequence[str], *more: str, profile: Path | None = None) -> Built:
    """Run ``pictrawl build`` over loopback URLs, with the default settings save what loopback needs.

    Args:
        folder: created; all files of the run go there.
        more: further options of ``build``.
        profile: file for the profiler's figures; without it nothing is profiled.

    Raises:
        SystemExit: not every image was kept.
    """
    folder.mkdir(parents=True)
    (folder / "list.txt").write_text("".join(f"{url}\n" for url in urls), encoding="utf-8")
    settings = {
        "workspace.path": folder / "workspace",
        "fetch.allow_networks": '["127.0.0.0/8"]',
        "fetch.ports": "[]",
        "fetch.per_host": 64,
        "log.level": "INFO",
        "log.format": "json",
        "log.file": folder / "log.jsonl",
    }
    profiler = ["-m", "cProfile", "-o", str(profile)] if profile else []
    options = [f"--set={name}={value}" for name, value in settings.items()]
    command = [sys.executable, *profiler, "-m", "app.cli", *options, "build", "--urls", "list.txt", "--json", "--dedupe", "none", *more]
    cpu_s = _run(command, folder)
    out = (folder / "stdout").read_text(encoding="utf-8")
    document = json.loads(out) if out.startswith("{") else {}
    if document.get("funnel", {}).get("kept") != len(urls):
        raise SystemExit(f"not every image was kept: {(out + (folder / 'stderr').read_text(encoding='utf-8'))[-2000:]}")
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return Built(document, sum(line.get("repeated", 1) for line in log), cpu_s, folder / "workspace")


def _run(command: Sequence[str], folder: Path) -> float:
    """Run a command without any setting of the caller's; return the CPU of it and of the processes it waited for, seconds."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PICTRAWL_")} | {"PYTHONPATH": str(ROOT)}
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=out, stderr=err)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime


def counts(profile: Path, images: int) -> Counts:
    """Return calls per image. The profiler counts each resumption of a generator, so a context, entered and left, counts as two."""
    wanted = {
        ("tenacity/__init__.py", "begin"): "retries",
        ("downloader/fetch_state.py", "__init__"): "states",
        ("loguru/_logger.py", "_log"): "lines",
        ("logging_setup/redact.py", "redact"): "redacted",
        ("loguru/_logger.py", "contextualize"): "contexts",
    }
    found = dict.fromkeys(wanted.values(), 0.0)
    stats: dict[Any, Any] = pstats.Stats(str(profile)).stats  # type: ignore[attr-defined]
    for (file, _, function), (_, calls, _, _, _) in stats.items():
        for (ending, name), key in wanted.items():
            if Path(file).as_posix().endswith(ending) and function == name:
                found[key] += calls / (2 if key == "contexts" else 1) / images
    return Counts(**found)


# --- the cost of a call


async def retry_costs(workspace: Path, calls: int = 3000) -> RetryCosts:
    """Call the retry layer ``calls`` times and more; the rows go into the database of a run, which changes it."""
    policy = RetryPolicy(RetryRules(), clock=time.time, sleep=asyncio.sleep)
    request, log = FetchRequest(URL, key="1"), _Memory()

    def state() -> FetchState:
        return FetchState(request, 120.0, clock=time.time, log=log)

    async def nothing(_: object = None) -> None: ...

    async def recorded() -> None:
        recording = state()
        await recording.run_attempt(FetchState.reserve)
        recording.record_attempt()

    bare = await _coroutine_us(nothing, calls)
    record_us = await _coroutine_us(recorded, calls) - bare
    return RetryCosts(
        await _coroutine_us(lambda: policy.run(nothing, state()), calls) - record_us - bare,
        record_us,
        await _rows_us(workspace),
    )


def logging_costs(folder: Path, calls: int = 3000) -> LoggingCosts:
    """Log ``calls`` times and more, at INFO, into a stream and a file. Configures the log of this process again."""
    with Path(os.devnull).open("w") as stream:
        configure("INFO", "json", str(folder / "lines.jsonl"), stream)
        log = get_logger(__name__)
        urls = itertools.cycle([f"{URL}?{number}" for number in range(DISTINCT)])

        def context() -> None:
            with log.contextualize(url=URL):
                pass

        with log.contextualize(**CONTEXT):
            costs = LoggingCosts(
                _call_us(lambda: log.info("chunk.fetched", ok=97, failed=3), calls),
                _call_us(lambda: log.debug("download.fetched", status=200, size_bytes=100_000), calls),
                _call_us(context, calls),
                _call_us(lambda: redact(next(urls)), calls),
            )
        configure()
    return costs


class _Memory:
    """An attempt log that keeps the last entry."""

    async def reserve(self, request: FetchRequest, number: int) -> None:
        self.last: object = number

    def record(self, request: FetchRequest, attempt: Attempt) -> None:
        self.last = attempt


async def _rows_us(workspace: Path) -> float:
    """Reserve and record a second attempt for every image of the run, in groups as the pipeline does."""
    db = Database(f"sqlite+aiosqlite:///{workspace / 'pictrawl.db'}")
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


def _call_us(call: Callable[[], object], calls: int) -> float:
    """Return the least CPU of several batches, microseconds per call."""
    best = float("inf")
    for _ in range(BATCHES):
        started = time.process_time()
        for _ in range(calls):
            call()
        best = min(best, time.process_time() - started)
    return best / calls * 1e6


async def _coroutine_us(call: Callable[[], Awaitable[object]], calls: int) -> float:
    """Return the same for an awaitable."""
    best = float("inf")
    for _ in range(BATCHES):
        started = time.process_time()
        for _ in range(calls):
            await call()
        best = min(best, time.process_time() - started)
    return best / calls * 1e6


# --- the table


def show(cpu_us_per_image: float, found: Sequence[Part]) -> dict[str, bool]:
    """Print the table; return which shares are within their bounds."""
    print(f"CPU for one image, from list to dataset: {cpu_us_per_image:,.0f} us\n")
    print(f"{'part':<24}{'what':<44}{'calls':>8}{'us a call':>11}{'us an image':>13}{'share':>9}")
    for part in found:
        share = part.us_per_image / cpu_us_per_image
        print(f"{part.of:<24}{part.what:<44}{part.calls:>8.2f}{part.cost_us:>11.2f}{part.us_per_image:>13.2f}{share:>9.3%}")
    verdicts = {}
    print()
    for of, most in BOUNDS.items():
        share = share_of(of, found, cpu_us_per_image)
        verdicts[of] = share < most
        print(f"{of}: {share:.2%} of an image's CPU, bound {most:.0%}: {'ok' if verdicts[of] else 'MISSED'}")
    return verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "pictrawl-bench", help="scratch folder, kept")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    place = origin.make_place(options.home)
    with tempfile.TemporaryDirectory(prefix="pictrawl-overhead-") as name, origin.started(place, origin.cores()[1]) as served:
        folder, urls = Path(name), origin.urls_of(served.http, options.images)
        run = build(folder / "timed", urls)
        build(folder / "counted", urls, profile=folder / "profile")
        often = counts(folder / "profile", options.images)
        retrying, logging = asyncio.run(retry_costs(run.workspace)), logging_costs(folder)
    cpu_us_per_image = run.cpu_s / options.images * 1e6
    found = parts(often, run.lines / options.images, retrying, logging)
    verdicts = show(cpu_us_per_image, found)
    if options.json:
        report = {"cpu_us_per_image": cpu_us_per_image, "parts": [asdict(part) for part in found], "within": verdicts}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
