"""The most memory that the downloader holds: every request in flight has all but the end of a body of ``max_bytes``, at the same time.

Run by `benchmarks/download.py`, in a process of its own; prints one line of JSON. ``large`` bodies are as long as is allowed and are
taken; ``endless`` ones do not say how long they are and are refused one byte later.
"""

import argparse
import json
from typing import Any, Final

import clients
import origin
import uvloop

from downloader import Fetched, FetchFailed, FetchLimits, FetchRequest, Outcome
from downloader.client import Downloader
from logging_setup.config import configure

KINDS: Final = ("large", "endless")
_WARM_UP: Final = 600
_WAVES: Final = 3


async def measure(base: str, kind: str, in_flight: int) -> dict[str, Any]:
    """Fetch ordinary images first, for the memory that the process takes anyway, then the bodies."""
    limits = FetchLimits(concurrency=in_flight, per_host=in_flight, allow_networks=clients.LOOPBACK, ports=(), max_bytes=origin.LARGE_BYTES)
    async with Downloader(limits) as downloader:
        async for outcome in downloader.fetch_many(map(FetchRequest, origin.urls_of(base, _WARM_UP))):
            assert isinstance(outcome, Fetched), outcome
        before = clients.peak_rss_bytes()
        bodies = [FetchRequest(f"{base}/{kind}/{number}") for number in range(_WAVES * in_flight)]
        async for outcome in downloader.fetch_many(bodies):
            _check(outcome, kind)
    bound = in_flight * origin.LARGE_BYTES
    return {
        "kind": kind,
        "in_flight": in_flight,
        "max_bytes_mb": origin.LARGE_BYTES / 1e6,
        "before_mb": round(before / 1e6, 1),
        "peak_mb": round(clients.peak_rss_bytes() / 1e6, 1),
        "bound_mb": round((before + bound) / 1e6, 1),
    }


def _check(outcome: Outcome, kind: str) -> None:
    if kind == "large":
        assert isinstance(outcome, Fetched), outcome
        assert len(outcome.body) == origin.LARGE_BYTES
    else:
        assert isinstance(outcome, FetchFailed), outcome
        assert outcome.reason == "too_large", outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="where the origin listens")
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--in-flight", type=int, default=64)
    options = parser.parse_args()
    configure("INFO", "json")
    print(json.dumps(uvloop.run(measure(options.base, options.kind, options.in_flight))))


if __name__ == "__main__":
    main()
