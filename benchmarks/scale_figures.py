"""What a curve is made of: a figure at one size, how it was taken, and what growth several of them show."""

import ctypes
import gc
import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import measuring

__all__ = ["Figure", "Taken", "cpu_s", "exponents", "peak_rss_bytes", "show", "show_answers", "taken"]

LIBC: Final = ctypes.CDLL(None)
CLEAR_PEAK: Final = "5"
"""What ``/proc/self/clear_refs`` takes to begin a new peak (proc(5))."""

STEEP: Final = 1.0 + math.log10(1.3)
"""Exponent above which a stage grows worse than n log n between 10,000 and 1,000,000: 1.3 times the time for an image in each decade."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing at one size.

    Attributes:
        total_s: CPU time that all images of that size take, a PostgreSQL server's included: a machine that others use as well does not
            change it much. Of an answer, the wall time that it takes itself.
        peak_mb: what is held at most, above what was held before.
    """

    where: str
    what: str
    size: int
    total_s: float
    peak_mb: float | None = None
    is_answer: bool = False


@dataclass(slots=True)
class Taken:
    """Filled in when the body of :func:`taken` ends."""

    cpu_s: float = 0.0
    peak_mb: float = 0.0


@contextmanager
def taken(server: int | None = None) -> Iterator[Taken]:
    """CPU time of this process and of a PostgreSQL server, by its process id, and the memory that comes on top of what is held already."""
    found = Taken()
    gc.collect()
    LIBC.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text(CLEAR_PEAK)
    before = peak_rss_bytes()
    used = cpu_s(server)
    yield found
    found.cpu_s = cpu_s(server) - used
    found.peak_mb = (peak_rss_bytes() - before) / 1e6


def cpu_s(server: int | None) -> float:
    """CPU time of this process, and of a PostgreSQL server by its process id."""
    return time.process_time() + (0.0 if server is None else measuring.cpu_s(server))


def peak_rss_bytes() -> int:
    """The most memory this process has held. Not ru_maxrss, which counts what its parent held when it forked."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [peak] = [line for line in lines if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1024


def exponents(totals: Mapping[int, float]) -> list[float]:
    """The slope between neighbouring sizes where both axes are logarithmic: 1 is linear, n log n is 1.09 between 10,000 and 1,000,000."""
    pairs = itertools.pairwise(sorted(totals))
    return [math.log(totals[more] / totals[less]) / math.log(more / less) for less, more in pairs]


def show(figures: Sequence[Figure]) -> None:
    """A table: a line for each thing, milliseconds of CPU for 1,000 images at each size, exponents between sizes, and the peaks."""
    if not figures:
        return
    sizes = sorted({figure.size for figure in figures})
    heads = ["", "", *(f"{size:,}" for size in sizes), "Exponents", "Peak, MB"]
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for where, what in dict.fromkeys((figure.where, figure.what) for figure in figures):
        found = {figure.size: figure for figure in figures if (figure.where, figure.what) == (where, what)}
        each = [f"{found[size].total_s / size * 1e6:.1f}" if size in found else "-" for size in sizes]
        slopes = exponents({size: figure.total_s for size, figure in found.items()})
        peaks = [figure.peak_mb for _, figure in sorted(found.items()) if figure.peak_mb is not None]
        steep = ", ".join(f"{slope:.2f}{' steep' * (slope > STEEP)}" for slope in slopes)
        print(f"| {where} | {what} | {' | '.join(each)} | {steep} | {' / '.join(f'{peak:,.0f}' for peak in peaks) or '-'} |")


def show_answers(figures: Sequence[Figure], target_ms: float) -> None:
    """A table of answers: milliseconds of each at every size, and whether the target is met."""
    if not figures:
        return
    sizes = sorted({figure.size for figure in figures})
    heads = ["", "", *(f"{size:,}" for size in sizes), f"Under {target_ms:.0f} ms"]
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for where, what in dict.fromkeys((figure.where, figure.what) for figure in figures):
        found = {figure.size: figure.total_s * 1000 for figure in figures if (figure.where, figure.what) == (where, what)}
        each = [f"{found[size]:.1f}" if size in found else "-" for size in sizes]
        print(f"| {where} | {what} | {' | '.join(each)} | {'ok' if max(found.values()) < target_ms else 'MISSED'} |")
