"""Forms of stored images: made once, found again, made again where they were dropped, and kept while they are used."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from app.db import tables
from app.export_spec import ExportRequest
from app.job_states import UnitKind
from app.jobs import submit
from app.jobs.cleaning import clean, measure
from app.rules import CompressionRules
from app.storage import paths
from tests.images.samples import encode, photo
from tests.origin import Origin, image
from tests.workers.bench import Bench, InlineDecoders, open_bench
from workers.stages.derive import Problems

HOUR_S = 3600.0


class CountingDecoders(InlineDecoders):
    """Counts the images that are re-encoded; calls something before each batch."""

    def __init__(self) -> None:
        self.compressed = 0
        self.before: Callable[[], object] = lambda: None

    async def run_batch(self, sources: Sequence[bytes | Path], rules: Any, compression: CompressionRules | None = None) -> Any:
        if isinstance(rules, CompressionRules):
            self.before()
            self.compressed += len(sources)
        async for answers in super().run_batch(sources, rules, compression):
            yield answers

    def take(self) -> int:
        """How many since the last call."""
        taken, self.compressed = self.compressed, 0
        return taken


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A worker's means, whose decoders count."""
    async with open_bench(tmp_path) as opened:
        opened.context.worker_resources = replace(opened.context.worker_resources, decoders=CountingDecoders())  # type: ignore[arg-type]
        yield opened


def decoders(bench: Bench) -> CountingDecoders:
    found: Any = bench.context.decoders
    assert isinstance(found, CountingDecoders)
    return found


async def built(bench: Bench, origin: Origin, number: int = 1, *, until: UnitKind | None = None) -> str:
    """Build a dataset of AVIF images, which imagefolder converts; return its id."""
    for index in range(number):
        origin.script(f"/{index}.avif", image(encode(photo(96, 64, seed=index), "AVIF")))
    job_id = await bench.submit([origin.url(f"/{index}.avif") for index in range(number)], export_format="imagefolder", dedupe="none")
    await bench.drive(until=until)
    return (await bench.job(job_id)).dataset_id


async def export(bench: Bench, dataset_id: str) -> Any:
    """Export it once more; return the newest row."""
    await submit.submit_export(bench.resources, dataset_id, ExportRequest(export_format="imagefolder"))
    await bench.drive()
    return (await exports(bench))[-1]


async def exports(bench: Bench) -> Sequence[Any]:
    async with bench.db.read() as connection:
        return (await connection.execute(select(tables.exports).order_by(tables.exports.c.created_at))).all()


async def forms(bench: Bench) -> Sequence[Any]:
    async with bench.db.read() as connection:
        return (await connection.execute(select(tables.derived_images))).all()


def files_of(row: Any) -> Any:
    """The images of an export by name, which has their digest."""
    return {path: size for path, size in row.report["files"].items() if path.startswith("train/")}


async def test_a_form_is_made_once(bench: Bench, origin: Origin) -> None:
    """The next export finds it; its row says of what and by what it was made."""
    dataset_id = await built(bench, origin, 3)
    assert decoders(bench).take() == 3
    second = await export(bench, dataset_id)
    assert (second.state, second.samples, decoders(bench).take()) == ("ready", 3, 0)
    made = await forms(bench)
    async with bench.db.read() as connection:
        rows = (await connection.execute(select(tables.images))).all()
    assert {form.source_sha256 for form in made} == {row.sha256 for row in rows}
    assert {(form.out_media_type, form.out_width, form.out_height, form.changes) for form in made} == {("image/png", 96, 64, None)}
    assert {row.out_sha256 for row in rows} == {None}


async def test_a_form_that_is_gone_is_made_again(bench: Bench, origin: Origin) -> None:
    """Whether its bytes were deleted, or it was dropped by clean-up: the export has the same files."""
    dataset_id = await built(bench, origin, 2)
    first, made = (await exports(bench))[0], await forms(bench)
    await bench.context.store.delete([paths.blob(made[0].out_sha256)])
    decoders(bench).take()
    assert files_of(await export(bench, dataset_id)) == files_of(first)
    assert decoders(bench).take() == 1
    cleaned = await clean(bench.db, bench.context.store, min_age_s=0.0)
    assert (cleaned.blobs, await forms(bench)) == (2, [])
    assert files_of(await export(bench, dataset_id)) == files_of(first)
    assert decoders(bench).take() == 2


async def test_a_form_stays_while_it_is_used(bench: Bench, origin: Origin) -> None:
    """Clean-up counts from its last use, not from when its bytes were written; what it may drop is shown as unused."""
    dataset_id, store = await built(bench, origin, 2), bench.context.store
    await grow_old(bench)
    await export(bench, dataset_id)
    assert (await clean(bench.db, store, min_age_s=HOUR_S)).blobs == 0
    assert (await measure(bench.db, store)).unused_objects == 2
    await grow_old(bench)
    assert (await clean(bench.db, store, min_age_s=HOUR_S)).blobs == 2
    assert await forms(bench) == []


async def grow_old(bench: Bench) -> None:
    """Date the last use of every form, and the writing of its bytes, two hours back."""
    then = await bench.db.now() - 2 * HOUR_S
    for form in await forms(bench):
        os.utime(str(bench.context.store.local_path(paths.blob(form.out_sha256))), (then, then))
    async with bench.db.write() as connection:
        await connection.execute(update(tables.derived_images).values(created_at=then))


async def test_an_export_that_is_stopped_goes_on_with_what_it_has(bench: Bench, origin: Origin) -> None:
    """The batches in hand are finished; the next run makes the others."""
    await built(bench, origin, 20, until=UnitKind.EXPORT)
    decoders(bench).before = bench.stop_what_runs
    assert await bench.run_kind(UnitKind.EXPORT) == 1
    stopped = decoders(bench).take()
    assert 8 <= stopped < 20
    assert (await exports(bench))[0].state == "pending"
    decoders(bench).before = lambda: None
    await bench.drive()
    assert ((await exports(bench))[0].state, decoders(bench).take()) == ("ready", 20 - stopped)


def test_the_first_problems_are_named() -> None:
    """All are counted."""
    problems = Problems()
    problems.add({})
    problems.add({7: "too large"})
    problems.add(dict.fromkeys(range(200), "broken"))
    assert (problems.failed, len(problems.first), problems.first[:2]) == (201, 100, ["image 7: too large", "image 0: broken"])
