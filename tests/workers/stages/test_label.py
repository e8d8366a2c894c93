"""Which images are kept, and where they go."""

from app.db.image_search import Choice
from workers.stages.label import assign_splits, choose, spelled_apart


def item(number: int, search: str, rank: int) -> Choice:
    """A valid image."""
    return Choice(number, f"{number:064x}", None, search, rank)


def test_all_are_kept_without_a_target() -> None:
    """No target, no choice."""
    found = [item(number, "a", number) for number in range(3)]
    assert choose(found, None) == (found, [])
    assert choose(found, 3) == (found, [])


def test_searches_take_turns() -> None:
    """A keyword with many images does not crowd out one with few; each gives its best ranked first."""
    found = [item(number, "many", number) for number in range(10)] + [item(20, "few", 1), item(21, "few", 0)]
    kept, over = choose(found, 5)
    assert [entry.id for entry in kept] == [0, 21, 1, 20, 2]
    assert len(over) == 7


def test_keywords_take_turns_and_their_searches_within_them() -> None:
    """Two sources of one keyword give no more than the one of another; the remainder goes to the first keyword."""
    found = [item(number, "cat a", number) for number in range(5)] + [item(10 + number, "cat b", number) for number in range(5)]
    found += [item(20 + number, "dog", number) for number in range(5)]
    kept, _ = choose(found, 5, {"dog": 0, "cat a": 1, "cat b": 1})
    assert [entry.id for entry in kept] == [20, 0, 21, 10, 22]


def test_splits_of_the_list_stand_unless_the_job_asks_for_shares() -> None:
    """An image without a split follows its group, else it is for training."""
    found = [
        Choice(number, group, None, "a", number, split)
        for number, (group, split) in enumerate([("g", None), ("g", "val"), ("h", "test"), ("i", None), ("g", None)])
    ]
    assert assign_splits(found, [None] * 5, {"train": 1.0}, 0) == ["val", "val", "test", "train", "val"]
    assert set(assign_splits(found, [None] * 5, {"val": 1.0}, 0)) == {"val"}


def test_labels_that_differ_by_case_are_named() -> None:
    """They stay different classes, which is seldom meant."""
    assert spelled_apart(["Cat", "cat", None, "dog", "cat", "STRASSE", "Straße"]) == ["Cat", "STRASSE", "Straße", "cat"]
    assert (
        spelled_apart([f"{word}{number}" for number in range(30) for word in "aA"]) == [f"A{n}" for n in sorted(map(str, range(30)))][:20]
    )
    assert spelled_apart(["a", "b"]) == []
