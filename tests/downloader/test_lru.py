"""The bounded dictionary: which entry goes, and which may not."""

from downloader.lru import LRUDict


def test_least_recently_used_goes_first():
    """A read counts as a use, a peek does not."""
    entries = LRUDict(2)
    entries.put("a", 1)
    entries.put("b", 2)
    assert (entries.get("a"), entries.peek("b")) == (1, 2)
    entries.put("c", 3)
    assert list(entries) == ["a", "c"]
    assert (entries.get("b"), entries.values()) == (None, (1, 3))


def test_replaced_value_counts_as_used():
    """The newest value of a key counts."""
    entries = LRUDict(2)
    for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        entries.put(key, value)
    assert (list(entries), entries.peek("a")) == (["a", "c"], 3)


def test_entry_that_may_not_be_dropped_stays():
    """The oldest one that may be dropped goes; where none may, the dictionary grows."""
    entries = LRUDict(2, lambda value: value > 1)
    for key, value in (("a", 1), ("b", 2), ("c", 1)):
        entries.put(key, value)
    assert list(entries) == ["a", "c"]
    entries.put("d", 1)
    assert len(entries) == 3


def test_forced_bound_drops_the_oldest_all_the_same():
    """Memory is bounded whatever the values are."""
    entries = LRUDict(2, lambda value: False, force=True)
    for key in "abcde":
        entries.put(key, 1)
    assert list(entries) == ["d", "e"]
