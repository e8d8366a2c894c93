"""Normalises keywords and derives a label from one. Searches nothing."""

import unicodedata
from collections.abc import Iterable

import errors
from app.invisible import find_invisible

__all__ = ["MAX_CHARS", "clean", "fold", "slug"]

MAX_CHARS = 100
MAX_SLUG_BYTES = 120
"""Of UTF-8. Leaves room in a file name, 255 bytes on common file systems, for what exporters add."""

_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})
"""File names that Windows reserves."""


def clean(words: Iterable[str]) -> tuple[str, ...]:
    """Return keywords in NFKC with single spaces, in their order, without those that differ from an earlier one in case only.

    Raises:
        errors.ConfigurationError: a keyword is empty, too long, or holds a character that nobody can see.
    """
    kept: dict[str, str] = {}
    for number, word in enumerate(words, 1):
        keyword = " ".join(unicodedata.normalize("NFKC", word).split())
        _check(keyword, word, number)
        kept.setdefault(fold(keyword), keyword)
    return tuple(kept.values())


def fold(keyword: str) -> str:
    """Return the case-folded form of a keyword, equal for spellings that differ in case or spaces only."""
    return " ".join(unicodedata.normalize("NFKC", keyword).casefold().split())


def slug(keyword: str) -> str:
    """Return a label for a keyword, safe as a folder name everywhere: lower-case letters and digits of any script, and ``_``."""
    folded = unicodedata.normalize("NFKC", keyword).lower()
    kept = "".join(char if unicodedata.category(char)[0] in "LNM" else " " for char in folded)
    label = "_".join(kept.split()) or "_".join(f"u{ord(char):x}" for char in folded if not char.isspace()) or "unnamed"
    label = label.encode("utf-8", "ignore")[:MAX_SLUG_BYTES].decode("utf-8", "ignore").strip("_")
    return f"{label}_" if label in _DEVICES else label


def _check(keyword: str, typed: str, number: int) -> None:
    which = f"keyword {number} ({_shown(keyword)})"
    if not keyword:
        raise errors.ConfigurationError(f"keyword {number} is empty; leave it out or write a word")
    if len(keyword) > MAX_CHARS:
        raise errors.ConfigurationError(f"{which} has {len(keyword)} characters; at most {MAX_CHARS} are searched for")
    if invisible := find_invisible(typed):
        raise errors.ConfigurationError(f"{which} holds the invisible character {invisible}; remove it")


def _shown(keyword: str) -> str:
    return ascii(keyword[:40]) if not keyword.isprintable() else repr(keyword[:40])
