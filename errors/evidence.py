"""What a stranger wrote, made fit to be kept and shown: one bounded line, nothing in it that a terminal or a database obeys. Pure."""

from typing import Final

__all__ = ["EVIDENCE_CHARS", "as_evidence"]

EVIDENCE_CHARS: Final = 300
"""Enough for a header line or a rule with its place; a row keeps no essays."""


def as_evidence(text: str, limit: int = EVIDENCE_CHARS) -> str:
    """Return the text with everything that does not print escaped (controls, bidi marks, surrogates), at most ``limit`` characters long.

    Total, and the same again when applied twice.
    """
    if len(text) > limit or not text.isprintable():
        escaped = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text[:limit])
        return escaped[: limit - 1] + "…" if len(escaped) > limit or len(text) > limit else escaped
    return text
