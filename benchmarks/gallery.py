"""How long the server takes for a page of a gallery: first page, each filter, combinations, orders, counts, text.

::

    python benchmarks/gallery.py                                       # 1,000,000 images on SQLite and PostgreSQL: about 10 minutes
    python benchmarks/gallery.py --size 100000 --databases sqlite

Times are those of the whole request inside the server, over ASGI without a socket: median and range of ``--rounds``. Every
round asks for something that no earlier one did, so that no answer is remembered. Starts PostgreSQL itself.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
import scale_fill

from app.db import Database, api_keys
from app.gallery.gallery import Gallery
from app.resources import open_resources
from app.settings import Settings, load_settings
from app.web import create_app
from logging_setup.config import configure
from tests.services import PostgresServer

DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

BASE = "http://127.0.0.1:8080"

WORDS = ("grey", "lynx", "snow", "forest", "river", "morning", "portrait", "young", "sleeping", "running", "winter", "rock")

_MEASURES = ", ".join(
    f"\"{name}\": ' || ({value}) || '"
    for name, value in {
        "sharpness": "((n % 99991) * 7919 % 1000003) / 100.0",
        "entropy": "(n * 31 % 8001) / 1000.0",
        "brightness": "(n * 17 % 25501) / 100.0",
        "edges": "(n % 1000) / 1000.0",
    }.items()
)


def _one_of(words: Sequence[str], count: int) -> str:
    return f"CASE n % {count} {' '.join(f'WHEN {at} THEN {word!r}' for at, word in enumerate(words))} END"


IMAGES: Mapping[str, str] = {
    "state": "CASE n % 10 WHEN 0 THEN 'failed' WHEN 1 THEN 'rejected' WHEN 2 THEN 'duplicate' ELSE 'kept' END",
    "reason": "CASE n % 10 WHEN 0 THEN 'timeout' WHEN 1 THEN 'too_small' WHEN 2 THEN 'duplicate_near' END",
    "label": "CASE WHEN n % 7 <> 0 THEN 'label ' || (n % 1000) END",
    "split": "CASE WHEN n % 10 > 2 THEN CASE n % 9 WHEN 0 THEN 'test' WHEN 1 THEN 'validation' ELSE 'train' END END",
    "license": "CASE n % 5 WHEN 0 THEN 'CC0-1.0' WHEN 1 THEN 'CC-BY-4.0' WHEN 2 THEN 'CC-BY-SA-4.0' WHEN 3 THEN 'PDM-1.0' END",
    "title": f"'A ' || {_one_of(('grey lynx', 'red fox', 'brown bear'), 3)} || ' in ' || {_one_of(WORDS, len(WORDS))} || ' number ' || n",
    "caption": "'Seen on a walk by the water ' || (n % 5000)",
    "width": "200 + (n % 10007) * 7919 % 3801",
    "height": "200 + (n % 9973) * 104729 % 2801",
    "size_bytes": "20000 + (n % 131) * 15485863 % 3000017 + n % 1009",
    "media_type": "CASE n % 11 WHEN 0 THEN 'image/png' WHEN 1 THEN 'image/webp' ELSE 'image/jpeg' END",
    "measures": f"('{{{{{_MEASURES}, \"frames\": 1.0}}}}')::json",
}
"""Images of a thousand labels and 5,000 hosts, every one with measures of its own."""

Query = Callable[[int], Mapping[str, Any]]

QUERIES: Mapping[str, Query] = {
    "first page": lambda n: {},
    "first page without counts": lambda n: {"counts": False},
    "state": lambda n: {"state": "kept", "max_aspect": 100 + n},
    "reason": lambda n: {"reason": "too_small", "max_aspect": 100 + n},
    "label": lambda n: {"label": f"label {n + 1}"},
    "20 labels": lambda n: {"label": [f"label {20 * n + at}" for at in range(20)]},
    "split": lambda n: {"split": "train", "max_aspect": 100 + n},
    "source": lambda n: {"source": "source1", "max_aspect": 100 + n},
    "licence": lambda n: {"license": ["CC0-1.0", "CC-BY-4.0"], "max_aspect": 100 + n},
    "host": lambda n: {"host": f"host{n}.example.com"},
    "size": lambda n: {"min_width": 500 + n, "max_height": 2000, "min_bytes": 100_000},
    "measure": lambda n: {"min_sharpness": 1000 + n},
    "text: one word": lambda n: {"text": WORDS[n % len(WORDS)], "max_aspect": 100 + n},
    "text: two words": lambda n: {"text": f"fox {WORDS[n % len(WORDS)]}", "max_aspect": 100 + n},
    "text: part of a URL": lambda n: {"text": f"host{n + 17}.example.com/images"},
    "text: one number": lambda n: {"text": str(123456 + n)},
    "text: part of every URL": lambda n: {"text": "jpg", "max_aspect": 100 + n},
    "where": lambda n: {"where": f"(label = 'label {n}' or license = open) and width >= {400 + n} and sharpness > 100"},
    "sorted by sharpness": lambda n: {"sort": "-sharpness", "max_aspect": 100 + n},
    "sorted by width, many equal": lambda n: {"sort": "width", "max_aspect": 100 + n},
    "all combined": lambda n: {
        "state": ["kept", "rejected"], "split": "train", "source": "source1", "license": ["CC0-1.0", "CC-BY-4.0"], "min_width": 300 + n,
        "max_bytes": 2_000_000, "min_brightness": 20, "text": "fox", "where": "aspect < 2", "sort": "-sharpness",
    },
}  # fmt: skip


async def measure(settings: Settings, size: int, rounds: int) -> None:
    """Fill a database, make its columns, and print a line for each query."""
    db = Database(settings.database_url)
    began = time.perf_counter()
    try:
        _, dataset = await scale_fill.fill(db, size, untried=0, filled=("images",), images=IMAGES)
    finally:
        await db.close()
    print(f"  filled in {time.perf_counter() - began:.0f} s")
    async with open_resources(settings) as resources:
        app = create_app(resources)
        key = api_keys.make_key()
        await api_keys.add_key(resources.db, key_id=key.key_id, user_id=scale_fill.USER, name="bench", digest=key.digest)
        headers = {"Authorization": f"Bearer {key.token}"}
        gallery: Gallery = app.state.gallery
        async with gallery, httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE, headers=headers) as client:
            path = f"/v1/datasets/{dataset}/images"
            _show("first look, columns not made", [await _timed(client, path, {})])
            began = time.perf_counter()
            while (await client.get(path)).json()["total"] is None:
                await asyncio.sleep(0.5)
            print(f"  columns made in {time.perf_counter() - began:.1f} s")
            for name, query in QUERIES.items():
                _show(name, [await _timed(client, path, query(n)) for n in range(rounds)])
            await _scroll(client, path, rounds)


async def _timed(client: httpx.AsyncClient, path: str, query: Mapping[str, Any]) -> tuple[float, float]:
    """Wall-clock and CPU time of one request in ms; the latter is that of this process, without a PostgreSQL server."""
    began, used = time.perf_counter(), time.process_time()
    answer = await client.get(path, params={"limit": 60, **query})
    taken = (time.perf_counter() - began) * 1000, (time.process_time() - used) * 1000
    assert answer.status_code == 200, answer.text
    return taken


def _show(name: str, times: Sequence[tuple[float, float]]) -> None:
    wall, cpu = zip(*times, strict=True)
    print(
        f"  {name:32} {statistics.median(wall):7.1f} ms ({min(wall):.1f} to {max(wall):.1f}), {statistics.median(cpu):7.1f} ms of CPU",
        flush=True,
    )


async def _scroll(client: httpx.AsyncClient, path: str, rounds: int) -> None:
    """Further pages of one list."""
    query: dict[str, Any] = {"sort": "-sharpness", "state": "kept", "counts": False, "limit": 60}
    times: list[tuple[float, float]] = []
    for _ in range(5 * rounds):
        times.append(await _timed(client, path, query))
        query["cursor"] = (await client.get(path, params=query)).json()["next_cursor"]
    _show("further pages, sorted", times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1_000_000, help="images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=list(DATABASES))
    options = parser.parse_args()
    configure("WARNING", "pretty", None)
    for kind in options.databases:
        print(f"{DATABASES[kind]}, {options.size:,} images")
        with tempfile.TemporaryDirectory(prefix="pictrawl-gallery-") as folder:
            values: dict[str, Any] = {"workspace.path": Path(folder) / "workspace"}
            if kind == "sqlite":
                asyncio.run(measure(load_settings(values), options.size, options.rounds))
                continue
            with PostgresServer() as server:
                url = server.create_database("gallery")
                asyncio.run(measure(load_settings(values | {"db.url": url}), options.size, options.rounds))


if __name__ == "__main__":
    main()
