"""Database work of each stage, by the workers' own functions; downloader, decoders and store are stand-ins that answer at once.

Also the time of pages by key: images as the API and the CLI list them, and a job's log, at the start, in the middle and at the end.
"""

import asyncio
import hashlib
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from scale_figures import Figure, measured
from scale_fill import CHUNK, USER, chunk_id

from app.cli import follow
from app.db import Database, attempts, events, image_search, images, jobs, lifecycle, paging, units
from app.db.events import EventFilter
from app.db.funnel import Funnel
from app.db.image_search import ImageFilter
from app.db.rows import NewUnit
from app.domain import Candidate, Compressed, ImageState, Reason, Verdict
from app.images.pool.protocol import Answer
from app.job_states import UnitKind
from app.resources import Resources
from app.rules import ValidationRules
from app.settings import load_settings
from downloader import Attempt, Fetched, FetchRequest
from workers.stages import compress as compress_stage
from workers.stages import deduplicate, discover, export
from workers.stages import fetch as fetch_stage
from workers.stages import label as label_stage
from workers.stages import validate as validate_stage
from workers.unit import ClaimedUnit, JobContext

__all__ = ["CHUNKS", "TARGET_MS", "FilledDatabase", "measure_pages", "measure_stages"]

CHUNKS = 20
"""Chunks over which a stage that works chunk by chunk is measured."""


class Origin:
    """A downloader that fetches nothing."""

    async def fetch_many(self, requests: Sequence[FetchRequest], *, log: Any, stop: asyncio.Event) -> AsyncIterator[Fetched]:
        """Reserve and record one attempt for each URL, as the real one does."""
        for request in requests:
            await log.reserve(request, 1)
            attempt = Attempt(number=1, started_at=time.time(), elapsed_s=0.01, status=200)
            log.record(request, attempt)
            digest = hashlib.sha256(request.url.encode()).hexdigest()
            yield Fetched(request, b"bytes", digest, "image/jpeg", 200, request.url, (attempt,))


class Decoders:
    """Decoders that decode nothing."""

    size = 2

    async def run_batch(self, sources: Sequence[bytes | Path], rules: Any, compression: Any = None) -> AsyncGenerator[list[Answer], None]:
        """Answer that each image is valid, with hashes and bytes that do not repeat."""
        yield [Answer(_verdict() if isinstance(rules, ValidationRules) else _output()) for _ in sources]


def _verdict() -> Verdict:
    phash = hashlib.md5(str(time.perf_counter_ns()).encode()).hexdigest()[:16]
    return Verdict(format="jpeg", width=640, height=480, phash=phash, measures={"entropy": 6.5, "sharpness": 99.0})


def _output() -> Compressed:
    return Compressed(str(time.perf_counter_ns()).encode(), "webp", 320, 240)


class Store:
    """A store that discards objects and returns the same bytes for every key."""

    def local_path(self, key: str) -> None:
        """No object is a local file."""

    async def get(self, key: str) -> bytes:
        """Return the same bytes."""
        return b"bytes"

    async def put_many(self, objects: Sequence[tuple[str, bytes]]) -> list[None]:
        """Discard the objects."""
        return [None] * len(objects)


class FilledDatabase:
    """A filled database and a worker's context for it."""

    def __init__(self, db: Database, job: str, dataset: str, size: int, server: int | None) -> None:
        nothing: Any = SimpleNamespace(add=lambda _: None, remove=lambda _: None)
        stand_ins: Any = SimpleNamespace(downloader=Origin(), decoders=Decoders())
        store: Any = Store()
        self.db, self.job, self.dataset, self.size, self.server = db, job, dataset, size, server
        self.context = JobContext(Resources(load_settings({}), db, store, nothing), stand_ins, nothing, "wrk_scale")

    async def work(self, kind: UnitKind, **payload: Any) -> ClaimedUnit:
        """Add and claim a unit."""
        async with self.db.write() as connection:
            (unit_id,) = await lifecycle.add_units(connection, self.job, [NewUnit(kind, payload)])
        unit = await units.claim(self.db, unit_id, owner="wrk_scale", lease_s=3600)
        assert unit is not None
        work = ClaimedUnit(self.context, unit)
        work.lease_deadline = math.inf
        return work

    @property
    def last(self) -> list[str]:
        """The last chunks, which are not fetched yet."""
        return [chunk_id(self.size // CHUNK - 1 - number) for number in range(CHUNKS)]

    @property
    def anywhere(self) -> list[str]:
        """Chunks spread over the dataset."""
        return [chunk_id(self.size // CHUNK * number // CHUNKS) for number in range(CHUNKS)]


async def insert(work: ClaimedUnit, chunk: str) -> None:
    """Store a page of a list with 100 new candidates, their chunk and its unit."""
    search = await jobs.get_search(work.ctx.db, "srch_1")
    urls = (f"https://fresh.example.com/{chunk}/{line}.jpg" for line in range(CHUNK))
    page = discover.SearchPage(candidates=tuple(Candidate(url=url, source="list", rank=0) for url in urls), cursor="1")
    await discover.CandidateWriter(work, work.job, search).add(page)


async def fetch(work: ClaimedUnit, chunk: str) -> None:
    """Read a chunk, reserve its attempts, record them with their outcomes, and settle the chunk."""
    counts = await fetch_stage.fetch_chunk(work.ctx, work, chunk)
    assert counts["ok"] == CHUNK, counts
    await fetch_stage.settle_chunk(work, chunk)


async def validate(work: ClaimedUnit, chunk: str) -> None:
    """Read the fetched images of a chunk and write their verdicts."""
    await validate_stage.validate_chunk(work.ctx, work, chunk)


async def compress(work: ClaimedUnit, chunk: str) -> None:
    """Read the kept images of a chunk and write their compressed forms."""
    await compress_stage.compress_chunk(work.ctx, work, chunk)


async def duplicates(filled: FilledDatabase) -> None:
    """Read and compare all fingerprints and write the changes."""
    await deduplicate.find_duplicates(filled.context, await filled.work(UnitKind.DUPLICATES))


async def label(filled: FilledDatabase) -> None:
    """Choose, label and split all images."""
    await label_stage.label_images(await filled.work(UnitKind.LABELS))


async def page_through(filled: FilledDatabase) -> None:
    """Read all kept images in the pages of an export."""
    last_id = 0
    while True:
        async with filled.db.read() as connection:
            page = await images.kept_after(connection, filled.dataset, last_id=last_id, limit=export.PAGE)
        if len(page) < export.PAGE:
            return
        last_id = page[-1].id


async def finalize(filled: FilledDatabase) -> None:
    """Read what the decision on the next stage needs."""
    Funnel(await images.counts(filled.db, dataset_id=filled.dataset), *await attempts.retry_figures(filled.db, filled.job))
    await jobs.searches_of(filled.db, filled.job)
    await units.dead_of(filled.db, filled.job)


async def chunks_to_compress(filled: FilledDatabase) -> None:
    """Read the chunks with kept images."""
    async with filled.db.read() as connection:
        assert await images.uncompressed_chunks(connection, filled.dataset)


async def look(filled: FilledDatabase) -> None:
    """Read what the progress display shows."""
    await follow.take_snapshot(filled.db, filled.job, lambda: (), None)


ChunkStage = tuple[str, UnitKind, str, Callable[[ClaimedUnit, str], Awaitable[None]]]
WholeStage = tuple[str, Callable[[FilledDatabase], Awaitable[None]]]

STAGES: tuple[ChunkStage | WholeStage, ...] = (
    ("take in candidates", UnitKind.SEARCH, "last", insert),
    ("fetch", UnitKind.FETCH, "last", fetch),
    ("validate", UnitKind.VALIDATE, "last", validate),
    ("duplicates", duplicates),
    ("duplicates, once more", duplicates),
    ("labels and splits", label),
    ("chunks to compress", chunks_to_compress),
    ("compress", UnitKind.COMPRESS, "anywhere", compress),
    ("pages of an export", page_through),
    ("finalize's counts", finalize),
    ("a look at the progress", look),
)
"""The stages in the order of a job; those with a kind of unit work chunk by chunk."""


async def measure_stages(filled: FilledDatabase, where: str) -> AsyncIterator[Figure]:
    """Measure every stage once, in order."""
    for stage in STAGES:
        if len(stage) == 2:
            name, whole = stage
            with measured(filled.server) as found:
                await whole(filled)
            yield Figure(where, name, filled.size, found.cpu_s, found.peak_mb)
        else:
            name, kind, which, step = stage
            works = [(await filled.work(kind, chunk_id=chunk), chunk) for chunk in getattr(filled, which)]
            with measured(filled.server) as found:
                for work, chunk in works:
                    await step(work, chunk)
            yield Figure(where, name, filled.size, found.cpu_s * filled.size / CHUNK / CHUNKS)


# --- pages

TARGET_MS = 50.0
ROUNDS = 5
LIMIT = 50
"""Default number of rows in a page."""

PLACES = (("start", 0.0), ("middle", 0.5), ("end", 0.9995))

Ask = Callable[[int], Awaitable[object]]


def questions(filled: FilledDatabase) -> dict[str, Ask]:
    """Return the queries by name, as functions of the id that a page begins after."""
    job, dataset = filled.job, filled.dataset
    filters = {
        "images": ImageFilter(),
        "images of a job": ImageFilter(job_id=job),
        "images of a dataset": ImageFilter(dataset_id=dataset),
        "images, state": ImageFilter(state=ImageState.KEPT),
        "images of a job, state": ImageFilter(job_id=job, state=ImageState.KEPT),
        "images of a job, rare state": ImageFilter(job_id=job, state=ImageState.DUPLICATE),
        "images of a job, state that none has": ImageFilter(job_id=job, state=ImageState.DEFERRED),
        "images of a job, reason": ImageFilter(job_id=job, reason=Reason.HTTP_404),
        "images of a job, reason that none has": ImageFilter(job_id=job, reason=Reason.TIMEOUT),
        "images of a job, state and reason": ImageFilter(job_id=job, state=ImageState.FAILED, reason=Reason.HTTP_404),
        "images of a job, state and source": ImageFilter(job_id=job, state=ImageState.KEPT, source="source1"),
        "images of a job, source that none has": ImageFilter(job_id=job, source="nowhere"),
        "images of a dataset, state": ImageFilter(dataset_id=dataset, state=ImageState.KEPT),
        "images of a dataset, reason": ImageFilter(dataset_id=dataset, reason=Reason.HTTP_404),
        "images of a dataset, reason that none has": ImageFilter(dataset_id=dataset, reason=Reason.TIMEOUT),
        "images, reason that none has": ImageFilter(reason=Reason.TIMEOUT),
        "images of a dataset, label": ImageFilter(dataset_id=dataset, label="label 7"),
        "images of a dataset, label that none has": ImageFilter(dataset_id=dataset, label="none"),
        "images of a dataset, split": ImageFilter(dataset_id=dataset, split="test"),
    }
    logs = {
        "log": EventFilter(),
        "log, warnings": EventFilter(level="warning"),
        "log, errors, of which there are none": EventFilter(level="error"),
        "log, host": EventFilter(host="host10.example.com"),
        "log, chunk": EventFilter(chunk_id=chunk_id(filled.size // 100 - 7)),
        "log, event": EventFilter(event="download.retry"),
        "log, event, of which there are none": EventFilter(event="list."),
    }
    asked: dict[str, Ask] = {f"{name} (API)": _images(filled, wanted, USER) for name, wanted in filters.items()}
    asked |= {name: _images(filled, wanted, None) for name, wanted in filters.items()}
    asked["images of another user (API)"] = _images(filled, ImageFilter(), "another")
    return asked | {name: _events(filled, wanted) for name, wanted in logs.items()}


def _images(filled: FilledDatabase, wanted: ImageFilter, user_id: str | None) -> Ask:
    async def ask(last_id: int) -> object:
        return await image_search.page(filled.db, wanted, user_id=user_id, limit=LIMIT, cursor=paging.encode(last_id) if last_id else None)

    return ask


def _events(filled: FilledDatabase, wanted: EventFilter) -> Ask:
    async def ask(last_id: int) -> object:
        return await events.after(filled.db, filled.job, wanted, last_id=last_id)

    return ask


async def measure_pages(filled: FilledDatabase, where: str) -> AsyncIterator[Figure]:
    """Measure each query at each place."""
    for name, ask in questions(filled).items():
        for place, share in PLACES:
            yield Figure(where, f"{name}, {place}", filled.size, await _best(ask, int(filled.size * share)), is_answer=True)


async def _best(ask: Ask, last_id: int) -> float:
    """Return the shortest of a few times, since other processes slow some of them down."""
    await ask(last_id)
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await ask(last_id)
        found.append(time.perf_counter() - began)
        if found[-1] > 1:  # far above the target
            break
    return min(found)
