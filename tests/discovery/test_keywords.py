"""Keywords and labels."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import errors
from app.discovery import keywords
from app.spec import Keyword


def test_clean_when_spaces_forms_and_case_differ() -> None:
    """The first spelling of a keyword stays, in NFKC and in order."""
    assert keywords.clean(["  red \t fox", "ｃａｔ", "Red Fox", "cat", "Straße", "STRASSE"]) == ("red fox", "cat", "Straße")


def test_settle_when_keyword_stands_twice() -> None:
    """The same wish counts once; another wish is an error that names both places."""
    dog = Keyword(keyword="Poodle", label="dog", max_images=3)
    assert keywords.settle([dog, Keyword(keyword="poodle", label="dog", max_images=3), Keyword(keyword=" a  b ")]) == (
        dog,
        Keyword(keyword="a b"),
    )
    words = r"keyword 2 \('poodle'\) asks for 4 images, keyword 1 for label 'dog', 3 images; write"
    with pytest.raises(errors.ValidationError, match=words):
        keywords.settle([dog, Keyword(keyword="poodle", max_images=4)])


@pytest.mark.parametrize("word", ["a\x00b", "a\u202eb", "a\u200bb", "a\ud800"])
def test_clean_when_invisible_character(word: str) -> None:
    """The error names the keyword and the character."""
    with pytest.raises(errors.ValidationError, match=r"keyword 2 \('a.*U\+[0-9A-F]{4}"):
        keywords.clean(["fine", word])


def test_clean_when_joiner_belongs_to_word() -> None:
    """Persian and emoji need characters that join."""
    assert keywords.clean(["می\u200cخواهم"]) == ("می\u200cخواهم",)


def test_clean_when_empty_or_long() -> None:
    """Nothing, and a page of text, are no keywords."""
    with pytest.raises(errors.ValidationError, match="keyword 1 is empty"):
        keywords.clean(["  "])
    with pytest.raises(errors.ValidationError, match="at most 100"):
        keywords.clean(["x" * 101])


@pytest.mark.parametrize(
    ("keyword", "expected"),
    [
        ("Golden Retriever!", "golden_retriever"),
        ("猫", "猫"),
        ("नमस्ते दुनिया", "नमस्ते_दुनिया"),
        ("../../etc", "etc"),
        ("CON", "con_"),
        ("🐱", "u1f431"),
        ("", "unnamed"),
    ],
)
def test_slug_when_keyword(keyword: str, expected: str) -> None:
    """A label is readable in any script and no path."""
    assert keywords.slug(keyword) == expected


@settings(deadline=None)
@given(st.text(max_size=150))
def test_slug_always_a_folder_name(keyword: str) -> None:
    """No keyword makes a label that a file system refuses."""
    label = keywords.slug(keyword)
    assert label not in ("", ".", "..")
    assert not set(label) & set('/\\:*?"<>|\x00 ')
    assert len(label.encode()) <= keywords.MAX_SLUG_BYTES + 1


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("list.txt", "a list"),
        ("*.csv", "a list"),
        ("data/URLS.JSONL.gz", "a list"),
        ("https://img.example/a.jpg", "a URL"),
        ("//img.example/a.jpg", "a URL"),
        ("photos/", "a folder"),
        (".", "a folder"),
        ("cat.JPG", "an image file"),
        ("red panda", None),
        ("AC/DC", None),
        ("St. Bernard", None),
        ("node.js", None),
        ("http status", None),
    ],
)
def test_input_kind_when_word(word: str, kind: str | None) -> None:
    """URLs and names of files are no keywords; what is merely written with a dot or a slash is one."""
    assert keywords.input_kind(word) == kind
    if kind is None:
        assert keywords.clean([word])
    else:
        with pytest.raises(errors.ValidationError, match=rf"keyword 1 \(.*\) is {kind}.*give image URLs as urls"):
            keywords.clean([word])
