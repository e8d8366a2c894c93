"""Groups of candidates."""

from itertools import count, islice

import pytest

from app.discovery import chunks


def test_batches_when_rest_is_smaller() -> None:
    """Order is kept and the last batch is what is left."""
    assert list(chunks.batches(range(7), 3)) == [(0, 1, 2), (3, 4, 5), (6,)]
    assert list(chunks.batches([], 3)) == []


def test_batches_when_items_never_end() -> None:
    """No more is taken than is yielded."""
    items = count()
    assert list(islice(chunks.batches(items, 2), 2)) == [(0, 1), (2, 3)]
    assert next(items) == 4


def test_batches_when_size_is_no_size() -> None:
    """The mistake shows where it is made."""
    with pytest.raises(ValueError, match="less than 1"):
        chunks.batches([1], 0)
