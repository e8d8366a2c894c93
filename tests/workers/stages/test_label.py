"""Which images are kept, and where they go."""

from app.db.image_search import Choice
from workers.stages.label import choose


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
