"""What a stranger wrote, fit to be kept and shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import as_evidence


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x-robots-tag: noai", "x-robots-tag: noai"),
        ("bücher ❤", "bücher ❤"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("a\0b", r"a\x00b"),
        ("a\u202eb", r"a\u202eb"),
        ("a\u2028b\x85", r"a\u2028b\x85"),
        ("\ud800", r"\ud800"),
        ("x" * 300, "x" * 300),
        ("x" * 301, "x" * 299 + "…"),
        ("\0" * 300, r"\x00" * 74 + r"\x0" + "…"),
    ],
)
def test_as_evidence(text: str, kept: str) -> None:
    """Escaped is what does not print, cut is what is too long; the rest stays as it was."""
    assert as_evidence(text) == kept


@given(st.text(st.characters(), max_size=700), st.integers(1, 400))
def test_as_evidence_is_total_bounded_and_stable(text: str, limit: int) -> None:
    """Any text becomes one printable line, and stays it."""
    kept = as_evidence(text, limit)
    assert kept.isprintable()
    assert len(kept) <= limit
    assert as_evidence(kept, limit) == kept
