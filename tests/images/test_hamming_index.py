"""Tables lose no near hash and stay small. `test_dedupe` compares the result with all pairs."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.images.hamming_index import _masks, _shared_blocks, assign_keepers


def test_the_first_of_near_hashes_keeps_the_others() -> None:
    """Equal ones as well, and the distance is that to the keeper."""
    hashes = np.array([7, 0, 0xFF00, 7, 1], dtype=np.uint64)
    keepers, distances = assign_keepers(hashes, 3)
    assert keepers.tolist() == [0, 0, 2, 0, 0]
    assert distances.tolist() == [0, 3, 0, 0, 2]
    assert [array.tolist() for array in assign_keepers(hashes, 0)] == [[0, 1, 2, 0, 4], [0] * 5]


@given(st.integers(1, 16), st.integers(0, 4), st.sets(st.integers(0, 63), max_size=16))
def test_near_hashes_share_a_bucket_of_some_table(distance: int, shared: int, bits: set[int]) -> None:
    """However many blocks a key has: whichever bits differ, up to the distance, one table has both hashes in one bucket."""
    apart = sum(1 << bit for bit in sorted(bits)[:distance])
    masks = [int(mask) for mask in _masks(distance, shared)]
    assert any(apart & mask == 0 for mask in masks)
    assert len(masks) == len(set(masks)) == math.comb(distance + shared, shared)


@pytest.mark.parametrize("count", [10_000, 100_000, 1_000_000, 10_000_000])
def test_buckets_do_not_grow_with_the_hashes(count: int) -> None:
    """At the default distance a key gets as many bits as keep a bucket of unrelated hashes small."""
    mask = int(next(iter(_masks(6, _shared_blocks(count, 6)))))
    assert count / 2 ** mask.bit_count() < 32


def test_the_search_takes_more_blocks_only_where_that_costs_less() -> None:
    """A few hashes need few tables, and the largest distances are cheapest in one pass over all."""
    assert [_shared_blocks(count, 6) for count in (2, 10_000, 1_000_000, 10_000_000)] == [0, 1, 2, 3]
    assert _shared_blocks(10_000, 16) == 0


def test_many_hashes_are_held_in_a_few_tables_at_once() -> None:
    """Tables hold the hashes that may have neighbours only; nothing is kept of the others."""
    hashes = np.random.default_rng(3).integers(0, 2**64, 50_000, dtype=np.uint64)
    tracemalloc.start()
    keepers, _ = assign_keepers(hashes, 6)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (keepers == np.arange(len(hashes))).all()
    assert peak < len(hashes) * 200
