"""Text from outside."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.discovery import text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("  two   words\n", "two words"),
        ("a\x00b\x1bc\u202ed\ufeff", "abcd"),
        ("half \ud800 char", "half char"),
        ("\u2028line\x85end", "line end"),
        ("नमस्ते 👩\u200d🚀", "नमस्ते 👩\u200d🚀"),
        ("", None),
        (" \x00 ", None),
        (7, None),
    ],
)
def test_clean_when_text_is_hostile(value: object, expected: str | None) -> None:
    """Control characters and half characters go, words stay."""
    assert text.clean(value, 50) == expected


@settings(deadline=None)
@given(st.text(), st.integers(1, 30))
def test_clean_always_bounded_and_encodable(value: str, limit: int) -> None:
    """What comes out is UTF-8, one line, and within its limit."""
    cleaned = text.clean(value, limit)
    if cleaned is not None:
        assert 0 < len(cleaned) <= limit
        assert len(cleaned.splitlines()) == 1
        cleaned.encode()


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("plain", "plain"),
        ("a &amp; b", "a & b"),
        ('<a href="//x">Ann</a><br>and<p>Bob</p>', "Ann and Bob"),
        ('<bdi>Unknown author</bdi><span style="display: none;">Unknown <b>author</b></span> end', "Unknown author end"),
        ("<script>alert(1)</script>x<style>y{}</style>", "x"),
        ("<![x[ a <b>b", "b"),
        ("<span style='display:none'>gone<br></i>", None),
        ("</p>x", "x"),
        (None, None),
    ],
)
def test_strip_html_when_markup(markup: object, expected: str | None) -> None:
    """Only what a reader would see is left."""
    assert text.strip_html(markup, 100) == expected


@settings(deadline=None)
@given(st.text(alphabet="<>!&[]/-a\"'= ", max_size=200))
def test_strip_html_when_anything(markup: str) -> None:
    """No markup makes it fail."""
    text.strip_html(markup, 100)


@pytest.mark.parametrize(
    "line",
    [
        "https://ann:secret@host/x",
        "HTTP://ann:sec@secret@host",
        "ann:secret@host",
        "see //u:secret@h/",
        "https://u:pa/secret@h",
        b"https://u:secret@h/\xff",
    ],
)
def test_preview_when_credentials(line: str | bytes) -> None:
    """A password in a line that could not be used is not shown."""
    assert "secret" not in text.preview(line)


def test_preview_of_a_value() -> None:
    """Of JSON, which can be nested deeper than Python writes it; how deep that is depends on its version."""
    assert text.preview({"a": [1]}) == "{'a': [1]}"
    assert text.preview(orjson.loads("[" * 1_000 + "]" * 1_000))
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert text.preview(deep) == "nested too deep to be shown"


def test_preview_when_long() -> None:
    """At most 200 characters are shown."""
    assert len(text.preview("x" * 5000)) == 200
    assert text.preview(b"\x00") == ""


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("tabby cat", "tabby cat"),
        ("t-shirt + hat, R&B", "t-shirt hat, R&B"),
        ('5" gun (old', "5 gun old"),
        ("title:x/y [1 TO 2] -dog !cat && ||", "title x y 1 TO 2 dog cat"),
        ("猫 OR Käse", "猫 OR Käse"),
        ("***", "***"),
    ],
)
def test_plain_words(query: str, words: str) -> None:
    """Signs of Lucene's syntax are spaces; a query of nothing else stays."""
    assert text.plain_words(query) == words


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ('<a href="//x">Ann</a> <a href="/y">Bob</a>', "//x"),
        ("<A HREF='a&amp;b'>x", "a&b"),
        ('<a name=x><a href=""><a href="y">', "y"),
        ('<img src="x"> href="y"', None),
        ("<![x[ <a href=y>", None),
        ("plain", None),
        (None, None),
    ],
)
def test_first_link_when_markup(markup: object, expected: str | None) -> None:
    """The first that leads anywhere, without entities."""
    assert text.first_link(markup) == expected


@settings(deadline=None)
@given(st.text(alphabet="<>!&[]/-a\"'= href", max_size=200))
def test_first_link_when_anything(markup: str) -> None:
    """Anything may stand there; nothing is raised."""
    assert text.first_link(markup) is None or isinstance(text.first_link(markup), str)
