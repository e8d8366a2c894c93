"""What `benchmarks/download.py` must show, and whether it did. Pure: runs in, checks out."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Check", "Runs", "check", "label"]

Runs = dict[str, list[dict[str, Any]]]
"""The results of every client, by its label, a round each."""

_MOST_RSS_MB: Final = 150.0
_MOST_DRIFT: Final = 0.2
_RECEIVING_MB: Final = 1.5
"""What a connection may hold beside its body: what aiohttp has read ahead, and a read of the event loop's, both in copies."""

_GROWING: Final = 1.125
"""A buffer that grows without knowing how far is an eighth larger than what is in it."""


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
