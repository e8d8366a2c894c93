"""Tests of app.exports.markdown: strangers' text cannot break a table, run HTML or change the YAML."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.exports import markdown


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        (None, ""),
        ("a | b", "a \\| b"),
        ("two\nlines\u2028here\x00", "two lines here"),
        ("<script>", "\\<script\\>"),
        ("[x](javascript:1)", "\\[x\\](javascript:1)"),
        ("\u202egpj.exe", "gpj.exe"),
        ("`code` *bold*", "\\`code\\` \\*bold\\*"),
    ],
)
def test_cell_is_inert(text: str | None, safe: str) -> None:
    """One line of words."""
    assert markdown.cell(text) == safe


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        (None, ""),
        ("https://a.example/x y?q=1|2", "<https://a.example/x%20y?q=1%7C2>"),
        ("https://a.example/<b>", "<https://a.example/%3Cb%3E>"),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ("http://[broken", "http://\\[broken"),
    ],
)
def test_link_is_only_made_of_web_addresses(url: str | None, safe: str) -> None:
    """Everything else stays words."""
    assert markdown.link(url) == safe


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_yaml_text_reads_back_as_it_was(text: str) -> None:
    """Quotes, backslashes, emoji and control characters included: class names must match exactly."""
    assert yaml.safe_load(f"- {markdown.yaml_text(text)}") == [text]
