"""Snapshots of a job."""

import time
from dataclasses import replace
from typing import Any

import pytest

from app.cli.follow import Snapshot, take_snapshot
from app.db import Database, datasets
from app.db.funnel import Funnel
from app.job_states import JobKind, JobState
from tests.cli.test_progress import NOW, a_job, a_snapshot
from tests.db import builders


def test_snapshot_of_an_ended_job_stops_its_clock() -> None:
    """Elapsed is what it took."""
    assert a_snapshot(0, a_job(JobState.SUCCEEDED, finished_at=NOW - 30)).elapsed_s == 30
    assert Snapshot(a_job(), Funnel(())).at <= time.monotonic()


@pytest.mark.parametrize(
    ("state", "samples", "words"),
    [
        ("pending", None, "exporting 200 images"),
        ("pending", 120, "exporting 120 of 200 images"),
        ("written", 200, "reading back 200 images"),
    ],
)
async def test_snapshot_of_an_export_says_how_much_of_it_is_written(any_database: Database, state: str, samples: int, words: str) -> None:
    """From its row; of a job that has ended nothing."""
    job_id = await builders.add_job(any_database, kind=JobKind.EXPORT)
    dataset_id = (await builders.job_row(any_database, job_id)).dataset_id
    async with any_database.write() as connection:
        kind = {"export_format": "files", "storage_tier": "standard"}
        export_id = await datasets.add_export(connection, user_id="local", dataset_id=dataset_id, job_id=job_id, **kind)
        await datasets.set_export(connection, export_id, state=state, samples=samples)
    snapshot = replace(await take_snapshot(any_database, job_id, lambda: (), None), funnel=a_snapshot(200).funnel)
    assert snapshot.doing == words
    assert replace(snapshot, job=a_job(JobState.SUCCEEDED, kind=JobKind.EXPORT)).doing == ""


@pytest.mark.parametrize(
    ("delivery", "words"),
    [
        ({"overwrite": False}, "sending to s3://bucket/set"),
        (
            {"files": 12, "all_files": 40, "size_bytes": 3_100_000, "all_bytes": 8_000_000},
            "sending 12 of 40 files, 3.1 MB of 8.0 MB, to s3://bucket/set",
        ),
    ],
)
async def test_snapshot_of_an_export_says_how_much_of_it_is_sent(any_database: Database, delivery: dict[str, Any], words: str) -> None:
    """From its row, until it is delivered."""
    job_id = await builders.add_job(any_database, kind=JobKind.EXPORT)
    dataset_id = (await builders.job_row(any_database, job_id)).dataset_id
    async with any_database.write() as connection:
        kind = {"export_format": "files", "storage_tier": "standard", "destination": "s3://bucket/set"}
        export_id = await datasets.add_export(connection, user_id="local", dataset_id=dataset_id, job_id=job_id, **kind)
        await datasets.set_export(connection, export_id, state="ready", delivery=delivery)
    snapshot = await take_snapshot(any_database, job_id, lambda: (), None)
    assert snapshot.doing == words
    async with any_database.write() as connection:
        await datasets.mark_delivered(connection, export_id, delivery)
    assert not (await take_snapshot(any_database, job_id, lambda: (), None)).doing.startswith("sending")
