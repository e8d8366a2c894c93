"""Which images are kept, and where they go."""

from app.db.fingerprints import Choice
from app.images import assign_all
from workers.labelling import _places, choose


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


def test_where_there_is_one_split_it_is_everyones() -> None:
    """As the general way would have it, which takes its time."""
    kept = [item(number, "a", number) for number in range(5)]
    for splits in ({"train": 1.0}, {"test": 0.3, "train": 0}):
        expected = assign_all([("", entry.group) for entry in kept], splits, 0)
        assert list(_places(kept, [None] * 5, splits, 0)) == expected
    both = {"train": 0.6, "test": 0.4}
    assert sorted(_places(kept, [None] * 5, both, 0)) == ["test"] * 2 + ["train"] * 3
