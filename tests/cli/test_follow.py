"""Snapshots of a job."""

import time

from app.cli.follow import Snapshot
from app.db.rows import Funnel
from app.job_states import JobState
from tests.cli.test_progress import NOW, a_job, a_snapshot


def test_snapshot_of_an_ended_job_stops_its_clock() -> None:
    """Elapsed is what it took."""
    assert a_snapshot(0, a_job(JobState.SUCCEEDED, finished_at=NOW - 30)).elapsed_s == 30
    assert Snapshot(a_job(), Funnel(())).at <= time.monotonic()
