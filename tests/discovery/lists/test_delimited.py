"""CSV and TSV."""

import io

import pytest

import errors
from app.discovery.lists import delimited
from app.domain import Candidate, ListProblem
from app.spec import ListSpec

SPEC = ListSpec(key="k", suffix=".csv")


def items(data: bytes, *, tabs: bool = False) -> list[Candidate | ListProblem]:
    table = delimited.table(io.BytesIO(data), SPEC, "the list x", tabs=tabs)
    return [payload if isinstance(payload, ListProblem) else table.build(payload, line, rank) for rank, line, payload in table.rows]


def shown(found: list[Candidate | ListProblem]) -> list[str | tuple[int, str]]:
    return [item.caption or "" if isinstance(item, Candidate) else (item.line, item.message) for item in found]


def test_rows_when_quoted() -> None:
    """Quotes, commas, line breaks and blank lines are what RFC 4180 makes of them; a record's line is where it begins."""
    found = items(b'\xef\xbb\xbfURL,TEXT\r\n\r\nhttp://a.org/1,"a, ""cat"""\r\nhttp://a.org/2,"two\r\nlines"\r\nhttp://a.org/3,end')
    assert shown(found) == ['a, "cat"', "two lines", "end"]
    assert [item.line for item in found] == [3, 4, 6]
    assert [item.rank for item in found if isinstance(item, Candidate)] == [0, 1, 2]


@pytest.mark.parametrize("delimiter", [b",", b";", b"\t", b"|"])
def test_rows_when_delimiter_differs(delimiter: bytes) -> None:
    """Spreadsheets write semicolons; the header tells."""
    assert shown(items(b"caption,url\ncat,http://a.org/1\n".replace(b",", delimiter))) == ["cat"]


def test_rows_when_tabs() -> None:
    """A TSV keeps its commas."""
    assert shown(items(b"url\tcaption\nhttp://a.org/1\ta, b\n", tabs=True)) == ["a, b"]


@pytest.mark.parametrize("first", [b"sep=;\r\n", b'"sep=;"\n', b"\xef\xbb\xbfSEP=;\n\n"])
def test_rows_when_the_delimiter_is_named(first: bytes) -> None:
    """A line for spreadsheets before the header is no header; it says what divides the columns."""
    found = items(first + b"url;caption,x\nhttp://a.org/1;a, b\n")
    assert [(item.line, item.extra) for item in found if isinstance(item, Candidate)] == [(first.count(b"\n") + 2, {"caption,x": ["a, b"]})]


def test_rows_when_quotes_have_backslashes() -> None:
    """A backslash before a quote is how Spark and MySQL write one; where RFC 4180 reads a record, it is a backslash."""
    data = rb"""url,caption,label
http://a.org/1,"say \"hi\" now",x
http://a.org/2,"say \"hi\", now",x
http://a.org/3,"ends \"",x
http://a.org/4,"\"a\" in C:\\d\\",x
http://a.org/5,"in C:\",x
http://a.org/6,5\" wide,x
http://a.org/7,"a \"b" c,x,y
"""
    captions = ['say "hi" now', 'say "hi", now', 'ends "', '"a" in C:\\d\\', "in C:\\", '5\\" wide']
    assert shown(items(data)) == [*captions, (8, "the row has 4 columns, the header 3")]


def test_rows_when_tabs_and_loose_quotes() -> None:
    """Between tabs, quotes that do not hold the whole cell are part of the text."""
    data = b'url\tcaption\nhttp://a.org/1\t"Cat" on a mat\nhttp://a.org/2\t"a ""cat"", asleep"\nhttp://a.org/3\ta 5" cat\n'
    assert shown(items(data, tabs=True)) == ['"Cat" on a mat', 'a "cat", asleep', 'a 5" cat']
    assert shown(items(b'url\tcaption\nhttp://a.org/1\t"a\tb" c\n', tabs=True)) == ["a b c"]


def test_rows_when_delimiters_trail() -> None:
    """Empty cells behind the last column are no columns."""
    assert shown(items(b"url,caption\nhttp://a.org/1,a,\nhttp://a.org/2,b,,,\n")) == ["a", "b"]


def test_rows_when_width_differs() -> None:
    """A record with too many or too few columns is a problem, and only that record."""
    found = items(b"url,caption\nhttp://a.org/1\nhttp://a.org/2,b,c\nhttp://a.org/3,ok\n")
    assert shown(found) == [(2, "the row has 1 columns, the header 2"), (3, "the row has 3 columns, the header 2"), "ok"]


def test_rows_when_a_quote_is_not_closed() -> None:
    """A stray quote costs its own record: the lines it seemed to hold are read again."""
    rest = b"".join(b"http://a.org/%d,ok\n" % n for n in range(200))
    found = shown(items(b'url,caption\nhttp://a.org/x,"open\n' + rest))
    assert found == [(2, "a quote is opened and not closed"), *["ok"] * 200]
    assert shown(items(b'url,caption\nhttp://a.org/x,"open\nhttp://a.org/y,ok\n')) == [(2, "a quote is opened and not closed"), "ok"]


def test_rows_when_two_stray_quotes_meet() -> None:
    """Two stray quotes that seem to hold the lines between them are found out, by what follows them or by the number of columns."""
    found = shown(items(b'url,caption\nhttp://a.org/1,"a\nhttp://a.org/2,b\nhttp://a.org/3,"c\nhttp://a.org/4,d\n'))
    assert found == [(2, "a quote is opened and not closed"), "b", (4, "a quote is opened and not closed"), "d"]
    found = shown(items(b'url,caption\nhttp://a.org/1,"a\nhttp://a.org/2,b\n",http://a.org/3,c\nhttp://a.org/4,d\n'))
    assert found == [
        (2, "the row has 4 columns, the header 2"),
        "b",
        (4, "a quote is opened and not closed"),
        "d",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"http://a.org/1,\xff", "the line is not UTF-8"),
        (b"http://a.org/1," + b"x" * 1_000_001, "the line is longer than 1000000 bytes"),
        (b'http://a.org/1,"' + b"x" * 140_000 + b'"', "field larger than field limit (131072)"),
        (b'http://a.org/1,"a\n\xff"', "the line is not UTF-8"),
    ],
)
def test_rows_when_a_line_is_bad(line: bytes, message: str) -> None:
    """Bad bytes and endless fields are problems; the rest goes on."""
    found = items(b"url,caption\n" + line + b"\nhttp://a.org/2,ok\n")
    assert shown(found)[0] == (2, message)
    assert shown(found)[-1] == "ok"


@pytest.mark.parametrize("data", [b"", b"\n\n", b"url,caption\n"])
def test_rows_when_there_are_none(data: bytes) -> None:
    """A header alone, or nothing, has no rows."""
    assert items(data) == []


@pytest.mark.parametrize(
    ("data", "words"), [(b"\xff,url\n", "not UTF-8"), (b"url," + b"x" * 140_000, "field larger"), (b"a,b\n1,2\n", "a, b")]
)
def test_table_when_header_is_bad(data: bytes, words: str) -> None:
    """Without a header that can be read nothing can."""
    with pytest.raises(errors.ConfigurationError, match=words):
        items(data)


def plain_items(data: bytes) -> list[Candidate | ListProblem]:
    table = delimited.plain_table(io.BytesIO(data))
    return [table.build(payload, line, rank) for rank, line, payload in table.rows]


def test_rows_when_comments_and_blank_lines() -> None:
    """They are no data rows, but lines are counted as an editor counts them."""
    found = plain_items(b"\xef\xbb\xbf# cats\r\n\r\n  https://example.org/1.jpg \r\n#x\nhttp://example.org/2.jpg")
    assert found == [
        Candidate("https://example.org/1.jpg", "list", 0, line=3),
        Candidate("http://example.org/2.jpg", "list", 1, line=5),
    ]


def test_plain_rows_when_a_line_has_columns() -> None:
    """A tab would be dropped as browsers do, and the caption behind it would become a part of the URL."""
    problem, candidate = plain_items(b"https://example.org/1.jpg\ta cat\n\thttps://example.org/2.jpg\t\n")
    assert isinstance(problem, ListProblem)
    assert "--list-format tsv" in problem.message
    assert isinstance(candidate, Candidate)
    assert candidate.url == "https://example.org/2.jpg"


def test_plain_rows_when_a_line_is_bad() -> None:
    """Each bad line is a problem with its number; the rest goes on."""
    found = plain_items(b"cat\nhttps://example.org/\xff\nhttps://example.org/" + b"x" * 100_000 + b"\nhttps://example.org/ok.jpg\n")
    assert [item.line for item in found] == [1, 2, 3, 4]
    messages = [item.message for item in found if isinstance(item, ListProblem)]
    assert "does not begin with http" in messages[0]
    assert messages[1:] == ["the line is not UTF-8", "the URL is longer than 8192 characters"]
    assert isinstance(found[3], Candidate)


def test_rows_when_cells_hold_numbers_and_lists() -> None:
    """A cell has no type: class numbers with a gap are whole, words for a missing value are missing, printed lists are lists."""
    found = items(
        b"url,label,captions,score\nhttp://a.org/1,0.0,\"['a', 'b']\",0.10\nhttp://a.org/2,nan,None,\nhttp://a.org/3,1.5,[x],NA\n"
    )
    assert [item.label for item in found if isinstance(item, Candidate)] == ["0", None, "1.5"]
    assert [item.caption for item in found if isinstance(item, Candidate)] == ["a", None, "[x]"]
    assert [item.captions for item in found if isinstance(item, Candidate)] == [("a", "b"), (), ()]
    assert [item.extra for item in found if isinstance(item, Candidate)] == [{"score": ["0.10"]}, {}, {"score": ["NA"]}]
