"""How long the questions "why is this image not in my dataset?" and "why is this job slow?" take, over a job of 10,000 images.

::

    python benchmarks/explain.py                          # SQLite, and PostgreSQL where its programs are installed
    python benchmarks/explain.py --events 100000          # with as many lines in the job's log as ten such jobs would write

Each answer is timed inside this process, from the database that is open to the text that is printed, and as a user sees it: the whole
command, from its start to its first line and to its end. Makes its databases itself, with the failures and retries of a bad day: one image
in ten needed a retry, one in ten failed, over 200 hosts.
"""

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from app.cli.explain import image_text, load_explanation
from app.db import Database, events, schema, tables
from app.db.events import EventFilter
from app.explain import find_images, image_story
from tests.services import PostgresServer, missing_packages

JOB, DATASET = "job_" + "1" * 32, "ds_" + "1" * 32
START = 1_790_000_000.0
HOSTS, CHUNK = 200, 100
MEASURES = {"width": 640.0, "height": 480.0, "pixels": 307200.0, "aspect": 1.3333, "truncated": 0.0, "frames": 1.0, "entropy": 6.5}
BARE = "https://img7.example/photos/7.jpg"
"""The list has it with a query."""


@dataclass(frozen=True, slots=True)
class Row:
    """One question on one database."""

    database: str
    question: str
    inside: Sequence["Taken"]
    outside: Sequence["Taken"]

    def line(self) -> str:
        inside = f"{_median(self.inside, 'wall_ms')} (best {min(taken.wall_ms for taken in self.inside):.0f})"
        cells = [inside, _median(self.inside, "cpu_ms"), *(_median(self.outside, name) for name in ("first_ms", "wall_ms", "cpu_ms"))]
        return " | ".join(["", self.database, self.question, *cells, ""]).strip()


@dataclass(frozen=True, slots=True)
class Taken:
    """One answer, in milliseconds. ``cpu_ms`` does not grow where others use the machine; a PostgreSQL server's is not in it."""

    wall_ms: float
    cpu_ms: float
    first_ms: float = 0.0


def _median(answers: Sequence[Taken], name: str) -> str:
    return f"{statistics.median(getattr(taken, name) for taken in answers):.0f}"


async def fill(db: Database, images: int, lines: int) -> None:
    """A finished job with its images, attempts, units and log."""
    await schema.upgrade(db)
    await _insert(db, tables.datasets, [{"id": DATASET, "user_id": "local", "name": "bench", "created_at": START}])
    await _insert(db, tables.jobs, [_job()])
    await _insert(db, tables.searches, [_search()])
    await _insert(db, tables.units, [*_units(images)])
    await _insert(db, tables.images, [_image(at) for at in range(1, images + 1)])
    await _insert(db, tables.attempts, [row for at in range(1, images + 1) for row in _attempts(at)])
    await _insert_events(db, [_event(at, images) for at in range(lines)])


async def _insert(db: Database, table: Any, rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), 1000):
        async with db.write() as connection:
            await connection.execute(insert(table), rows[start : start + 1000])


async def _insert_events(db: Database, rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), 2000):
        await events.add(db, rows[start : start + 2000])


def _job() -> dict[str, Any]:
    moving = {"kind": "build", "state": "succeeded", "desired_state": "running", "open_units": 0, "rounds": 0}
    times = {"created_at": START, "started_at": START + 2, "finished_at": START + 900}
    spec = {"validation": {"level": "standard"}, "near_distance": 6}
    return {"id": JOB, "user_id": "local", "dataset_id": DATASET, "spec": spec, "min_images": 0, "priority": 0} | moving | times


def _search() -> dict[str, Any]:
    counted = {"found": 10_000, "new": 10_000, "bad": 0, "is_exhausted": True}
    return {"id": "srch_1", "job_id": JOB, "source": "list", "keyword": "list.txt", "label": None} | counted


def _units(images: int) -> Iterator[dict[str, Any]]:
    for at in range(images // CHUNK):
        for kind, queue in (("fetch", "builder"), ("validate", "validator")):
            times = {"not_before": 0.0, "created_at": START + at, "finished_at": START + at + 60}
            ids = {"id": f"unit_{kind}_{at}", "job_id": JOB, "payload": {"chunk_id": f"chunk_{at}"}}
            yield ids | times | {"kind": kind, "queue": queue, "state": "done", "epoch": 1, "crashes": 0}


def _url(at: int) -> str:
    return f"https://img{at % HOSTS}.example/photos/{at}.jpg" + ("?size=large" if at % 1000 == 7 else "")


def _image(at: int) -> dict[str, Any]:
    from app.db.images import url_digest

    is_bad = at % 10 == 3
    chunk = {"chunk_id": f"chunk_{(at - 1) // CHUNK}", "search_id": "srch_1", "line": at, "rank": at}
    ids = {"id": at, "dataset_id": DATASET, "job_id": JOB, "url": _url(at), "url_key": url_digest(_url(at)), "source": "list"}
    told = {"robots": "allowed", "opt_out": "not_read" if is_bad else "none", "updated_at": START + 800}
    ended = {
        "state": "failed" if is_bad else "kept",
        "reason": "service_unavailable" if is_bad else None,
        "split": None if is_bad else "train",
    }
    known = (
        {"sha256": None, "measures": None, "size_bytes": None}
        if is_bad
        else {"sha256": f"{at:064x}", "measures": MEASURES, "size_bytes": 9}
    )
    return ids | chunk | told | ended | known


def _attempts(at: int) -> Iterator[dict[str, Any]]:
    failing = 3 if at % 10 == 3 else 1 if at % 10 == 7 else 0
    for number in range(1, failing + 1):
        yield _attempt(at, number, status=503, reason="service_unavailable", wait_s=2.0 * number if number < 3 else 0.0)
    if failing < 3:
        yield _attempt(at, failing + 1, status=200, reason=None, wait_s=0.0)


def _attempt(at: int, number: int, *, status: int, reason: str | None, wait_s: float) -> dict[str, Any]:
    asked = {"job_id": JOB, "image_id": at, "number": number, "epoch": 1, "state": "done", "started_at": START + at / 20 + 5 * number}
    got = {"elapsed_s": 0.3, "queued_s": 0.2, "status": status, "error": "ServiceUnavailableError" if reason else None, "reason": reason}
    return asked | got | {"wait_s": wait_s, "wait_cause": "backoff" if wait_s else ""}


def _event(at: int, images: int) -> dict[str, Any]:
    """One line in ten is a retry; the first of them stands in the middle, behind lines that no warning is among."""
    image = at % images + 1
    told = {"chunk_id": f"chunk_{(image - 1) // CHUNK}", "unit_id": f"unit_fetch_{(image - 1) // CHUNK}", "job": "process_chunk", "run": 1}
    if at % 10 or at < 1000:
        return {"job_id": JOB, "at": START + at / 100, "level": "INFO", "event": "chunk.fetched", "data": told | {"ok": 97, "failed": 3}}
    retry = {"url": _url(image), "host": f"img{image % HOSTS}.example", "attempt_number": 1, "wait_s": 2.1, "status": 503}
    return {"job_id": JOB, "at": START + at / 100, "level": "WARNING", "event": "download.retry", "data": told | retry}


Ask = Callable[[Database], Awaitable[object]]


async def _job_text(db: Database) -> str:
    return (await load_explanation(db, JOB)).text()


def _image_text(what: str) -> Ask:
    async def ask(db: Database) -> str:
        return image_text(await image_story(db, await find_images(db, what)))

    return ask


def _page(**wanted: str) -> Ask:
    async def ask(db: Database) -> object:
        return await events.after(db, JOB, EventFilter(**wanted))

    return ask


QUESTIONS: tuple[tuple[str, tuple[str, ...], Ask], ...] = (
    ("explain JOB", ("explain", JOB), _job_text),
    ("explain URL", ("explain", _url(4003)), _image_text(_url(4003))),
    ("explain URL, without its query", ("explain", BARE), _image_text(BARE)),
    ("explain IMAGE", ("explain", "4003"), _image_text("4003")),
    ("jobs logs --level warning", ("jobs", "logs", JOB, "--level", "warning", "-n", "100"), _page(level="warning")),
    ("jobs logs --level error", ("jobs", "logs", JOB, "--level", "error", "-n", "100"), _page(level="error")),
    ("jobs logs --host", ("jobs", "logs", JOB, "--host", "img31.example", "-n", "100"), _page(host="img31.example")),
    ("jobs logs --url", ("jobs", "logs", JOB, "--url", _url(1001), "-n", "100"), _page(url=_url(1001))),
    ("jobs logs --chunk", ("jobs", "logs", JOB, "--event", "download.", "-n", "100"), _page(chunk_id="chunk_42")),
    ("jobs logs --event, none such", ("jobs", "logs", JOB, "--event", "list.", "-n", "100"), _page(event="list.")),
)


async def _inside(db: Database, ask: Ask, rounds: int) -> list[Taken]:
    """Warm: the first answer, which opens the connection, is not counted."""
    await ask(db)
    taken = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        await ask(db)
        taken.append(Taken(1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)))
    return taken


def _outside(command: Sequence[str], url: str, rounds: int) -> list[Taken]:
    """The whole command, from its start to its first byte and to its end."""
    env = os.environ | {"PICTRAWL_DB__URL": url}
    taken = []
    for _ in range(rounds):
        used, began = _children_s(), time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "app.cli", *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
        ) as process:
            assert process.stdout is not None
            process.stdout.read(1)
            first = time.perf_counter()
            process.stdout.read()
        wall_ms = 1000 * (time.perf_counter() - began)
        taken.append(Taken(wall_ms, 1000 * (_children_s() - used), 1000 * (first - began)))
    return taken


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def _databases() -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        urls = {"SQLite": f"sqlite+aiosqlite:///{Path(folder) / 'pictrawl.db'}"}
        if missing_packages("postgresql"):
            yield urls
            return
        with PostgresServer() as server:
            yield urls | {"PostgreSQL": server.create_database("bench")}


async def measure(name: str, url: str, options: argparse.Namespace) -> list[Row]:
    """Every question to one database."""
    db = Database(url)
    try:
        await fill(db, options.images, options.events)
        inside = [await _inside(db, ask, options.rounds) for _, _, ask in QUESTIONS]
    finally:
        await db.close()
    rows = []
    for (question, command, _), taken in zip(QUESTIONS, inside, strict=True):
        outside = _outside(command, url, options.processes)
        rows.append(Row(name, question, taken, outside))
    return rows


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=100_000, help="lines in the job's log")
    parser.add_argument("--rounds", type=int, default=10, help="answers inside this process")
    parser.add_argument("--processes", type=int, default=5, help="whole commands")
    options = parser.parse_args()
    heads = ("Database", "Question", "Inside, ms", "its CPU", "First line, ms", "Whole command, ms", "its CPU")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    with _databases() as urls:
        for name, url in urls.items():
            for row in asyncio.run(measure(name, url, options)):
                print(row.line(), flush=True)
    version = _outside(["version"], "sqlite+aiosqlite:///none", options.processes)
    print(f"| none | version | - | - | {_median(version, 'first_ms')} | {_median(version, 'wall_ms')} | {_median(version, 'cpu_ms')} |")


if __name__ == "__main__":
    main()
