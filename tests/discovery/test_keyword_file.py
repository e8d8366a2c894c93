"""Tests of app.discovery.keyword_file: formats, what is read, and errors that name the line."""

import pytest

import errors
from app.discovery import keyword_file
from app.spec import Keyword

DOGS = (Keyword(keyword="labrador", label="dog", max_images=30), Keyword(keyword="poodle", label="dog"), Keyword(keyword="cat"))


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("k.csv", "keyword,label,number\nlabrador,dog,30\npoodle,dog,\ncat,,\n"),
        ("k.csv", "Number;Label;Keyword\n30;dog;labrador\n;dog;poodle\n\n# pets\n;;cat\n"),
        ("k.tsv", "keyword\tlabel\tmax_images\nlabrador\tdog\t30\npoodle\tdog\t\ncat\t\t\n"),
        ("k.JSONL", '{"keyword": "labrador", "label": "dog", "number": 30}\n{"keyword": "poodle", "label": "dog"}\n"cat"\n'),
        ("stdin", 'keyword,label,number\n"labrador",dog,30\npoodle,dog,,,\ncat,,\n'),
        ("stdin", "\n# tab\nkeyword\tlabel\tnumber\nlabrador\tdog\t30\npoodle\tdog\t\ncat\t\t"),
        ("stdin", '{"keyword": "labrador", "label": "dog", "number": 30}\n{"keyword": "poodle", "label": "dog"}\n{"keyword": "cat"}\n'),
    ],
)
def test_every_format_says_the_same(name: str, body: str) -> None:
    """By the name's suffix, else by the first line; with any byte order mark and any line ends."""
    for text in (body.encode(), b"\xef\xbb\xbf" + body.encode(), body.replace("\n", "\r\n").encode(), body.encode("utf-16")):
        assert keyword_file.parse(text, name) == DOGS


def test_text_is_one_keyword_a_line() -> None:
    """Comments and blank lines are none; a line is one phrase, commas included; a repeated word counts once."""
    body = b"# animals\nred panda\n\n  cat, small \nRed  Panda\n"
    assert [item.keyword for item in keyword_file.parse(body, "k.txt")] == ["red panda", "cat, small"]


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("k.txt", b"\n# none\n", "k.txt: there is no keyword in it"),
        ("k.txt", b"cat\n\xffdog\n", "k.txt: line 2 is not UTF-8"),
        ("k.txt", b"cat\n\nhttps://a.example/b.jpg\n", "line 3 ('https://a.example/b.jpg') is a URL"),
        ("k.txt", "cat\nd\u200bog\n".encode(), "line 2: 'd\\u200bog' holds the invisible character U+200B"),
        ("k.txt", b"x" * 101, f"line 1: keyword '{'x' * 39}…' must have at most 100 characters"),
        ("k.txt", b"\n".join(b"word %d" % n for n in range(1002)), "line 1001 is keyword 1001; a build takes 1000"),
        ("k.csv", b"cat\ndog\n", "k.csv: line 1: 'cat' is no column; there is keyword, label, number"),
        ("k.csv", b"label,number\ndog,3\n", "line 1 is no header with a column keyword"),
        ("k.csv", b"keyword,lable\ncat,pet\n", "line 1: 'lable' is no column; did you mean label?"),
        ("k.csv", b"keyword,label\ncat\n", "line 2 has 1 columns, the header 2"),
        ("k.csv", b"keyword,label\ncat,pet,small\n", "line 2 has 3 columns, the header 2; quote what holds a delimiter"),
        ("k.csv", b'keyword\n"cat"s\n', "line 2 cannot be read"),
        ("k.csv", b"keyword,label\n,pet\n", "line 2: keyword is required"),
        ("k.csv", b"keyword,number\ncat,many\n", "line 2: number 'many' must be a whole number"),
        ("k.csv", b"keyword,number\n# c\ncat,0\n", "line 3: number '0' must be at least 1"),
        ("k.csv", b"keyword,label\ncat,a\ndog,b\nCat,c\n", "line 4 ('Cat') asks for label 'c', a fair share, line 2 for label 'a', a"),
        ("k.jsonl", b'{"keyword": "cat"}\n{"keyword"', "line 2 is no JSON"),
        ("k.jsonl", b'["cat"]', "line 1 is neither a word nor an object"),
        ("k.jsonl", b'{"word": "cat"}', "line 1: 'word' is no column; did you mean keyword?"),
        ("k.jsonl", b'{"keyword": 3}', "line 1: keyword '3' must be text"),
        ("k.jsonl", b'{"label": "x"}', "line 1: keyword is required"),
    ],
)  # fmt: skip
def test_a_fault_names_its_line(name: str, body: bytes, words: str) -> None:
    """And what to write instead; nothing is passed over."""
    with pytest.raises(errors.ValidationError) as caught:
        keyword_file.parse(body, name)
    assert words in str(caught.value)
