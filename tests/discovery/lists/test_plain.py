"""One URL a line."""

import io

from app.discovery.lists import plain
from app.domain import Candidate, Problem


def items(data: bytes) -> list[Candidate | Problem]:
    table = plain.table(io.BytesIO(data))
    return [table.build(payload, line, rank) for rank, line, payload in table.rows]


def test_rows_when_comments_and_blank_lines() -> None:
    """They are no data rows, but lines are counted as an editor counts them."""
    found = items(b"\xef\xbb\xbf# cats\r\n\r\n  https://example.org/1.jpg \r\n#x\nhttp://example.org/2.jpg")
    assert found == [
        Candidate("https://example.org/1.jpg", "list", 0, line=3),
        Candidate("http://example.org/2.jpg", "list", 1, line=5),
    ]


def test_rows_when_a_line_is_bad() -> None:
    """Each bad line is a problem with its number; the rest goes on."""
    found = items(b"cat\nhttps://example.org/\xff\nhttps://example.org/" + b"x" * 100_000 + b"\nhttps://example.org/ok.jpg\n")
    assert [item.line for item in found] == [1, 2, 3, 4]
    messages = [item.message for item in found if isinstance(item, Problem)]
    assert "does not begin with http" in messages[0]
    assert messages[1:] == ["the line is not UTF-8", "the URL is longer than 8192 characters"]
    assert isinstance(found[3], Candidate)
