"""Fixtures of the worker tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from logging_setup.config import add_sink, remove_sink
from tests.origin import Origin
from tests.workers.bench import Bench, open_bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench on SQLite."""
    async with open_bench(tmp_path / "workspace") as bench:
        yield bench


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    """A scripted origin on a real socket."""
    async with Origin() as origin:
        yield origin


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """What is logged meanwhile."""
    taken: list[dict[str, Any]] = []
    sink = add_sink(taken.append, level="DEBUG")
    yield taken
    remove_sink(sink)
