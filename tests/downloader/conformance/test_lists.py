"""U11: a list of URLs of whatever shape goes through line by line, and what is in it is fetched once."""

from itertools import islice
from pathlib import Path

import pytest

from app.discovery import url_list
from app.domain import Candidate, ListProblem
from app.spec import ListSpec
from downloader import Fetched, FetchRequest
from downloader.client import Downloader
from downloader.url_guard import normalise
from tests.downloader.conformance.rows import Row
from tests.downloader.conftest import LIMITS
from tests.origin import Origin, image

SPEC = ListSpec(key="lists/1", suffix=".txt")


@pytest.mark.parametrize("row", [Row("U11")], ids=["U11"])
async def test_row(row: Row, tmp_path: Path) -> None:
    """BOM, CRLF, comments, blanks, duplicates and a line of 69 KB: bad lines are problems with numbers, the rest is requested once."""
    async with Origin() as origin, Downloader(LIMITS) as downloader:
        good = [origin.script(f"/{name}", image()) for name in ("a", "b")]
        lines = [f"\ufeff{good[0]}", "# a comment", "", good[0] + "#again", "http://h.test/" + "x" * 69_000, good[1], "no url", good[1]]
        path = tmp_path / "list.txt"
        path.write_bytes("\r\n".join(lines).encode())
        items = list(url_list.read(path, SPEC))
        urls = {normalise(item.url): item.url for item in items if isinstance(item, Candidate)}
        outcomes = [outcome async for outcome in downloader.fetch_many([FetchRequest(url) for url in urls.values()])]
    assert [item.line for item in items if isinstance(item, ListProblem)] == [5, 7]
    assert all(isinstance(outcome, Fetched) for outcome in outcomes)
    assert sorted(hit.target for hit in origin.log) == ["/a", "/b"]


def test_million_lines_are_a_stream(tmp_path: Path) -> None:
    """The first URLs of a million are there without reading on."""
    path = tmp_path / "list.txt"
    path.write_bytes(b"http://h.test/a\n" * 1_000_000)
    reading = url_list.read(path, SPEC)
    assert len(list(islice(reading, 10))) == 10
    reading.close()  # type: ignore[attr-defined]
