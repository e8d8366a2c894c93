"""A page of 200 thumbnails from `pictrawl serve`, over six keep-alive connections, as a browser asks for them.

::

    python benchmarks/thumbnails.py

Rows: thumbnails that are cached, those that the browser has (304), and those that are made now of photographs of 1,280 x 960. Each time is
that of the whole page by the clock of a client in another process; the CPU time is the server's, with its decoder processes.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.resources import open_resources
from app.settings import load_settings
from tests.images import samples
from tests.web import seeds

COUNT = 200
CONNECTIONS = 6
"""What browsers open to one host over HTTP/1.1."""

PICTURES = 20
"""Different photographs; comments behind their ends make the digests differ."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request came to."""

    status: int
    etag: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page of thumbnails: seconds by the clock, seconds of the server's CPU."""

    wall_s: float
    cpu_s: float
    answers: Mapping[int, Answer]


async def fill(workspace: Path) -> list[int]:
    """A dataset of 200 stored photographs without thumbnails; their ids."""
    photos = [samples.encode(samples.photo(1280, 960, seed=seed), quality=90) for seed in range(PICTURES)]
    async with open_resources(load_settings({"workspace.path": workspace})) as resources:
        job = await seeds.build(resources)
        bodies = (photos[n % PICTURES] + str(n).encode() for n in range(COUNT))
        return [await seeds.image(resources, job, f"{n}.jpg", body) for n, body in enumerate(bodies)]


@contextmanager
def serving(workspace: Path) -> Iterator[tuple[int, int]]:
    """`pictrawl serve` as a process of its own: its id and its port."""
    command = [sys.executable, "-m", "app.cli", "serve", "--port", "0", "--workspace", str(workspace), "--set", "log.format=json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if "serve.started" in line)
            yield process.pid, int(line.split('"port":')[1].split("}")[0].split(",")[0])
        finally:
            process.terminate()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, etag: str | None) -> Answer:
    """One GET on a connection that stays open."""
    condition = f"If-None-Match: {etag}\r\n" if etag else ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: image/*\r\n{condition}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    status = int(head.split(" ", 2)[1])
    body = await reader.readexactly(0 if status == 304 else int(headers["content-length"]))
    return Answer(status, headers.get("etag", ""), len(body))


async def load(port: int, pid: int, wanted: Mapping[int, str | None]) -> Page:
    """Ask for thumbnails over six connections that are open already, those with an ETag conditionally."""
    waiting, answers = iter(list(wanted.items())), dict[int, Answer]()

    async def follow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for image_id, etag in waiting:
            answers[image_id] = await ask(reader, writer, f"/v1/images/{image_id}/thumbnail", etag)

    async with connected(port) as connections:
        cpu_s, began = cpu_of(pid), time.perf_counter()
        await asyncio.gather(*(follow(*connection) for connection in connections))
        return Page(time.perf_counter() - began, cpu_of(pid) - cpu_s, answers)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
    """Six open connections."""
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
    try:
        yield connections
    finally:
        for _, writer in connections:
            writer.close()


def cpu_of(pid: int) -> float:
    """Seconds of CPU of a process and its living children (proc(5), fields 14 and 15)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ticks = 0
    for one in (str(pid), *children):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def measure(pid: int, port: int, ids: list[int], workspace: Path, repeats: int) -> dict[str, list[Page]]:
    """Pages of each kind. Each first look begins without a thumbnail, in processes that run already."""
    found: dict[str, list[Page]] = {"made now": [], "cached": [], "304": []}
    anew: dict[int, str | None] = dict.fromkeys(ids)
    await load(port, pid, anew)
    for _ in range(repeats):
        for path in (workspace / "store" / "thumbs").rglob("*.jpg"):
            path.unlink()
        found["made now"].append(await load(port, pid, anew))
        found["cached"].append(await load(port, pid, anew))
        etags = {image_id: answer.etag for image_id, answer in found["cached"][-1].answers.items()}
        found["304"].append(await load(port, pid, etags))
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=5)
    repeats = arguments.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        ids = asyncio.run(fill(workspace))
        with serving(workspace) as (pid, port):
            found = asyncio.run(measure(pid, port, ids, workspace, repeats))
    for name, pages in found.items():
        print(describe(name, pages))


def describe(name: str, pages: list[Page]) -> str:
    """A row: the median of the page's time with its range, CPU, what was answered, and the mean size."""
    answers = [answer for page in pages for answer in page.answers.values()]
    wall_ms, cpu_ms = [page.wall_s * 1000 for page in pages], [page.cpu_s * 1000 for page in pages]
    times = f"{statistics.median(wall_ms):6.0f} ms ({min(wall_ms):.0f} to {max(wall_ms):.0f}), CPU {statistics.median(cpu_ms):.0f} ms"
    size_bytes = statistics.mean(answer.size_bytes for answer in answers)
    return f"{name:9} {times}, {', '.join(sorted({str(answer.status) for answer in answers}))}, {size_bytes:,.0f} bytes each"


if __name__ == "__main__":
    main()
