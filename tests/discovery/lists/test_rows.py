"""Rows that could not be used."""

from app.discovery.lists import rows
from app.domain import Problem


def test_bad_row_when_text_is_long_and_secret() -> None:
    """A problem shows the beginning of its line, without credentials."""
    assert rows.bad_row(3, "broken", b"https://u:p@host/" + b"x" * 999) == Problem(3, "broken", "https://…@host/" + "x" * 185)
