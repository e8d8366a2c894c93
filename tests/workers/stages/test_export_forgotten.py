"""An image that is removed on request while it is exported is in no export that is ready or sent, whatever the moment."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import update

from app.datasets.forget import forget
from app.db import datasets, images, tables
from app.db.rows import Export
from app.domain import ImageState
from app.export_spec import ExportRequest
from app.exports.destination import Delivery
from app.job_states import JobState, UnitKind
from app.jobs import submit
from app.rules import CompressionRules
from tests.origin import Origin
from tests.workers.bench import Bench, InlineDecoders
from tests.workers.proof import bucket_environment
from tests.workers.stages.test_reuse import built, pictures, rows_of, serve


class ActingDecoders(InlineDecoders):
    """Does something before it decodes for the first time."""

    def __init__(self, act: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self.act: Callable[[], Coroutine[Any, Any, Any]] | None = act

    async def run_batch(self, sources: Sequence[bytes | Path], rules: Any, compression: CompressionRules | None = None) -> Any:
        act, self.act = self.act, None
        if act is not None:
            await act()
        async for answer in super().run_batch(sources, rules, compression):
            yield answer


async def newest(bench: Bench, job_id: str) -> Export:
    return (await datasets.exports_of_job(bench.db, job_id))[0]


def act_while_decoding(bench: Bench, act: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    resources = replace(bench.context.worker_resources, decoders=ActingDecoders(act))  # type: ignore[arg-type]
    bench.context = replace(bench.context, worker_resources=resources)


async def drive_to_the_end(bench: Bench) -> None:
    """A unit whose files vanish under it rests, and runs again."""
    await bench.drive()
    async with bench.db.write() as connection:
        await connection.execute(update(tables.units).values(not_before=0.0))
    await bench.drive()


async def exported_urls(bench: Bench, export: Export) -> set[str]:
    body = await bench.resources.store.get(f"{export.prefix}/metadata.jsonl")
    return {orjson.loads(line)["url"] for line in body.splitlines()}


async def ask(bench: Bench, job_id: str, **delivery: Any) -> str:
    """Ask for an export whose images are made anew; return its job's id."""
    dataset_id = (await bench.job(job_id)).dataset_id
    request = ExportRequest(export_format="files", compression=CompressionRules(format="jpeg", level=50))
    where = Delivery(**delivery) if delivery else None
    return (await submit.submit_export(bench.resources, dataset_id, request, delivery=where)).job_id


@pytest.mark.parametrize("moment", ["while_written", "once_written", "while_verified"])
async def test_an_export_is_written_again_without_what_was_removed_meanwhile(bench: Bench, origin: Origin, moment: str) -> None:
    """Its job ends well, and nothing of the picture is left in the store."""
    urls = serve(origin, pictures(3))
    job_id = await ask(bench, await built(bench, urls))

    async def act() -> None:
        await forget(bench.resources, urls[:1], user_id="local")

    if moment != "while_written":
        await bench.drive(until=UnitKind.VERIFY)
    if moment == "once_written":
        await act()
    else:
        act_while_decoding(bench, act)
    await drive_to_the_end(bench)
    made = await newest(bench, job_id)
    assert (made.state, made.samples, (await bench.job(job_id)).state) == ("ready", 2, JobState.SUCCEEDED)
    assert await exported_urls(bench, made) == {*urls[1:]}
    held = [item.key async for item in bench.resources.store.list("exports/")]
    assert len([key for key in held if key.endswith(".jpg")]) == 2


async def test_an_export_that_was_withdrawn_is_not_sent(tmp_path: Path, bench: Bench, origin: Origin) -> None:
    """It was verified, and waits for its destination."""
    async with bucket_environment() as server:
        urls = serve(origin, pictures(3))
        job_id = await ask(bench, await built(bench, urls), destination="s3://bucket/set")
        await bench.drive(until=UnitKind.PUBLISH)
        await forget(bench.resources, urls[:1], user_id="local")
        await bench.drive()
        made = await newest(bench, job_id)
        assert (made.state, made.delivered_at, server.buckets["bucket"]) == ("withdrawn", None, {})
        assert "export the dataset again" in str((await bench.job(job_id)).error)


async def test_what_a_stage_decided_before_an_image_was_removed_is_void(bench: Bench, origin: Origin) -> None:
    """A stage that read the row earlier writes its outcome later."""
    urls = serve(origin, pictures(2))
    job_id = await built(bench, urls)
    row = (await rows_of(bench, job_id))[0]
    await forget(bench.resources, urls[:1], user_id="local")
    async with bench.db.write() as connection:
        await images.update_many(connection, [{"id": row.id, "state": ImageState.KEPT, "sha256": row.sha256}])
        await images.update_alike(connection, [row.id], {"state": ImageState.VALID})
    now = (await rows_of(bench, job_id))[0]
    assert (now.state, now.sha256) == (ImageState.TOMBSTONED, None)
