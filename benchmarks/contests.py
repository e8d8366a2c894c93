"""The rows of the comparison: who runs beside whom in each, from which origin, and what must come of it."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import fleets
import many_hosts
import origin
from contestants import CACHED_CONTEXT, MALLOC, Contestant, Img2dataset, Pictrawl
from verdicts import STEADY, Target

__all__ = ["ROWS", "Row", "opened", "series_of"]

_MOST_FIRST_S: Final = 1.5
_MOST_MEMORY: Final = 0.5
_STOCK_IMAGES: Final = 500
"""With a TLS context for every connection img2dataset gets 40 to 60 images a second."""

_TLS_THREADS: Final = 16
_HOST_THREADS: Final = 32
"""In each of two processes: as many at once as the 64 of ours."""

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
_FLEET: Final = fleets.Fleet()
_FLEET_SHRINKING: Final = fleets.Fleet(name="pictrawl, fleet, 256 keep_ratio", options=_OUR_SHRINK)


@dataclass(frozen=True, slots=True)
class Row:
    """One row. Rows of one ``series`` run together in each round, and who is in both runs once.

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
    """The rows to run, those of one series joined into one."""
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
    """Start what a row needs; yield who runs, and the URL of every picture."""
    with contextlib.ExitStack() as stack:
        if row.source == "hosts":
            urls = many_hosts.urls_of(stack.enter_context(many_hosts.started(place)), names)
        else:
            served = stack.enter_context(origin.started(place, None))
            base = served.https if row.source == "https" else served.http
            urls = [f"{base}/{name}" for name in names]
        entries: list[Contestant] = list(row.entries)
        if any(isinstance(entry, fleets.Fleet) for entry in entries):
            started = stack.enter_context(fleets.servers())
            entries = [dataclasses.replace(entry, servers=started) if isinstance(entry, fleets.Fleet) else entry for entry in entries]
        yield entries, urls
