"""Tests of app.exports.shard_counter."""

import pytest

from app.exports.shard_counter import ShardCounter
from tests.exports.builders import sample


def numbers(shard_samples: int, shard_bytes: int, sizes: list[int], splits: str = "") -> list[int]:
    """The shard of samples of these sizes, each in the split of a letter."""
    counter = ShardCounter(shard_samples, shard_bytes)
    letters = splits or "a" * len(sizes)
    return [counter.add(sample(0, size_bytes=size, split=split)) for size, split in zip(sizes, letters, strict=True)]


@pytest.mark.parametrize(
    ("shard_samples", "shard_bytes", "sizes", "wanted"),
    [
        (2, 1_000, [1, 1, 1, 1, 1], [0, 0, 1, 1, 2]),
        (9, 10, [4, 6, 1, 9, 1], [0, 0, 1, 1, 2]),
        (9, 10, [99, 1, 99, 99], [0, 1, 2, 3]),
        (1, 1, [0, 0], [0, 1]),
    ],
)
def test_a_shard_ends_before_it_exceeds_its_limits(shard_samples: int, shard_bytes: int, sizes: list[int], wanted: list[int]) -> None:
    """In samples or in bytes; a larger sample has a shard of its own, and none is empty."""
    assert numbers(shard_samples, shard_bytes, sizes) == wanted


def test_each_split_has_its_own_shards() -> None:
    """Whatever stands between two samples of it."""
    assert numbers(2, 1_000, [1] * 6, "abaabb") == [0, 0, 0, 1, 0, 1]


def test_counts_are_those_of_the_splits_that_there_are() -> None:
    """Sorted by name; none without samples."""
    counter = ShardCounter(1, 1_000)
    assert counter.counts() == {}
    for split in ("train", "test", "train"):
        counter.add(sample(0, split=split))
    assert list(counter.counts().items()) == [("test", 1), ("train", 2)]
