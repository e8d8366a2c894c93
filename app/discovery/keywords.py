"""Normalises keywords, and derives a label from one. Searches nothing."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal

import errors
from app.domain import EXTENSIONS
from app.invisible import find_invisible
from app.spec import Keyword

__all__ = ["MAX_CHARS", "InputKind", "clean", "fold", "input_kind", "settle", "slug"]

InputKind = Literal["a URL", "a list", "an image file", "a folder"]

MAX_CHARS = 100
MAX_SLUG_BYTES = 120
"""Of UTF-8. Leaves room in a file name, 255 bytes on common file systems, for what exporters add."""

_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})
"""File names that Windows reserves."""


_LIST_NAME = re.compile(r"(?i).*\.(txt|csv|tsv|jsonl?|ndjson|parquet)(\.(gz|zst))?")
_IMAGE_NAME = re.compile(rf"(?i).*\.({'|'.join({*EXTENSIONS.values(), 'jpeg', 'tiff'})})")


def clean(words: Iterable[str]) -> tuple[str, ...]:
    """Return keywords in NFKC with single spaces, in their order, without those that differ from an earlier one in case only.

    Raises:
        errors.ValidationError: a keyword is empty, too long, a URL or a file's name, or holds a character that nobody can see.
    """
    kept: dict[str, str] = {}
    for number, word in enumerate(words, 1):
        keyword = _cleaned(word, f"keyword {number}")
        kept.setdefault(fold(keyword), keyword)
    return tuple(kept.values())


def settle(asked: Iterable[Keyword], places: Sequence[str] = ()) -> tuple[Keyword, ...]:
    """Return keywords as `clean` does, with what is asked of each.

    Args:
        places: where each stands, for errors; by default its number.

    Raises:
        errors.ValidationError: as `clean`, or a keyword stands twice with different labels or numbers.
    """
    kept: dict[str, tuple[Keyword, str]] = {}
    for number, item in enumerate(asked):
        place = places[number] if places else f"keyword {number + 1}"
        found = item.model_copy(update={"keyword": _cleaned(item.keyword, place)})
        first, where = kept.setdefault(fold(found.keyword), (found, place))
        if (first.label, first.max_images) != (found.label, found.max_images):
            raise errors.ValidationError(
                f"{place} ({_shown(found.keyword)}) asks for {_wish(found)}, {where} for {_wish(first)}; write the keyword once"
            )
    return tuple(item for item, _ in kept.values())


def _wish(item: Keyword) -> str:
    """``label 'dog', 30 images``: what is asked of a keyword."""
    number = "a fair share" if item.max_images is None else f"{item.max_images} images"
    return f"label {item.label[:40]!r}, {number}" if item.label else number


def _cleaned(word: str, place: str) -> str:
    keyword = " ".join(unicodedata.normalize("NFKC", word).split())
    _check(keyword, word, place)
    return keyword


def fold(keyword: str) -> str:
    """Return the case-folded form of a keyword, equal for spellings that differ in case or spaces only."""
    return " ".join(unicodedata.normalize("NFKC", keyword).casefold().split())


def input_kind(word: str) -> InputKind | None:
    """Return what a word names where it is no keyword: a URL, or a path by its form. A search for either finds nothing."""
    text = word.strip()
    if re.match(r"(?i)(https?:|//)", text):
        return "a URL"
    if text.endswith(("/", "\\")) or text in (".", ".."):
        return "a folder"
    if _LIST_NAME.fullmatch(text):
        return "a list"
    return "an image file" if _IMAGE_NAME.fullmatch(text) else None


def slug(keyword: str) -> str:
    """Return a label for a keyword, safe as a folder name everywhere: lower-case letters and digits of any script, and ``_``."""
    folded = unicodedata.normalize("NFKC", keyword).lower()
    kept = "".join(char if unicodedata.category(char)[0] in "LNM" else " " for char in folded)
    label = "_".join(kept.split()) or "_".join(f"u{ord(char):x}" for char in folded if not char.isspace()) or "unnamed"
    label = label.encode("utf-8", "ignore")[:MAX_SLUG_BYTES].decode("utf-8", "ignore").strip("_")
    return f"{label}_" if label in _DEVICES else label


def _check(keyword: str, typed: str, place: str) -> None:
    which = f"{place} ({_shown(keyword)})"
    if not keyword:
        raise errors.ValidationError(f"{place} is empty; leave it out or write a word")
    if len(keyword) > MAX_CHARS:
        raise errors.ValidationError(f"{which} has {len(keyword)} characters; at most {MAX_CHARS} are searched for")
    if kind := input_kind(keyword):
        raise errors.ValidationError(f"{which} is {kind}, not a word to search for; give image URLs as urls")
    if invisible := find_invisible(typed):
        raise errors.ValidationError(f"{which} holds the invisible character {invisible}; remove it")


def _shown(keyword: str) -> str:
    return ascii(keyword[:40]) if not keyword.isprintable() else repr(keyword[:40])
