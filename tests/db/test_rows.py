"""Tests of app.db.rows: the funnel's arithmetic; the rest are plain values that match their tables."""

from dataclasses import fields

import pytest

from app.db import rows, tables
from app.db.funnel import Funnel, SourceCount
from app.db.rows import Job
from app.domain import ImageState, Reason, StoredImage
from app.job_states import ACTIVE_JOB_STATES, FINAL_JOB_STATES, JobKind, JobState

COUNTS = (
    SourceCount("list", ImageState.PENDING, None, 1),
    SourceCount("list", ImageState.DEFERRED, Reason.RATE_LIMITED, 2),
    SourceCount("list", ImageState.FETCHED, None, 4),
    SourceCount("list", ImageState.VALID, None, 8),
    SourceCount("list", ImageState.KEPT, None, 16),
    SourceCount("list", ImageState.FAILED, Reason.HTTP_404, 32),
    SourceCount("list", ImageState.REJECTED, Reason.BLURRY, 64),
    SourceCount("list", ImageState.REJECTED, Reason.OVER_TARGET, 128),
    SourceCount("list", ImageState.DUPLICATE, Reason.DUPLICATE_NEAR, 256),
    SourceCount("wikimedia", ImageState.FAILED, Reason.HTTP_404, 512),
    SourceCount("wikimedia", ImageState.TOMBSTONED, Reason.TOMBSTONED, 1024),
    SourceCount("wikimedia", ImageState.REJECTED, Reason.PLACEHOLDER, 2048),
    SourceCount("wikimedia", ImageState.REJECTED, Reason.LABEL_CONFLICT, 4096),
)
"""Each state with a power of two, so that a sum tells its parts."""


def test_each_stage_of_the_funnel_counts_all_that_reached_it() -> None:
    """Candidates, fetched, valid, unique, kept: what is over the target was unique, a placeholder or a label conflict was valid."""
    funnel = Funnel(COUNTS, attempts=9, retried=3, recovered=2)
    assert funnel.candidates == 8191
    assert funnel.fetched == 4 + 8 + 16 + 64 + 128 + 256 + 2048 + 4096
    assert funnel.valid == 8 + 16 + 256 + 128 + 2048 + 4096
    assert funnel.unique == 8 + 16 + 128
    assert funnel.kept == 16
    assert funnel.open == 1 + 2 + 4
    assert funnel.candidates >= funnel.fetched >= funnel.valid >= funnel.unique >= funnel.kept
    assert (funnel.attempts, funnel.retried, funnel.recovered) == (9, 3, 2)


def test_reasons_are_of_images_that_are_out() -> None:
    """Most frequent first, over all sources; a deferred image is not out yet."""
    assert list(Funnel(COUNTS).reasons.items()) == [
        ("label_conflict", 4096), ("placeholder", 2048),
        ("tombstoned", 1024), ("http_404", 544), ("duplicate_near", 256), ("over_target", 128), ("blurry", 64),
    ]  # fmt: skip
    even = (SourceCount("a", ImageState.FAILED, Reason.TIMEOUT, 1), SourceCount("a", ImageState.FAILED, Reason.NETWORK, 1))
    assert list(Funnel(even).reasons) == ["network", "timeout"]


def test_spare_candidates_are_not_requested() -> None:
    """They count as candidates only."""
    funnel = Funnel((SourceCount("a", ImageState.SPARE, Reason.NOT_REQUESTED, 45), SourceCount("a", ImageState.KEPT, None, 5)))
    assert (funnel.candidates, funnel.spare, funnel.requested, funnel.fetched, funnel.open, funnel.unique) == (50, 45, 5, 5, 0, 5)


def test_states_are_told_by_source() -> None:
    """Reasons of one state are added up."""
    assert Funnel(COUNTS).by_source() == {
        "list": {"pending": 1, "deferred": 2, "fetched": 4, "valid": 8, "kept": 16, "failed": 32, "rejected": 192, "duplicate": 256},
        "wikimedia": {"failed": 512, "tombstoned": 1024, "rejected": 6144},
    }


def test_an_empty_funnel_is_all_zeros() -> None:
    """A job that has found nothing yet."""
    funnel = Funnel(())
    assert (funnel.candidates, funnel.fetched, funnel.valid, funnel.unique, funnel.kept, funnel.open) == (0, 0, 0, 0, 0, 0)
    assert (funnel.reasons, funnel.by_source()) == ({}, {})


@pytest.mark.parametrize("state", JobState)
def test_a_job_is_final_in_its_last_states(state: JobState) -> None:
    """Every state is either active or final."""
    job = Job(
        "job_1", "ann", "ds_1", JobKind.BUILD, state, JobState.RUNNING, None, {}, None, 0, 0, 0, 0, None, None, None, None, 0.0, None, None
    )
    assert job.is_final == (state in FINAL_JOB_STATES) == (state not in ACTIVE_JOB_STATES)


@pytest.mark.parametrize(
    ("value", "table"),
    [
        (rows.Dataset, tables.datasets), (rows.Job, tables.jobs), (rows.Search, tables.searches), (rows.Export, tables.exports),
        (rows.DatasetCheck, tables.checks), (rows.Event, tables.events), (rows.WorkerRow, tables.workers),
    ],
)  # fmt: skip
def test_a_row_has_the_columns_of_its_table(value: type, table: object) -> None:
    """A column without a field, or a field without a column, is a mistake. What an event is found by stays in the database."""
    found_by = {"host", "chunk_id", "url_key"} if table is tables.events else set()
    assert {field.name for field in fields(value)} == set(table.c.keys()) - found_by  # type: ignore[attr-defined]


def test_an_image_has_every_column_but_its_key() -> None:
    """The digest that makes a URL unique stays in the database; colours are read for comparisons only, the rest by later fetches."""
    for_later_fetches = {"etag", "last_modified", "exempt_networks"}
    assert {field.name for field in fields(StoredImage)} == set(tables.images.c.keys()) - {"url_key", "colour_grid"} - for_later_fetches
