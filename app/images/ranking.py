"""What tells whether two images show one picture, and which of them is kept. Pure; imports no array library."""

from typing import Final, Literal, Protocol

__all__ = ["RANKING", "Pictured", "Rankable", "compare_rank"]

Property = Literal["decided", "was_kept", "is_labelled", "pixels", "size_bytes", "id"]

RANKING: Final[tuple[tuple[Property, Literal[1, -1]], ...]] = (
    *(("decided", -1), ("was_kept", -1), ("is_labelled", -1), ("pixels", -1), ("size_bytes", -1)),
    ("id", 1),
)
"""Properties in the order in which they decide, each with its sign in an ascending sort: decided by a person, kept by the version before,
labelled, most pixels, most bytes, lowest id."""


class Pictured(Protocol):
    """What tells whether two images show one picture."""

    @property
    def id(self) -> int:
        """Unique; a lower id was found earlier."""
        ...

    @property
    def sha256(self) -> str:
        """Of its bytes."""
        ...

    @property
    def phash(self) -> str | None:
        """16 hex digits, or None where there is none."""
        ...

    @property
    def colours(self) -> bytes | None:
        """Its colour grid, see `app.images.measures.colour_grid`; None where it was judged before there were any."""
        ...

    @property
    def pixels(self) -> int:
        """Width times height."""
        ...


class Rankable(Protocol):
    """What the ranking reads of an image."""

    @property
    def id(self) -> int:
        """Unique; a lower id was found earlier."""
        ...

    @property
    def decided(self) -> int:
        """2 where a person keeps it, 1 where a person took it out, 0 where nobody decided. What was decided is a copy of nothing."""
        ...

    @property
    def was_kept(self) -> bool:
        """Whether it was kept in the version of its dataset that this one was made of: what is kept stays."""
        ...

    @property
    def is_labelled(self) -> bool:
        """Whether it has a label, which a copy without one would lose."""
        ...

    @property
    def pixels(self) -> int:
        """Width times height."""
        ...

    @property
    def size_bytes(self) -> int:
        """Length of the bytes as fetched."""
        ...


def compare_rank(one: Rankable, other: Rankable) -> tuple[Property, bool]:
    """Return the property that decides between two images, and whether ``one`` ranks before ``other``."""
    for name, sign in RANKING:
        difference = sign * (getattr(one, name) - getattr(other, name))
        if difference:
            return name, difference < 0
    return "id", False
