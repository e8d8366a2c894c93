"""The conformance table, row by row: the requests that the origin saw, the waits asked of the clock, the class and the reason."""

import tracemalloc
from collections.abc import Iterator
from operator import attrgetter

import pytest
import trustme

from downloader import Fetched, FetchFailed
from tests.downloader.conformance import bodies, connections, handshakes, messages, redirects, replies, urls
from tests.downloader.conformance.rows import Row, Scene

ROWS = [row for part in (replies, handshakes, redirects, connections, messages, bodies, urls) for row in part.ROWS]
MEASURED = {"C56", "C57"}
"""Rows that ask how much memory it took."""


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def measured(row: Row) -> Iterator[None]:
    """Count the memory of the rows that ask for it."""
    if row.number not in MEASURED:
        yield
        return
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("row", ROWS, ids=attrgetter("id"))
async def test_row(row: Row, authority: trustme.CA) -> None:
    """What the origin sends decides how often it is asked, how long we wait, and what we call it; nobody else is dialled."""
    async with Scene(row, authority) as scene:
        ending = await scene.play()
    outcome = ending.outcome
    assert ("ok" if isinstance(outcome, Fetched) else outcome.reason) in row.ends, outcome
    if isinstance(outcome, FetchFailed):
        assert row.error is not None
        assert outcome.error == row.error.__name__
    assert len(scene.origin.log) == row.requests
    assert len(ending.attempts) == (row.requests if row.attempts is None else row.attempts)
    assert scene.time.waits == pytest.approx(list(row.waits))
    assert ending.deferred == pytest.approx(row.deferred)
    assert scene.dials.strangers == []
    row.check(scene, ending)


def test_every_line_of_the_table_has_a_row() -> None:
    """C01 to C67 and U01 to U10 are here, U11 in `test_lists`; no id stands for two rows."""
    assert {row.number for row in ROWS} == {f"C{n:02}" for n in range(1, 68)} | {f"U{n:02}" for n in range(1, 11)}
    assert len({row.id for row in ROWS}) == len(ROWS)
