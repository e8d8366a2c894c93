"""A story is lines: what each is about, and what it says. Pure."""

from dataclasses import dataclass

__all__ = ["Line"]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is known.

    Attributes:
        topic: one word.
        words: printable, whatever the data holds.
        at: when it happened, Unix time, where that is known.
    """

    topic: str
    words: str
    at: float | None = None
