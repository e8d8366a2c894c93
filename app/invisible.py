"""Characters that nobody sees: found in words that people type, where they make two names that look the same. Pure."""

import unicodedata
from typing import Final

__all__ = ["find_invisible"]

_INVISIBLE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})
"""Controls, format characters (zero-width, bidirectional, soft hyphen, BOM, tags), half surrogates, unassigned code points, separators of
lines and paragraphs."""

_BLANKS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Of other categories, and without ink: the grapheme joiner, fillers of Hangul, inherent vowels of Khmer, the empty Braille cell."""

_SPACES: Final = frozenset("\t\n\r")
"""Controls that are white space on every screen."""

_ZERO_WIDTH_JOINER: Final = "\u200d"
_JOINERS: Final = frozenset({"\u200c", _ZERO_WIDTH_JOINER})

_VIRAMA: Final = 9
"""Canonical combining class of the signs after which Indic scripts use joiners (RFC 5892, A.1 and A.2)."""

_CURSIVE: Final = ("ARABIC", "SYRIAC", "NKO", "MONGOLIAN", "MANDAIC", "MANICHAEAN", "ADLAM", "HANIFI ROHINGYA")
"""Beginnings of the names of letters that join, and that a joiner keeps apart, as in Persian."""

_PICTURES: Final = frozenset({"So", "Sk"})
"""Categories of emoji and of their skin tones."""

_SELECTABLE: Final = frozenset({"So", "Sm", "Sk", "Po", "Nd", "Lo"})
"""Categories of emoji, key caps, ideographs and Mongolian letters, whose form a variation selector chooses."""


def find_invisible(text: str) -> str | None:
    """Return the first invisible character of a text by code point and name, such as ``U+200B ZERO WIDTH SPACE``; None without one.

    Joiners and variation selectors count where they do nothing: after other characters than those that they shape.
    """
    for at, char in enumerate(text):
        if _is_invisible(char) and not _shapes(text, at):
            return f"U+{ord(char):04X} {unicodedata.name(char, 'control character' if unicodedata.category(char) == 'Cc' else '')}".strip()
    return None


def _is_invisible(char: str) -> bool:
    if char in _SPACES:
        return False
    return unicodedata.category(char) in _INVISIBLE_CATEGORIES or char in _BLANKS or _is_selector(char)


def _is_selector(char: str) -> bool:
    """Whether a character is a variation selector."""
    return "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef" or "\u180b" <= char <= "\u180d" or char == "\u180f"


def _shapes(text: str, at: int) -> bool:
    """Whether a joiner or selector shapes the characters around it."""
    char, before, after = text[at], text[at - 1 : at], text[at + 1 : at + 2]
    if not before or not (char in _JOINERS or _is_selector(char)):
        return False
    if _is_selector(char):
        return unicodedata.category(before) in _SELECTABLE
    if unicodedata.combining(before) == _VIRAMA or unicodedata.name(before, "").startswith(_CURSIVE):
        return True
    is_picture = unicodedata.category(before) in _PICTURES or _is_selector(before)
    return char == _ZERO_WIDTH_JOINER and is_picture and after != "" and unicodedata.category(after) in _PICTURES
