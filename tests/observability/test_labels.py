"""The lists that labels take their values from are those of the code."""

import pytest

from app.db import outbox
from app.observability import labels
from app.observability.registry import OTHER
from app.queue import JOB_NAMES, QUEUES
from workers import sweeper
from workers.job import JOBS


def test_functions_are_the_jobs_that_there_are() -> None:
    """The 12, and the crons."""
    assert set(labels.FUNCTIONS) == {*JOB_NAMES.values(), *(name for name in sweeper.__all__ if name in JOBS)}


def test_queues_and_moves_are_those_of_the_code() -> None:
    """One place spells them; this is the other."""
    assert set(labels.QUEUES) == set(QUEUES)
    assert set(labels.SWEEP_MOVES) == set(outbox.Swept.__dataclass_fields__)


@pytest.mark.parametrize(("number", "label"), [(0, "1"), (1, "1"), (3, "3"), (4, "4+"), (900, "4+")])
def test_an_attempts_number_is_bounded(number: int, label: str) -> None:
    """Whatever the settings allow."""
    assert labels.number_of(number) == label


@pytest.mark.parametrize(("status", "label"), [(None, "none"), (200, "2xx"), (404, "4xx"), (503, "5xx"), (999, "other")])
def test_a_status_is_its_class(status: int | None, label: str) -> None:
    """No answer is one of them."""
    assert labels.status_class(status) == label
    assert label in (*labels.STATUS_CLASSES, OTHER)
