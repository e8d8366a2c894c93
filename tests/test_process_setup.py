"""The collector's settings: out of the way at first, then made once, and what was there before is left out."""

import gc

import pytest

from app import process_setup


@pytest.fixture
def as_at_the_start():
    """Undo what the collection of tests has set, and set it again for the tests to come."""
    process_setup.tune_gc.cache_clear()
    gc.unfreeze()
    yield
    process_setup.tune_gc.cache_clear()
    process_setup.tune_gc()


def test_what_was_there_is_frozen_once(as_at_the_start):
    """A second call changes nothing: it would freeze what is only passing through."""
    process_setup.tune_gc()
    frozen = gc.get_freeze_count()
    assert frozen > 1000
    assert gc.get_threshold()[0] == 50_000
    kept = [[] for _ in range(100)]
    process_setup.tune_gc()
    assert gc.get_freeze_count() <= frozen
    assert len(kept) == 100


def test_a_start_is_not_held_up(as_at_the_start):
    """Imports make objects by the hundred thousand, and what they leave behind is no garbage."""
    process_setup.defer_gc()
    assert gc.get_threshold()[0] == 300_000
