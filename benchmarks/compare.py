"""Speed, CPU and memory of pictrawl and of img2dataset, from the command to the finished dataset.

::

    python benchmarks/compare.py                                   # or `make bench`: 5 rounds of 5,000 pictures, every row
    python benchmarks/compare.py --rows keep,resize --rounds 3 --images 1000 --json FILE

Both run as a user runs them, in turns, over the same pictures from the same nginx; a ratio is of two runs of one round. Every run must get
every picture. Exit code 1 where a target is missed. Linux, with nginx; the rows of a fleet need redis-server and PostgreSQL.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import corpus
import many_hosts
import measuring
import origin
import peers
import results
from contestants import CACHED_CONTEXT, MALLOC, Contestant, Fleet, Img2dataset, Pictrawl, RunResult, servers
from results import STEADY, Target

from tests.services import missing_packages

WARM_UP: Final = 20
"""Pictures of an untimed run before the first round: it compiles modules and fills the page cache."""

PAUSE_S: Final = 60.0
"""Seconds of pause after a row's files were deleted: ext4 creates files 20 to 40 times as slowly for about 35 s after many deletions."""

CORPUS_BYTES: Final = 112_000
"""Disk space of one picture in the corpus."""

ENVIRONMENT_BYTES: Final = 1_000_000_000
"""Disk space of img2dataset's environment and of its installer's cache."""

Runs = dict[str, list[RunResult]]


# --- the rows

_MOST_FIRST_S: Final = 1.5
_MOST_MEMORY: Final = 0.5
_STOCK_IMAGES: Final = 500
"""Fewer images, because img2dataset with a TLS context for each connection fetches 40 to 60 a second."""

_TLS_THREADS: Final = 16
_HOST_THREADS: Final = 32
"""In each of two processes: as many requests at once as pictrawl's 64."""

_KEEP: Final = ("--resize_mode=no", "--skip_reencode=True")
_PASS: Final = ("--disable_all_reencoding=True",)
_SHRINK: Final = ("--image_size=256", "--resize_mode=keep_ratio")
"""Its default quality is 95; every picture of the corpus is larger."""

_ONE_HOST: Final = ("--per-host", "64")
_OUR_SHRINK: Final = (*_ONE_HOST, "--resize", "keep_ratio", "--size", "256", "--encode", "jpeg:95")

_OURS: Final = Pictrawl(options=_ONE_HOST)
_DECODING: Final = Img2dataset("img2dataset, keeps bytes", _KEEP)
_PASSING: Final = Img2dataset("img2dataset, does not decode", _PASS)
_SHRINKING: Final = Img2dataset("img2dataset, 256 keep_ratio", _SHRINK)
_OUR_SHRINKING: Final = Pictrawl("pictrawl, 256 keep_ratio", _OUR_SHRINK)
_STOCK: Final = Img2dataset("img2dataset, stock", _KEEP, _TLS_THREADS, most=_STOCK_IMAGES)
_CACHED: Final = Img2dataset("img2dataset, cached TLS context", _KEEP, _TLS_THREADS, CACHED_CONTEXT)
_MALLOC: Final = Img2dataset("img2dataset, cached context, malloc raised", _KEEP, _TLS_THREADS, {**CACHED_CONTEXT, **MALLOC})
_OUR_MALLOC: Final = Pictrawl("pictrawl, malloc raised", _ONE_HOST, MALLOC)
_MANY: Final = Img2dataset("img2dataset, cached TLS context", _KEEP, _HOST_THREADS, CACHED_CONTEXT)
_OUR_MANY: Final = Pictrawl(options=("--concurrency", "64"))
_FLEET: Final = Fleet()
_FLEET_SHRINKING: Final = Fleet(name="pictrawl, fleet, 256 keep_ratio", options=_OUR_SHRINK)


@dataclass(frozen=True, slots=True)
class Row:
    """One row. Rows of one ``series`` run together in each round; a contestant of both rows runs once.

    Attributes:
        pair: whose shards are compared picture by picture after the last round, ours first.
    """

    name: str
    series: str
    entries: tuple[Contestant, ...]
    targets: tuple[Target, ...]
    source: Literal["http", "https", "hosts"] = "http"
    pair: tuple[str, str] | None = None


def _times(row: str, ours: Contestant, other: Contestant, least: float, field: str = "per_s") -> Target:
    how = " (steady)" if field == STEADY else ""
    return Target(row, f"{ours.name} x {other.name}{how}", ours.name, other.name, least, field)


_MEMORY_TARGET: Final = Target("keep", "peak memory, in img2dataset's", _OURS.name, _DECODING.name, _MOST_MEMORY, "peak_mb", is_most=True)
_FIRST_TARGET: Final = Target("keep", "start to first image, s", _OURS.name, None, _MOST_FIRST_S, "first_s", is_most=True)
_HTTPS_TARGETS: Final = (
    _times("https", _OURS, _STOCK, 8),
    _times("https", _OURS, _STOCK, 8, STEADY),
    _times("https", _OURS, _CACHED, 1.9),
    _times("https", _OUR_MALLOC, _MALLOC, 1.5),
)

ROWS: Final = {
    row.name: row
    for row in (
        Row("keep", "bytes", (_OURS, _DECODING), (_times("keep", _OURS, _DECODING, 2), _MEMORY_TARGET, _FIRST_TARGET)),
        Row("passthrough", "bytes", (_OURS, _PASSING), (_times("passthrough", _OURS, _PASSING, 1),)),
        Row(
            "resize",
            "resize",
            (_OUR_SHRINKING, _SHRINKING),
            (_times("resize", _OUR_SHRINKING, _SHRINKING, 2),),
            pair=(_OUR_SHRINKING.name, _SHRINKING.name),
        ),
        Row("https", "https", (_OURS, _STOCK, _CACHED, _OUR_MALLOC, _MALLOC), _HTTPS_TARGETS, "https"),
        Row("hosts", "hosts", (_OUR_MANY, _MANY), (_times("hosts", _OUR_MANY, _MANY, 1.5),), "hosts"),
        Row("fleet-keep", "fleet-keep", (_FLEET, _DECODING), (_times("fleet-keep", _FLEET, _DECODING, 1.5),)),
        Row(
            "fleet-resize",
            "fleet-resize",
            (_FLEET_SHRINKING, _SHRINKING),
            (_times("fleet-resize", _FLEET_SHRINKING, _SHRINKING, 1.5),),
        ),
    )
}


def series_of(names: Sequence[str]) -> list[Row]:
    """Return the rows to run; rows of one series are joined."""
    joined: dict[str, Row] = {}
    for row in (ROWS[name] for name in names):
        before = joined.get(row.series)
        joined[row.series] = row if before is None else _join(before, row)
    return list(joined.values())


def _join(one: Row, other: Row) -> Row:
    entries = {entry.name: entry for entry in (*one.entries, *other.entries)}
    return dataclasses.replace(one, name=f"{one.name}, {other.name}", entries=tuple(entries.values()), targets=one.targets + other.targets)


@contextlib.contextmanager
def opened(row: Row, place: origin.Place, names: list[str]) -> Iterator[tuple[list[Contestant], list[str]]]:
    """Start the servers of a row; yield its contestants and the URL of every picture."""
    with contextlib.ExitStack() as stack:
        if row.source == "hosts":
            urls = many_hosts.urls_of(stack.enter_context(many_hosts.started(place)), names)
        else:
            served = stack.enter_context(origin.started(place, None))
            base = served.https if row.source == "https" else served.http
            urls = [f"{base}/{name}" for name in names]
        entries: list[Contestant] = list(row.entries)
        if any(isinstance(entry, Fleet) for entry in entries):
            started = stack.enter_context(servers())
            entries = [dataclasses.replace(entry, servers=started) if isinstance(entry, Fleet) else entry for entry in entries]
        yield entries, urls


# --- running them


class Report:
    """The results so far. They are saved after every round, so that an interrupted command loses only its round."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.machine = measuring.machine(img2dataset=peers.IMG2DATASET.partition("==")[2])
        self.runs: dict[str, Runs] = {}
        self.verdicts: list[results.Verdict] = []
        self.tables: list[str] = []

    def save(self) -> None:
        self.machine["load_after"] = round(os.getloadavg()[0], 2)
        if self._path is None:
            return
        runs = {row: {name: [_plain(run) for run in found] for name, found in runs.items()} for row, runs in self.runs.items()}
        found = {"machine": self.machine, "runs": runs, "targets": [dataclasses.asdict(verdict) for verdict in self.verdicts]}
        self._path.write_text(json.dumps(found, indent=1) + "\n")

    def show(self) -> bool:
        """Print the tables; return whether all targets are met."""
        print(f"\n{', '.join(f'{name} {value}' for name, value in self.machine.items())}\n")
        print(results.run_table(self.runs), results.ratio_table(self.verdicts), *self.tables, sep="\n\n")
        return all(verdict.met for verdict in self.verdicts)


def prepare(home: Path, count: int) -> origin.Place:
    """Create the corpus, certificates and img2dataset's environment where they are missing."""
    place = origin.Place(home, "photos")
    made = corpus.fill(place.corpus, count)
    print(f"{made} of {count} pictures were made, the others were there", file=sys.stderr)
    (place.corpus / "robots.txt").write_text(origin.ROBOTS)
    origin.certify(place, *many_hosts.addresses())
    peers.bundle(place)
    peers.environment(place)
    return place


def run_row(row: Row, place: origin.Place, names: list[str], rounds: int, report: Report) -> None:
    """Run all rounds of a row in a folder of its own and compare it with its targets."""
    folder = Path(tempfile.mkdtemp(prefix="row-", dir=place.home))
    try:
        with opened(row, place, names) as (entries, urls):
            for entry in entries:
                _run_once(entry, place, folder, urls[:WARM_UP], f"{row.name}: warm-up")
            for runs in take_turns(row, entries, place, folder, urls, rounds):
                report.runs[row.name] = runs
                report.save()
        report.verdicts += [results.judge(target, runs) for target in row.targets]
        if row.pair is not None:
            ours, theirs = (runs[name][-1].output for name in row.pair)
            found = results.compare(ours, theirs, place.corpus)
            report.verdicts += results.judge_similarity(row.name, found)
            report.tables.append(results.similarity_table(found))
        report.save()
    finally:
        shutil.rmtree(folder)


def take_turns(
    row: Row, entries: Sequence[Contestant], place: origin.Place, folder: Path, urls: Sequence[str], rounds: int
) -> Iterator[Runs]:
    """Run each contestant once a round, in reverse order every second round; yield all runs so far after each round."""
    runs: Runs = {entry.name: [] for entry in entries}
    for number in range(rounds):
        for entry in entries if number % 2 == 0 else reversed(entries):
            found = _run_once(entry, place, folder, urls, f"{row.name}: round {number + 1}/{rounds}")
            runs[entry.name].append(found)
        yield runs


def _run_once(entry: Contestant, place: origin.Place, folder: Path, urls: Sequence[str], what: str) -> RunResult:
    """Run one contestant in a new folder; nothing is deleted before the row has ended."""
    ran = entry.run(place, Path(tempfile.mkdtemp(prefix="run-", dir=folder)), urls[: entry.most])
    figures = f"{ran.per_s:.1f} images/s, steady {ran.steady_per_s:.1f}, CPU {ran.cpu_ms:.2f} ms an image, peak {ran.peak_mb:.0f} MB"
    first = "" if ran.first_s is None else f", first image after {ran.first_s:.2f} s"
    print(f"{what}: {entry.name}: {figures}{first}", file=sys.stderr, flush=True)
    return ran


def check_room(rows: Sequence[Row], home: Path, count: int, rounds: int) -> None:
    """Exit before any work where the largest row would fill the disk."""
    largest = max(sum(entry.bytes_per_image * min(count, entry.most or count) for entry in row.entries) for row in rows) * rounds
    fixed = 0 if (home / "img2dataset").exists() else ENVIRONMENT_BYTES
    needed, free = largest + count * CORPUS_BYTES + fixed, shutil.disk_usage(home).free
    print(f"{home} takes up to {needed / 1e9:.1f} GB while this runs; {free / 1e9:.1f} GB are free", file=sys.stderr)
    if needed > free:
        raise SystemExit("not enough room: name another folder with --home, or fewer --images or --rounds")


def check_programs(rows: Sequence[Row]) -> None:
    """Exit before any work where a server is not installed."""
    missing = [] if shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") else ["nginx"]
    if any(row.name.startswith("fleet") for row in rows):
        missing += missing_packages("redis", "postgresql")
    if missing:
        raise SystemExit(f"not installed: apt-get install {' '.join(missing)}")


def _plain(ran: RunResult) -> dict[str, Any]:
    known = {name: value for name, value in dataclasses.asdict(ran).items() if name != "output"}
    return known | {"per_s": ran.per_s, "steady_per_s": ran.steady_per_s, "cpu_ms": ran.cpu_ms}


def _rows(text: str) -> list[str]:
    names = text.split(",")
    if unknown := sorted(set(names) - set(ROWS)):
        raise argparse.ArgumentTypeError(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return names


def _some(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def main() -> None:
    """Run, print, and exit with 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=_rows, default=list(ROWS), metavar="NAME,...", help=", ".join(ROWS))
    parser.add_argument("--rounds", type=_some, default=5)
    parser.add_argument("--images", type=_some, default=5000, help="of a run; over https img2dataset as it comes gets 500 at most")
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "pictrawl-bench", help="scratch folder, kept")
    parser.add_argument("--pause", type=float, default=PAUSE_S, metavar="SECONDS", help="after a row; less spoils the next one's figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run there, after every round")
    options = parser.parse_args()
    rows, home = series_of(options.rows), options.home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    check_programs(rows)
    check_room(rows, home, options.images, options.rounds)
    report, place = Report(options.json), prepare(home, options.images)
    names = [corpus.name_of(number) for number in range(options.images)]
    for number, row in enumerate(rows):
        if number:
            time.sleep(options.pause)
        run_row(row, place, names, options.rounds, report)
    sys.exit(0 if report.show() else 1)


if __name__ == "__main__":
    main()
